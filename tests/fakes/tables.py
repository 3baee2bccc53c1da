"""In-memory stand-ins for the Redis tables that a workload's run uses.

Limits: no tokens, no queue, no time. The atomicity of look-up and registration is what the real
table's own tests prove; here it is trivially so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.kube.events import Event
from common.model.errors import SluiceError
from common.model.image import ImageRecord, ImageUse
from common.model.key import ImageKey, RowKey, WorkloadKey
from common.model.refs import ImageReference
from common.model.workload import Fingerprint, WorkloadRow, fingerprint
from common.queue.contract import Finished, Settled
from common.state.images import Looked
from common.state.settled import SettledRow
from worker.evidence.image.access import Access
from worker.evidence.image.manifest import ManifestSeen


@dataclass
class FakeRows:
    """The watcher's rows."""

    rows: dict[WorkloadKey, WorkloadRow] = field(default_factory=dict)

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        found = self.rows.get(key)
        return None if found is None else (found, fingerprint(found))

    def put(self, row: WorkloadRow) -> WorkloadKey:
        self.rows[row.key] = row
        return row.key


@dataclass
class FakeSettled:
    """What converged runs left, and waiting for it."""

    rows: dict[WorkloadKey, SettledRow] = field(default_factory=dict)
    waiters: dict[WorkloadKey, set[WorkloadKey]] = field(default_factory=dict)

    def get_many(self, keys: Sequence[WorkloadKey]) -> dict[WorkloadKey, SettledRow]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def await_settled(self, successor: WorkloadKey, waiter: WorkloadKey) -> SettledRow | None:
        row = self.rows.get(successor)
        if row is not None and row.outcome == "Converged":
            return row
        self.waiters.setdefault(successor, set()).add(waiter)
        return None

    def commit(self, key: WorkloadKey, finished: Finished) -> str:
        """Do what the completion script does; return the outcome's name."""
        outcome = finished.outcome
        if isinstance(outcome, Settled):
            self.rows[key] = SettledRow(
                fingerprint=outcome.fingerprint,
                epoch=outcome.epoch,
                outcome=outcome.outcome,
                reports=dict(outcome.reports),
            )
            return outcome.outcome
        return type(outcome).__name__


@dataclass
class FakeImages:
    """Image records and their users."""

    records: dict[ImageKey, ImageRecord] = field(default_factory=dict)
    users: dict[ImageKey, dict[str, ImageUse]] = field(default_factory=dict)
    homes: dict[ImageKey, ImageKey] = field(default_factory=dict)  # of other names of an image

    def lookup_uses(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        found = []
        for use, asked in uses:
            key = self.homes.get(asked, asked)
            self.users.setdefault(key, {})[use.workload] = use
            found.append(Looked(record=self.records.get(key, ImageRecord()), key=key))
        return found

    def follow(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        return self.lookup_uses(uses)

    def release(self, workload: RowKey, keep: Collection[ImageKey] = ()) -> int:
        gone = [key for key, users in self.users.items() if key not in keep]
        return sum(self.users[key].pop(str(workload), None) is not None for key in gone)

    def get(self, key: ImageKey) -> ImageRecord:
        return self.records.get(key, ImageRecord())

    def uses(self, key: ImageKey) -> list[ImageUse]:
        users = self.users.get(key, {})
        return [users[name] for name in sorted(users)]


@dataclass
class FakeResolutions:
    """Remembered digests."""

    known: dict[tuple[WorkloadKey, str], str] = field(default_factory=dict)

    def get(self, workload: WorkloadKey, reference: str) -> str | None:
        return self.known.get((workload, reference))

    def put(self, workload: WorkloadKey, reference: str, digest: str) -> None:
        self.known[(workload, reference)] = digest

    def content(self, workload: WorkloadKey, config: str, platform: str) -> str | None:
        return self.known.get((workload, f"{config} {platform}"))

    def keep_content(
        self, workload: WorkloadKey, config: str, platform: str, *, digest: str
    ) -> None:
        self.known[(workload, f"{config} {platform}")] = digest


@dataclass
class FakeTroubles:
    """Workloads that were told of a failure."""

    told: set[WorkloadKey] = field(default_factory=set)

    def mark(self, workload: WorkloadKey) -> None:
        self.told.add(workload)

    def clear(self, workload: WorkloadKey) -> bool:
        known = workload in self.told
        self.told.discard(workload)
        return known


@dataclass
class FakeRegistry:
    """A registry that knows digests by canonical reference, or fails."""

    digests: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)  # of manifests
    fault: SluiceError | None = None
    asked: list[str] = field(default_factory=list)

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None, *, access: Access
    ) -> str:
        self.asked.append(reference.canonical)
        if self.fault is not None:
            raise self.fault
        return self.digests[reference.canonical]

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> ManifestSeen:
        self.asked.append(f"{reference.canonical} {platform}")
        return ManifestSeen(
            index_digest="",
            manifest_digest=digest,
            config_digest=self.configs[digest],
            layers=(),
            diff_ids=(),
            manifest=b"",
            config=b"",
        )


@dataclass
class NoKeys:
    """No pull secrets."""

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        yield None


@dataclass
class FakeEvents:
    """An Event sink that remembers, or refuses."""

    events: list[Event] = field(default_factory=list)
    fault: SluiceError | None = None

    def emit(self, event: Event, *, now: Any) -> None:
        if self.fault is not None:
            raise self.fault
        self.events.append(event)

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]


def reports_of(objects: Mapping[tuple[str, str, str], Any]) -> list[str]:
    """Return `Kind/namespace/name` of every stored report, sorted."""
    return sorted("/".join(key) for key in objects)
