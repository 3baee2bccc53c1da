"""What every scene of a torture has at hand, and how its findings are gathered."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from common.model.key import WorkloadKey
from common.queue.contract import Add, Lane
from tests.bench import torture_oracle as oracle
from tests.bench.torture_ground import Ground, StuckError, Worker
from tests.queue_values import workload

LEASE_S = 1.0
# Long enough that whoever could not renew has lost its lease, and the reaper has come round.
BEYOND_S = 1.6 * LEASE_S


class Findings(msgspec.Struct, kw_only=True):
    """What was found; everything but the counts must be empty."""

    lost: list[str] = []
    doubled: list[str] = []
    follow_ups: list[str] = []
    stale: list[str] = []
    promises: list[str] = []  # broken in another way
    counts: dict[str, int] = {}

    @property
    def faults(self) -> list[str]:
        """Return everything that is wrong, with the oracle that says so."""
        return [
            f"{name}: {text}"
            for name in ("lost", "doubled", "follow_ups", "stale", "promises")
            for text in getattr(self, name)
        ]


@dataclass(kw_only=True)
class Scene:
    """One scene: the ground, the dice, and what to look at in the end."""

    ground: Ground
    size: float  # 1 is the benchmark's; smaller is shorter
    dice: random.Random
    findings: Findings = field(default_factory=Findings)
    keys: set[WorkloadKey] = field(default_factory=set)
    expected: dict[str, int] = field(default_factory=dict)  # runs by key, where they are known
    changes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def many(self, number: int, prefix: str) -> list[WorkloadKey]:
        """Return keys of this scene, `number` of them at full size."""
        number = max(2, int(number * self.size))
        return [self.one(f"{prefix}-{index:04d}") for index in range(number)]

    def one(self, name: str) -> WorkloadKey:
        """Return one key of this scene."""
        key = workload(name)
        self.keys.add(key)
        return key

    def start(self, **changes: object) -> Worker:
        """Start a worker process with the scene's lease."""
        return self.ground.start(**{"lease_s": LEASE_S, **changes})

    def change(self, key: WorkloadKey, lane: Lane = Lane.FRESH) -> None:
        """Change a key and add it, as a watcher does: again until it is acknowledged."""
        diary = self.ground.diary
        diary.want(key.name, diary.wanted(key.name) + 1)
        self.ground.add(Add(key=key, lane=lane, cause="changed"))
        self.changed()

    def changed(self) -> None:
        """Count a change; producers are several threads."""
        with self.lock:
            self.changes += 1

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was done."""
        self.findings.counts[what] = self.findings.counts.get(what, 0) + number

    def promise(self, holds: object, text: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.findings.promises.append(text)

    @contextlib.contextmanager
    def changing(self, keys: Sequence[WorkloadKey], *, threads: int = 1) -> Iterator[None]:
        """Change keys at random, in both lanes, as fast as they are acknowledged."""
        over = threading.Event()
        mine = [list(keys[number::threads]) for number in range(threads)]  # one writer a key

        def produce(keys: list[WorkloadKey], dice: random.Random) -> None:
            while not over.is_set():
                lane = Lane.FRESH if dice.random() < 0.6 else Lane.BULK
                self.change(dice.choice(keys), lane)

        producers = [
            threading.Thread(target=produce, args=(part, random.Random(self.dice.random())))  # noqa: S311
            for part in mine
        ]
        for producer in producers:
            producer.start()
        try:
            yield
        finally:
            over.set()
            for producer in producers:
                producer.join()

    def progress(self, changes: int, runs: int) -> None:
        """Wait until so many more changes were acknowledged and so many more runs ended.

        By what was done and not by the clock: a loaded machine takes its time.
        """
        diary = self.ground.diary
        changed = self.changes + int(changes * self.size)
        ran = diary.count("ended") + int(runs * self.size)
        self.ground.until(lambda: self.changes >= changed, "changes are acknowledged")
        self.ground.until(lambda: diary.count("ended") >= ran, "runs end")

    def behind(self) -> list[WorkloadKey]:
        """Return the keys whose last change no run has seen: what a sweep would add."""
        late = {text.partition(":")[0] for text in self.lost()}
        return [key for key in sorted(self.keys, key=str) if key.name in late]

    def lost(self) -> list[str]:
        """Return what the oracle misses of what was ever wanted."""
        diary = self.ground.diary
        versions = {key.name: diary.wanted(key.name) for key in self.keys}
        return oracle.lost(diary.events(), {key: n for key, n in versions.items() if n})

    def sweep(self) -> None:
        """Add what is behind, as one pass of the watcher's sweep does, and wait for it."""
        behind = self.behind()
        self.count("swept", len(behind))
        for key in behind:
            self.ground.add(Add(key=key, lane=Lane.BULK, cause="sweep"))
        self.settle()

    def settle(self) -> None:
        """Wait until the queue has nothing of this scene any more, and the diary says so too."""
        self.ground.settle(sorted(self.keys, key=str))
        living = {worker.pid for worker in self.ground.workers}
        diary = self.ground.diary
        self.ground.until(
            lambda: not oracle.unanswered(diary.events(), living), "all answers are in the diary"
        )

    def judge(self) -> None:
        """Ask the oracle."""
        found, events = self.findings, self.ground.diary.events()
        found.lost += self.lost()
        found.doubled += oracle.doubled(events, lease_s=LEASE_S)
        found.follow_ups += oracle.follow_ups(events, self.expected)
        self.count("changes", self.changes)
        self.count("keys", len(self.keys))
        for kind in ("ended", "refused", "excuse"):
            self.count(kind, sum(event.kind == kind for event in events))

    def play(self, act: object) -> Findings:
        """Act, then judge; what does not come to its end is lost."""
        assert callable(act)
        try:
            act(self)
        except StuckError as error:
            self.findings.lost.append(str(error))
        self.judge()
        return self.findings
