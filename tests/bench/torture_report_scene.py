"""A scene whose keys are Pods with reports: what is at hand there, and what the oracle asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.model.image import ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.ops.version import VERSION
from common.queue.contract import Add, Lane
from common.state.epoch import EpochTable, generation_digest
from common.state.fence import FenceTable
from common.state.images import ImageTable
from tests.bench import torture_oracle as oracle
from tests.bench.torture_cluster import DIGEST, PLATFORM, Reported
from tests.bench.torture_ground import Worker
from tests.bench.torture_reports import settings_of
from tests.bench.torture_scene import Scene
from tests.queue_values import landed
from worker.parts import scan_options

OLD, NEW = "", "CRITICAL"  # severities: two generations


@dataclass(kw_only=True)
class ReportScene(Scene):
    """A scene whose keys are Pods, and whose changes are rows."""

    reported: Reported
    epochs: dict[str, set[int]] = field(default_factory=dict)  # by severities

    def __post_init__(self) -> None:
        ground = self.ground
        self.fence = FenceTable(ground.client, ground.names).take()
        self.severities_of: dict[int, str] = {}  # by process id
        self._land()
        self.publish(OLD)

    def publish(self, severities: str) -> int:
        """Publish a generation, as its watcher does; return its epoch."""
        settings = settings_of(str(self.reported.kubeconfig), severities)
        digest = generation_digest(settings.projection_digest(), VERSION)
        number = EpochTable(self.ground.client, self.ground.names).publish(digest, fence=self.fence)
        self.epochs.setdefault(severities, set()).add(number)
        return number

    def one(self, name: str) -> WorkloadKey:
        """Return one key of this scene: a Pod that exists."""
        key = self.reported.workload(name)
        self.keys.add(key)
        return key

    def start(self, **changes: object) -> Worker:
        """Start a worker process that writes reports."""
        kubeconfig = str(self.reported.kubeconfig)
        worker = super().start(**{"kubeconfig": kubeconfig, "loops": 2, **changes})
        self.severities_of[worker.pid] = worker.order.severities
        return worker

    def change(self, key: WorkloadKey, lane: Lane = Lane.FRESH) -> None:
        """Change a Pod's row and add its key, in one call, as a watcher does."""
        diary = self.ground.diary
        version = diary.wanted(key.name) + 1
        diary.want(key.name, version)
        row = self.reported.row(key, version)
        self.ground.add(Add(key=key, lane=lane, row=row, cause="changed"), fence=self.fence)
        self.changed()

    def judge(self) -> None:
        """Ask the oracle, about the reports too."""
        super().judge()
        allowed = {
            pid: frozenset(self.epochs.get(severities, ()))
            for pid, severities in self.severities_of.items()
        }
        history = self.reported.history()
        self.findings.stale += oracle.stale(history, self.ground.diary.events(), allowed)
        self.count("states of reports", len(history))
        self._true(history)

    def _true(self, history: list[oracle.Stored]) -> None:
        """In the end every report is of what is wanted, or of a later generation."""
        last = {state.name: state for state in history}
        newest = max(max(numbers) for numbers in self.epochs.values())
        for key in sorted(self.keys, key=str):
            wanted, state = self.ground.diary.wanted(key.name), last.get(key.name)
            if wanted and (state is None or (state.version < wanted and state.epoch <= newest)):
                self.findings.lost.append(f"{key.name}: its report is not of version {wanted}")

    def _land(self) -> None:
        """Store what is known of the one image, as a scan of it would."""
        ground = self.ground
        options = scan_options(settings_of(str(self.reported.kubeconfig), OLD)).digest()
        image = ImageKey(digest=DIGEST, platform=PLATFORM, options=options)
        use = ImageUse(workload="workload/Pod/none/none", reference="none", namespace="none")
        ImageTable(ground.client, ground.names).lookup(use, [image])
        (claim,) = ground.queue.claim("scan", "torturer", limit=1, lease_s=60)
        ground.queue.complete("torturer", [(claim, landed("CVE-1"))])
        for waiter in ground.queue.claim("reconcile", "torturer", limit=9, lease_s=60):
            ground.queue.complete("torturer", [(waiter, landed())])
        ground.queue.leave("torturer")
