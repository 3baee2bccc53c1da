"""Redis as a watcher sees it, in memory: queue, rows, settled runs, epoch, fence, requests, facts.

Limits: no workers, no leases, no lanes' order; a key waits until `work` settles it. `fault`, while
set, is raised by every call; `lose_reply` lets the next write happen and then raises. The real
tables behind the same ports are tested in tests/integration/test_watcher_*.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from common.model.clusterrow import Row
from common.model.errors import SourceUnavailableError, StaleFenceError, TransientError
from common.model.facts import Fact
from common.model.image import ImageState
from common.model.key import ImageKey, RowKey, WorkKey, WorkloadKey, has_row, match_key
from common.model.workload import WorkloadRow, fingerprint
from common.queue.contract import Add, AddResult, Lane
from common.state.database import DatabaseRow
from common.state.settled import SettledRow
from watcher.decide.images import Verification
from watcher.imagesweep import Images

NEVER = Verification(ttl_s=None, window=None, sweep_interval_s=600.0, foreign_server=False)


@dataclass
class _Published:
    """The database of `tables`: `current` is the epoch's there."""

    tables: FakeTables

    def current(self) -> DatabaseRow | None:
        return self.tables.database


@dataclass
class FakeTables:
    """All tables of one cluster."""

    waiting: dict[WorkKey, Add] = field(default_factory=dict)
    stored: dict[RowKey, Row] = field(default_factory=dict)
    settled_rows: dict[WorkKey, SettledRow] = field(default_factory=dict)
    fence: int = 0
    epoch: int = 0
    digest: str = ""
    seen: dict[str, int] = field(default_factory=dict)
    signs: int = 0  # of life, that the leader left
    requested: int = 0
    swept: int = 0
    life: str = "life-1"
    facts: list[Fact] = field(default_factory=list)
    now: float = 1_000_000.0
    fault: TransientError | None = None
    lose_reply: bool = False
    adds: list[Add] = field(default_factory=list)  # everything that was ever sent
    calls: int = 0
    references: dict[WorkloadKey, float] = field(default_factory=dict)  # when they are due
    states_of: dict[ImageKey, ImageState] = field(default_factory=dict)
    database: DatabaseRow | None = None
    verification: Verification = NEVER

    @property
    def images(self) -> Images:
        """What a sweep reads of them."""
        return Images(table=self, databases=_Published(self), rules=self.verification)

    # --- images ---------------------------------------------------------------------------------

    def walk(self, size: int) -> Iterator[ImageKey]:
        self._call()
        yield from list(self.states_of)

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        self._call()
        return [
            replace(
                self.states_of[key],
                image_queued=key in self.waiting,
                match_queued=match_key(key) in self.waiting,
            )
            for key in keys
        ]

    # --- references that no kubelet runs --------------------------------------------------------

    def due(self, now_s: float) -> list[WorkloadKey]:
        self._call(None)
        return [key for key, at_s in self.references.items() if at_s <= now_s]

    def asked(self, workloads: Iterable[WorkloadKey]) -> None:
        self._call(None)
        for key in workloads:
            self.references.pop(key, None)

    # --- the queue ------------------------------------------------------------------------------

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        self._call(fence)
        new = sum(add.key not in self.waiting for add in adds)
        for add in adds:
            self.adds.append(add)
            self.waiting[add.key] = add
            if add.row is not None:
                self.stored[add.row.key] = add.row
        self._reply()
        return AddResult(new=new, duplicate=len(adds) - new)

    def forget(self, keys: Sequence[RowKey], *, fence: int, lane: Lane = Lane.FRESH) -> None:
        self._call(fence)
        for key in keys:
            self.stored.pop(key, None)
            self.waiting[key] = Add(key=key, lane=lane, cause="gone")
        self._reply()

    def store_rows(self, rows: Sequence[Row], *, fence: int) -> None:
        self._call(fence)
        self.stored.update({row.key: row for row in rows})
        self._reply()

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        self._call()
        return [key in self.waiting for key in keys]

    def workload(self, key: WorkloadKey) -> WorkloadRow:
        row = self.stored[key]
        assert isinstance(row, WorkloadRow)
        return row

    # --- tables ---------------------------------------------------------------------------------

    def fingerprints(self, keys: Sequence[RowKey]) -> Mapping[RowKey, str]:
        self._call()
        return {key: fingerprint(self.stored[key]) for key in keys if key in self.stored}

    def every(self) -> Iterator[RowKey]:
        self._call()
        yield from list(self.stored)

    def get_many(self, keys: Sequence[RowKey]) -> Mapping[RowKey, SettledRow]:
        self._call()
        return {key: self.settled_rows[key] for key in keys if key in self.settled_rows}

    def all(self) -> Iterator[tuple[WorkKey, SettledRow]]:
        self._call()
        yield from list(self.settled_rows.items())

    # --- epoch, fence, requests, ledger, clock --------------------------------------------------

    def take(self) -> int:
        self._call()
        self.fence += 1
        return self.fence

    def current(self) -> int:
        self._call()
        return self.epoch

    def publish(self, digest: str, at_least: int = 0, *, fence: int) -> int:
        self._call(fence)
        self.epoch = max(self.epoch + (digest != self.digest), at_least)
        self.digest = digest
        return self.epoch

    def read(self) -> dict[str, int]:
        self._call()
        return dict(self.seen)

    def record(self, versions: Mapping[str, int], *, whole: bool = False, fence: int) -> None:
        self._call(fence)
        self.seen = {**({} if whole else self.seen), **versions}

    def alive(self, *, fence: int) -> None:
        self._call(fence)
        self.signs += 1

    def sweep_requested(self) -> int:
        self._call()
        return self.requested

    def sweep_done(self, number: int, *, fence: int) -> None:
        self._call(fence)
        self.swept = number

    def run_id(self) -> str:
        self._call()
        return self.life

    def append(self, facts: Sequence[Fact]) -> None:
        self._call()
        self.facts.extend(facts)

    def now_s(self) -> float:
        self._call()
        return self.now

    # --- what a test arranges -------------------------------------------------------------------

    def work(self, reports: Mapping[RowKey, Mapping[str, str]] | None = None) -> int:
        """Do what workers do: settle every key that waits; return how many there were."""
        done = len(self.waiting)
        for key in list(self.waiting):
            del self.waiting[key]
            row = self.stored.get(key) if has_row(key) else None
            if row is None:
                self.settled_rows.pop(key, None)
                continue
            self.settled_rows[key] = SettledRow(
                fingerprint=fingerprint(row),
                epoch=self.epoch,
                outcome="Converged",
                at=self.now,
                reports=(reports or {}).get(row.key, {}),
            )
        return done

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does: the run id stays."""
        self.waiting.clear()
        self.stored.clear()
        self.settled_rows.clear()
        self.epoch, self.digest, self.fence = 0, "", 0
        self.seen.clear()
        self.requested = self.swept = 0

    def go_away(self) -> None:
        """Refuse every call."""
        self.fault = SourceUnavailableError("redis is away")

    def come_back(self) -> None:
        """Answer again."""
        self.fault = None

    def _call(self, fence: int | None = None) -> None:
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        if fence is not None and fence < self.fence:
            raise StaleFenceError(f"fence {fence} is not the highest any more")

    def _reply(self) -> None:
        if self.lose_reply:
            self.lose_reply = False
            raise SourceUnavailableError("the reply was lost")
