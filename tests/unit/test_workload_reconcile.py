"""One workload's run from row to reports, with every port faked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest

from common.kube.errors import NotFoundError
from common.model.errors import (
    BudgetSpentError,
    ConflictError,
    ImageNotFoundError,
    RateLimitedError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
)
from common.model.image import Failure, Finding, ImageRecord, Inventory, Match, Os
from common.model.key import ImageKey, WorkloadKey
from common.model.workload import Container, Running, Skips, WorkloadRow, fingerprint
from common.queue.contract import After, Claim, Finished, Park, Retry, Settled, Waiting
from common.reports.assemble import LabelPolicy
from common.state.settled import SettledRow
from tests.fakes.report_store import FakeReportStore
from tests.fakes.tables import (
    FakeEvents,
    FakeImages,
    FakeRegistry,
    FakeResolutions,
    FakeRows,
    FakeSettled,
    FakeTroubles,
    NoKeys,
    reports_of,
)
from tests.queue_values import tallies
from worker.deliver import KubeAnnouncer
from worker.evidence.image.access import Accesses
from worker.policies import NoPolicies
from worker.project.context import ReportOptions
from worker.subject.workload.gather import Gatherer
from worker.subject.workload.reconcile import IgnorePolicies, WorkloadConfig, WorkloadReconciler
from worker.write import Writer

A, B = ("sha256:" + letter * 64 for letter in "ab")
KINDS = frozenset({"VulnerabilityReport", "ExposedSecretReport", "SbomReport"})


def image(digest: str) -> ImageKey:
    return ImageKey(digest=digest, platform="linux-amd64", options="o1")


def record(*, ids: tuple[str, ...] = ("CVE-1",), packages: bool = True) -> ImageRecord:
    inventory = Inventory(
        scanner_version="0.76.0",
        artifact_id="sha256:1",
        blob_ids=("sha256:2",),
        target="web",
        os=Os(family="alpine", name="3.18") if packages else Os(),
        covered=packages,
        has_packages=packages,
        sbom={
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "serialNumber": "urn:uuid:1",
            "metadata": {"component": {"bom-ref": "r", "type": "container", "name": "web"}},
            "components": [],
            "dependencies": [],
        }
        if packages
        else None,
    )
    findings = tuple(
        Finding(vulnerability_id=one, resource="pkg", installed_version="1", severity="HIGH")
        for one in ids
    )
    return ImageRecord(inventory=inventory, match=Match(db_version="1", findings=findings))


def container(name: str = "app", digest: str | None = A, *, pull_error: str = "") -> Container:
    running = () if digest is None else (Running(digest=digest, platform="linux-amd64"),)
    return Container(
        name=name, role="container", image="web:1", running=running, pull_error=pull_error
    )


def replica_set(*containers: Container, name: str = "web-1", **more: object) -> WorkloadRow:
    row = WorkloadRow(
        kind="ReplicaSet",
        namespace="shop",
        name=name,
        uid=f"uid-{name}",
        api_version="apps/v1",
        created_at=1000,
        containers=containers or (container(),),
        has_pods=True,
        top_kind="Deployment",
        top_name="web",
        top_uid="uid-web",
    )
    return msgspec.structs.replace(row, **more)


@dataclass
class World:
    """A worker with all its ports faked."""

    rows: FakeRows = field(default_factory=FakeRows)
    settled: FakeSettled = field(default_factory=FakeSettled)
    images: FakeImages = field(default_factory=FakeImages)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    store: FakeReportStore = field(default_factory=FakeReportStore)
    events: FakeEvents = field(default_factory=FakeEvents)
    now_s: float = 1010.0
    epoch: int = 1
    policies: IgnorePolicies = field(default_factory=NoPolicies)
    lost: bool = False  # another run has claimed the key

    def reconciler(self) -> WorkloadReconciler:
        return WorkloadReconciler(
            rows=self.rows,
            settled=self.settled,
            successors=self.settled,
            claims=self,
            gatherer=Gatherer(
                images=self.images,
                resolutions=self.resolutions,
                resolver=self.registry,
                keys=NoKeys(),
                accesses=Accesses(insecure=False),
            ),
            policies=self.policies,
            writer=Writer(self.store, lives=self._lives, now=lambda: "2026-01-01T00:00:00Z"),
            announcer=KubeAnnouncer(self.events, now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
            troubles=self.troubles,
            config=WorkloadConfig(
                kinds=KINDS,
                options=lambda _: ReportOptions(),
                scan_options=lambda _: "o1",
                labels=LabelPolicy(),
                image_wait_s=60,
            ),
            decide=decide,
            now_s=lambda: self.now_s,
            epoch=lambda: self.epoch,
        )

    def __post_init__(self) -> None:
        self.resolutions = FakeResolutions()
        self.troubles = FakeTroubles()

    def run(self, key: WorkloadKey, attempts: int = 0) -> Finished:
        """Run the key once and commit what it settled."""
        finished = self.reconciler()(Claim(key=key, token=1, tallies=tallies(attempts, 1.0)))
        self.settled.commit(key, finished)
        return finished

    def holds(self, claim: Claim) -> bool:
        """Answer for the queue."""
        return claim.token == 1 and not self.lost

    def _lives(self, kind: str, namespace: str, name: str, uid: str) -> bool:
        row = self.rows.rows.get(WorkloadKey(kind=kind, namespace=namespace, name=name))
        return row is not None and row.uid == uid


def decide(error: SluiceError, claim: Claim) -> Retry | Park:
    if isinstance(error, ImageNotFoundError):
        return Park(reason=error.reason, message=str(error), probe_after_s=600)
    return Retry(delay_s=1, reason=error.reason, message=str(error))


@pytest.fixture
def world() -> World:
    return World()


def outcome(finished: Finished) -> str:
    assert isinstance(finished.outcome, Settled), finished.outcome
    return finished.outcome.outcome


def test_a_running_workload_gets_its_three_reports(world: World) -> None:
    """The main job, with one write a report and nothing read first."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    finished = world.run(key)
    assert outcome(finished) == "Converged"
    assert reports_of(world.store.objects) == [
        f"{kind}/shop/replicaset-web-1-app" for kind in sorted(KINDS)
    ]
    assert world.store.calls == ["create"] * 3
    assert len([fact for fact in finished.facts if fact.kind == "written"]) == 3


def test_a_workload_that_rested_before_its_pod_came_is_written_without_a_read(
    world: World,
) -> None:
    """Every ReplicaSet is seen before its Pod; three reads each were half of all requests."""
    world.images.records[image(A)] = record()
    key = world.rows.put(
        replica_set(has_pods=False, expects_pods=True, containers=(container(digest=None),))
    )
    assert outcome(world.run(key)) == "Rest:NoPods"
    world.rows.put(replica_set())
    assert outcome(world.run(key)) == "Converged"
    assert world.store.calls == ["create"] * 3


def test_a_second_run_writes_nothing(world: World) -> None:
    """Law 1."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    first = world.run(key)
    writes = world.store.writes
    again = world.run(key)
    assert world.store.writes == writes
    assert again.outcome == first.outcome
    assert not again.facts


def test_it_settles_with_the_fingerprint_of_the_row_that_it_read(world: World) -> None:
    """Both sides compare the watcher's own fingerprint."""
    world.images.records[image(A)] = record()
    row = replica_set()
    finished = world.run(world.rows.put(row))
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.fingerprint == fingerprint(row)


def test_after_a_flush_of_redis_nothing_is_written(world: World) -> None:
    """Trap 32. The stamps on the reports are compared, not what Redis remembered."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    world.run(key)
    world.settled.rows.clear()
    world.rows.put(replica_set(stored=True))
    writes = world.store.writes
    assert outcome(world.run(key)) == "Converged"
    assert world.store.writes == writes


def test_the_hint_that_reports_exist_does_not_change_the_fingerprint() -> None:
    """It flips with our own writes: in the fingerprint it would make every write cause a run."""
    assert fingerprint(replica_set()) == fingerprint(replica_set(stored=True))


def test_an_image_without_a_record_is_waited_for(world: World) -> None:
    """Trap 14. The look-up registers the workload in the same step."""
    key = world.rows.put(replica_set())
    assert world.run(key).outcome == Waiting(on=str(image(A)))
    assert str(key) in world.images.users[image(A)]
    assert world.store.objects == {}


def test_other_containers_are_reported_while_one_waits(world: World) -> None:
    """A slow image must not hold up a quick one."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set(container("app"), container("side", B)))
    assert isinstance(world.run(key).outcome, Waiting)
    assert {name for _, _, name in world.store.objects} == {"replicaset-web-1-app"}


def test_a_broken_image_is_told_on_the_workload_and_the_others_are_reported(world: World) -> None:
    """Trap 15. The waiter wakes with the reason, and does not wait for ever."""
    world.images.records[image(A)] = record()
    failure = Failure(reason="DamagedImage", message="bad gzip", at=0)
    world.images.records[image(B)] = ImageRecord(failure=failure)
    key = world.rows.put(replica_set(container("app"), container("side", B)))
    assert outcome(world.run(key)) == "Partial:DamagedImage"
    assert len(world.store.objects) == 3
    assert world.events.reasons == ["ScanFailed"]
    event = world.events.events[0]
    assert (event.subject.kind, event.subject.name) == ("Deployment", "web")
    assert "side" in event.message
    assert "web:1" in event.message


def test_recovery_is_told_once(world: World) -> None:
    """Whoever saw the failure wants to see its end."""
    world.images.records[image(A)] = ImageRecord(
        failure=Failure(reason="DamagedImage", message="bad", at=0)
    )
    key = world.rows.put(replica_set())
    world.run(key)
    world.images.records[image(A)] = record()
    world.run(key)
    world.run(key)
    assert world.events.reasons == ["ScanFailed", "ScanRecovered"]


def test_recovery_is_told_after_a_dead_letter_was_revived(world: World) -> None:
    """The queue forgives a revived key, so its count of attempts tells nothing about the past."""
    world.registry.fault = ImageNotFoundError("web:1 is not there")
    key = world.rows.put(replica_set(container(digest=None, pull_error="ErrImagePull")))
    world.run(key)
    world.rows.put(replica_set())
    world.images.records[image(A)] = record()
    world.run(key)
    assert world.events.reasons == ["ScanFailed", "ScanRecovered"]


def test_an_old_report_stays_while_the_image_cannot_be_refreshed(world: World) -> None:
    """Trap 38. The registry answers 429 while the record is old: the old report stays."""
    good = record()
    world.images.records[image(A)] = good
    key = world.rows.put(replica_set())
    world.run(key)
    stored = dict(world.store.objects)
    world.images.records[image(A)] = msgspec.structs.replace(
        good, failure=Failure(reason="RateLimited", message="429", at=0)
    )
    assert outcome(world.run(key)) == "Converged"
    assert world.store.objects == stored


def test_a_broken_new_image_keeps_the_old_ones_report(world: World) -> None:
    """Law 8: the old report lives until its successor is stored."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    world.run(key)
    world.rows.put(replica_set(container(digest=B)))
    world.images.records[image(B)] = ImageRecord(
        failure=Failure(reason="DamagedImage", message="bad", at=0)
    )
    finished = world.run(key)
    assert outcome(finished) == "Partial:DamagedImage"
    assert len(world.store.objects) == 3
    assert isinstance(finished.outcome, Settled)
    assert len(finished.outcome.reports) == 3


def test_a_young_workload_looks_again_when_the_wait_is_over(world: World) -> None:
    """Nothing else may ever wake it: a Pending pod's status need not change."""
    key = world.rows.put(replica_set(container(digest=None)))
    assert world.run(key).outcome == After(delay_s=50.0, reason="WaitingForKubelet")
    assert world.registry.asked == []


def test_a_cron_job_that_never_ran_is_resolved_once(world: World) -> None:
    """Trap 33. And a later run must not ask the registry again."""
    row = replica_set(container(digest=None), name="nightly", expects_pods=False, has_pods=False)
    key = world.rows.put(msgspec.structs.replace(row, kind="CronJob", api_version="batch/v1"))
    world.registry.digests["index.docker.io/library/web:1"] = A
    world.images.records[image(A)] = record()
    assert outcome(world.run(key)) == "Converged"
    assert outcome(world.run(key)) == "Converged"
    assert len(world.registry.asked) == 1


def test_a_reference_that_cannot_be_resolved_is_retried_by_its_class(world: World) -> None:
    """No image key exists, so nobody else would ever try again."""
    world.registry.fault = RateLimitedError("429 from the registry")
    key = world.rows.put(replica_set(container(digest=None, pull_error="ErrImagePull")))
    assert isinstance(world.run(key).outcome, Retry)
    world.registry.fault = ImageNotFoundError("web:1 is not there")
    parked = world.run(key).outcome
    assert isinstance(parked, Park)
    assert parked.probe_after_s > 0
    assert set(world.events.reasons) == {"ScanFailed"}


def test_a_spent_budget_is_a_delay_that_nobody_is_told_of(world: World) -> None:
    """An Event `ScanFailed` would say that something is wrong."""
    world.registry.fault = BudgetSpentError("enough", retry_after_s=42.0)
    key = world.rows.put(replica_set(container(digest=None, pull_error="ErrImagePull")))
    assert world.run(key).outcome == After(delay_s=42.0, reason="RegistryBudget")
    assert world.events.reasons == []


def test_a_policy_that_cannot_be_evaluated_costs_no_report_and_makes_none(world: World) -> None:
    """A report that shows what its user hides would be wrong; the old one stays as it is."""

    class Broken:
        def hidden(self, _row: WorkloadRow, _records: object) -> frozenset[str]:
            raise TerminalError("the policy has no end", reason="IgnorePolicyBroken")

    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    world.policies = Broken()
    finished = world.run(key)
    assert isinstance(finished.outcome, Retry | Park)
    assert finished.outcome.reason == "IgnorePolicyBroken"
    assert world.store.objects == {}
    assert set(world.events.reasons) == {"ScanFailed"}
    world.policies = NoPolicies()
    assert outcome(world.run(key)) == "Converged"
    before = dict(world.store.objects)
    world.policies = Broken()
    world.run(key)
    assert world.store.objects == before


def test_a_workloads_skips_stand_in_its_uses(world: World) -> None:
    """By them whoever pulls knows what Trivy must not look at, for this workload alone."""
    world.images.records[image(A)] = record()
    skips = Skips(files=("/a",), dirs=())
    key = world.rows.put(replica_set(skips=skips))
    assert outcome(world.run(key)) == "Converged"
    (use,) = world.images.users[image(A)].values()
    assert (use.skip_files, use.skip_dirs) == (skips.files, skips.dirs)


def test_a_bad_reference_is_told_and_the_rest_is_reported(world: World) -> None:
    """Bad input gets a clear error, and never costs another container its report."""
    world.images.records[image(A)] = record()
    bad = Container(name="bad", role="container", image="UPPER CASE", pull_error="InvalidImageName")
    key = world.rows.put(replica_set(container("app"), bad))
    finished = world.run(key)
    assert isinstance(finished.outcome, Retry | Park)
    assert finished.outcome.reason == "BadReference"
    assert len(world.store.objects) == 3
    assert [fact.kind for fact in finished.facts] == ["written"] * 3


def test_a_rollout_to_a_tag_that_does_not_exist_keeps_the_running_images_reports(
    world: World,
) -> None:
    """Trap 37. The old pods keep serving, one of them restarts."""
    world.images.records[image(A)] = record()
    old = world.rows.put(replica_set())
    world.run(old)
    stored = dict(world.store.objects)
    world.registry.fault = ImageNotFoundError("web:2 is not there")
    new = replica_set(container(digest=None, pull_error="ErrImagePull"), name="web-2")
    world.run(world.rows.put(new))
    world.rows.put(replica_set(current=False, successor="web-2"))
    assert outcome(world.run(old)) == "Converged"
    assert world.store.objects == stored


def test_an_old_revisions_reports_go_only_when_the_successors_are_stored(world: World) -> None:
    """Trap 6. The old ReplicaSet scales to 0 while the new one's scan fails."""
    world.images.records[image(A)] = record()
    old = world.rows.put(replica_set())
    world.run(old)
    retired = container(digest=None)
    world.rows.put(replica_set(retired, current=False, successor="web-2", has_pods=False))
    new = WorkloadKey(kind="ReplicaSet", namespace="shop", name="web-2")
    assert world.run(old).outcome == Waiting(on=str(new))
    world.settled.rows[new] = SettledRow(fingerprint="", epoch=1, outcome="Partial:ScanTimeout")
    assert world.run(old).outcome == Waiting(on=str(new))
    assert len(world.store.objects) == 3
    assert old in world.settled.waiters[new]
    world.settled.rows[new] = SettledRow(fingerprint="", epoch=1, outcome="Converged")
    assert outcome(world.run(old)) == "Rest:Retired"
    assert world.store.objects == {}
    assert str(old) not in world.images.users[image(A)]


def test_a_retired_revisions_reports_are_found_without_redis_memory(world: World) -> None:
    """After a flush nothing tells which reports it had; their names follow from the row."""
    world.images.records[image(A)] = record()
    old = world.rows.put(replica_set())
    world.run(old)
    world.settled.rows.clear()
    new = WorkloadKey(kind="ReplicaSet", namespace="shop", name="web-2")
    world.settled.rows[new] = SettledRow(fingerprint="", epoch=1, outcome="Converged")
    world.rows.put(
        replica_set(
            current=False, successor="web-2", has_pods=False, containers=(container(digest=None),)
        )
    )
    assert outcome(world.run(old)) == "Rest:Retired"
    assert world.store.objects == {}


def test_a_run_that_lost_its_claim_neither_writes_nor_deletes(world: World) -> None:
    """Trap 8. It was stopped between gathering and writing; the other run knows better."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set(container("app"), container("side")))
    world.run(key)
    stored = dict(world.store.objects)
    world.lost = True
    world.images.records[image(A)] = record(ids=("CVE-2",))
    with pytest.raises(ConflictError):
        world.run(key)
    new = WorkloadKey(kind="ReplicaSet", namespace="shop", name="web-2")
    world.settled.rows[new] = SettledRow(fingerprint="", epoch=1, outcome="Converged")
    retired = container(digest=None)
    world.rows.put(replica_set(retired, current=False, successor="web-2", has_pods=False))
    with pytest.raises(ConflictError):
        world.run(key)
    assert world.store.objects == stored


def test_a_dropped_containers_reports_are_deleted(world: World) -> None:
    """A StatefulSet's template may change under the same name."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set(container("app"), container("side")))
    world.run(key)
    world.rows.put(replica_set(container("app")))
    world.run(key)
    assert {name for _, _, name in world.store.objects} == {"replicaset-web-1-app"}


def test_an_image_without_packages_gets_a_zero_report_and_no_bill(world: World) -> None:
    """Zero findings that prove nothing must say so."""
    world.images.records[image(A)] = record(packages=False, ids=())
    world.run(world.rows.put(replica_set()))
    kinds = {kind for kind, _, _ in world.store.objects}
    assert kinds == {"VulnerabilityReport", "ExposedSecretReport"}
    stored = world.store.objects[("VulnerabilityReport", "shop", "replicaset-web-1-app")]
    assert stored["metadata"]["annotations"]["kube-sluice/not-covered"] == "true"


def test_a_workload_that_is_gone_is_forgotten(world: World) -> None:
    """Its reports are the garbage collector's; its place in our tables is ours to clear."""
    world.images.records[image(A)] = record()
    key = world.rows.put(replica_set())
    world.run(key)
    del world.rows.rows[key]
    assert outcome(world.run(key)) == "Gone"
    assert str(key) not in world.images.users[image(A)]


def test_a_namespace_that_vanishes_during_the_run_drops_the_result(world: World) -> None:
    """Trap 34. No orphan, no error retry."""
    world.images.records[image(A)] = record()

    def vanish() -> None:
        raise NotFoundError("namespace shop is being terminated")

    world.store.before_write = vanish
    assert outcome(world.run(world.rows.put(replica_set()))) == "Gone"


@pytest.mark.parametrize("fault", [SourceUnavailableError("no API"), ConflictError("race")])
def test_an_api_servers_fault_is_raised_for_the_loop_to_decide(
    world: World, fault: SluiceError
) -> None:
    """It is no container's fault, so it must not be reported as one."""
    world.images.records[image(A)] = record()

    def fail() -> None:
        raise fault

    world.store.before_write = fail
    with pytest.raises(type(fault)):
        world.run(world.rows.put(replica_set()))
    assert world.events.reasons == []


def test_an_event_that_cannot_be_delivered_fails_nothing(world: World) -> None:
    """A courtesy must not cost the work."""
    world.events.fault = SourceUnavailableError("no API")
    world.images.records[image(A)] = ImageRecord(
        failure=Failure(reason="DamagedImage", message="bad", at=0)
    )
    assert outcome(world.run(world.rows.put(replica_set()))) == "Partial:DamagedImage"


def test_workloads_that_share_names_keep_reports_of_their_own(world: World) -> None:
    """Trap 39. Container names repeat everywhere; 22 of 40 scans were lost at the peer."""
    world.images.records[image(A)] = record()
    for number in range(5):
        world.run(world.rows.put(replica_set(name=f"web-{number}")))
    assert len(world.store.objects) == 15


def test_the_first_image_id_changes_the_fingerprint() -> None:
    """Trap 3. Without it the key that rested before the kubelet reported would rest for ever."""
    before, after = replica_set(container(digest=None)), replica_set(container())
    assert fingerprint(before) != fingerprint(after)


def test_a_moved_tag_changes_the_fingerprint() -> None:
    """Trap 4. `:latest` runs another digest although the ReplicaSet did not change."""
    assert fingerprint(replica_set(container())) != fingerprint(replica_set(container(digest=B)))


def test_two_digests_of_one_image_are_one(world: World) -> None:
    """One node says index, one manifest: one record, and the report says what runs."""
    world.images.records[image(A)] = record()
    world.images.homes = {image(B): image(A)}
    both = (
        Running(digest=B, platform="linux-amd64"),
        Running(digest=A, platform="linux-amd64"),
    )
    row = replica_set(msgspec.structs.replace(container(), running=both))
    world.rows.put(row)
    finished = world.run(row.key)
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.outcome == "Converged"
    (report,) = [
        one for (kind, *_), one in world.store.objects.items() if kind == "VulnerabilityReport"
    ]
    assert report["report"]["artifact"]["digest"] == B
    assert len(report["report"]["vulnerabilities"]) == 1
    assert [key for key, users in world.images.users.items() if users] == [image(A)]


def test_a_record_that_is_on_its_way_elsewhere_is_waited_for_there(world: World) -> None:
    """The end of the home's run wakes the workload."""
    world.images.homes = {image(B): image(A)}
    row = replica_set(container(digest=B))
    world.rows.put(row)
    assert world.run(row.key).outcome == Waiting(on=str(image(A)))


CONFIG = "sha256:" + "c" * 64


def loaded(world: World, *configs: str) -> Finished:
    """Run a workload of whose image nodes tell these configurations; the tag means image A."""
    world.registry.digests = {"index.docker.io/library/web:1": A}
    world.registry.configs = {A: CONFIG}
    world.images.records[image(A)] = record()
    seen = tuple(Running(digest=each, platform="linux-amd64") for each in configs)
    row = replica_set(msgspec.structs.replace(container(digest=None), loaded=seen))
    world.rows.put(row)
    return world.run(row.key)


def test_an_image_that_a_node_did_not_pull_is_known_by_its_configuration(world: World) -> None:
    """The digest in the report is proven to be what runs; what the tag means later is no matter."""
    finished = loaded(world, CONFIG)
    assert isinstance(finished.outcome, Settled)
    (report,) = [one for (kind, *_), one in world.store.objects.items() if kind == "SbomReport"]
    assert report["report"]["artifact"]["digest"] == A
    world.registry.digests = {"index.docker.io/library/web:1": B}  # the tag moves on
    assert isinstance(loaded(world, CONFIG).outcome, Settled)
    assert len(world.registry.asked) == 2


def test_an_image_that_nobody_can_name_is_told(world: World) -> None:
    """Findings of another image would look like its own."""
    other = "sha256:" + "d" * 64
    finished = loaded(world, other)
    assert isinstance(finished.outcome, Retry)  # by this test's policy
    assert finished.outcome.reason == "ConfigurationUnknown"
    assert "ScanFailed" in world.events.reasons
    assert world.store.objects == {}
    assert isinstance(loaded(world, other, CONFIG).outcome, Settled)  # one of two nodes' is known
