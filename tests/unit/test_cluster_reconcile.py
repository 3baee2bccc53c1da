"""One ClusterSbomReport's run from row to report, with every port faked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from common.model.clusterrow import ClusterRow, KbomNode, KbomPackage, KbomRow, SbomRow
from common.model.errors import DatabaseNotReadyError, SluiceError, SourceUnavailableError
from common.model.image import Failure, Finding, ImageRecord, ImageUse, Match
from common.model.key import ClusterKey, RowKey, WorkKey, WorkloadKey, cluster_sbom_key
from common.model.workload import Fingerprint, Running, fingerprint
from common.queue.contract import Claim, Finished, Settled, Waiting
from common.reports.assemble import LabelPolicy
from common.reports.labels import (
    IMAGE_ID,
    MANAGED_BY,
    MANAGER,
    SBOM_TYPE,
    SPEC_HASH,
    TTL_ANNOTATION,
)
from common.reports.naming import cluster_sbom_name, image_sbom_name
from common.reports.stamp import parse
from common.state.settled import SettledRow
from tests.fakes.report_store import FakeReportStore
from tests.fakes.tables import FakeImages, reports_of
from tests.unit.test_workload_reconcile import A, B, image, record
from worker.evidence.cluster.match import ClusterMatch
from worker.project import sbom
from worker.project.context import ReportContext, ReportOptions
from worker.subject.cluster.kbom import KbomReporter
from worker.subject.cluster.reconcile import ClusterReconciler
from worker.subject.cluster.sbom import SbomReporter
from worker.write import Writer

IMAGE = "registry.example/web:1"
NAME = image_sbom_name(IMAGE)
KEY = cluster_sbom_key(NAME)
SHOWN = f"ClusterSbomReport//{NAME}"
STORED = ("ClusterSbomReport", "", NAME)


def row(*digests: str) -> SbomRow:
    seen = tuple(Running(digest=one, platform="linux-amd64") for one in digests or (A,))
    return SbomRow(name=NAME, reference=IMAGE, images=seen)


@dataclass
class Tables:
    """Rows and settled runs."""

    row: ClusterRow | None = None
    settled: SettledRow | None = None
    is_mine: bool = True
    waits: list[tuple[str, str]] = field(default_factory=list)

    def of_cluster(self, key: ClusterKey) -> tuple[ClusterRow, Fingerprint] | None:
        return None if self.row is None else (self.row, fingerprint(self.row))

    def get(self, key: ClusterKey) -> SettledRow | None:
        return self.settled

    def holds(self, claim: Claim) -> bool:
        return self.is_mine

    def await_settled(self, successor: RowKey, waiter: RowKey) -> None:
        self.waits.append((str(successor), str(waiter)))


@dataclass
class Matcher:
    """A match server that knows one vulnerability, or fails."""

    ids: tuple[str, ...] = ("CVE-1",)
    fault: SluiceError | None = None
    before: Callable[[], None] = lambda: None
    asked: list[tuple[KbomPackage, ...]] = field(default_factory=list)

    def match(self, target: str, packages: Iterable[KbomPackage]) -> ClusterMatch:
        self.before()
        self.asked.append(tuple(packages))
        if self.fault is not None:
            raise self.fault
        found = tuple(
            Finding(vulnerability_id=one, resource="k8s.io/kubelet", installed_version="v1")
            for one in self.ids
        )
        return ClusterMatch(trivy_version="0.76.0", match=Match(db_version="d1", findings=found))


@dataclass
class World:
    """A worker with all its ports faked."""

    tables: Tables = field(default_factory=Tables)
    images: FakeImages = field(default_factory=FakeImages)
    store: FakeReportStore = field(default_factory=FakeReportStore)
    matcher: Matcher = field(default_factory=Matcher)

    def run(self, wanted: ClusterRow | None, *, key: WorkKey = KEY) -> Finished:
        """Run once; commit what the completion script would."""
        self.tables.row = wanted
        reconcile = ClusterReconciler(
            rows=self.tables,
            settled=self.tables,
            claims=self.tables,
            writer=Writer(self.store, lives=_nobody, now=lambda: "2026-11-26T00:00:00Z"),
            sbom=SbomReporter(
                images=self.images,
                options="o1",
                labels=LabelPolicy(additional={"team": "red"}, report_ttl="120h0m0s"),
            ),
            kbom=KbomReporter(
                waiters=self.tables,
                matcher=self.matcher,
                options=ReportOptions,
                labels=LabelPolicy(additional={"team": "red"}, report_ttl="24h0m0s"),
            ),
            epoch=lambda: 3,
        )
        finished = reconcile(Claim(key=key, token=1))
        if isinstance(finished.outcome, Settled):
            self.tables.settled = SettledRow(
                fingerprint=finished.outcome.fingerprint,
                epoch=finished.outcome.epoch,
                outcome=finished.outcome.outcome,
                reports=dict(finished.outcome.reports),
            )
        return finished

    @property
    def stored(self) -> Mapping[str, Any]:
        return self.store.objects[STORED]


def _nobody(*_: str) -> bool:
    return False


@pytest.fixture
def world() -> World:
    """Give one with an image that is known."""
    return World(images=FakeImages(records={image(A): record()}))


def failed() -> ImageRecord:
    return ImageRecord(failure=Failure(reason="Unauthorized", message="no", at=1.0))


def test_the_entry_is_trivy_operators_by_name_labels_and_lifetime(world: World) -> None:
    """Who finds it by `resource-image-id` there finds it here; additional labels are on it."""
    finished = world.run(row())
    meta = world.stored["metadata"]
    assert meta["labels"] == {IMAGE_ID: NAME, MANAGED_BY: MANAGER, "team": "red"}
    assert meta["annotations"][TTL_ANNOTATION] == "120h0m0s"
    assert meta["ownerReferences"] == []
    assert "namespace" not in meta
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.outcome == "Converged"
    assert list(finished.outcome.reports) == [SHOWN]
    assert [fact.data["report"] for fact in finished.facts] == [SHOWN]


def test_it_says_what_the_sbom_report_of_a_container_says(world: World) -> None:
    """One projector for both."""
    world.run(row())
    context = ReportContext(reference=IMAGE, digest=A, scanner_version="0.76.0")
    body = sbom.project([(image(A), record())], context)
    assert body is not None
    stored = msgspec.json.decode(msgspec.json.encode(world.stored["report"]))
    stored.pop("updateTimestamp")
    stored["components"]["metadata"].pop("timestamp")
    assert stored == msgspec.json.decode(msgspec.json.encode(body.report))


def test_another_run_writes_nothing(world: World) -> None:
    """Law 1; what is compared is metadata."""
    world.run(row())
    writes = world.store.writes
    assert world.run(row()).facts == ()
    assert world.store.writes == writes


def test_it_uses_its_images_so_that_they_wake_it_and_can_pull_none(world: World) -> None:
    """Its own use names no namespace: nobody's credentials are behind it."""
    world.run(row())
    (use,) = world.images.uses(image(A))
    assert use == ImageUse(workload=str(KEY), reference=IMAGE, namespace="")
    assert not use.pulls


def test_an_image_that_is_not_known_yet_is_waited_for(world: World) -> None:
    """What is known of another digest is told meanwhile."""
    finished = world.run(row(A, B))
    assert finished.outcome == Waiting(on=str(image(B)))
    assert reports_of(world.store.objects) == [SHOWN]
    assert world.tables.settled is None


def test_an_image_that_failed_settles_and_keeps_what_is_stored(world: World) -> None:
    """Law 8; the image's own success wakes it, the sweep accepts it until then."""
    world.run(row())
    world.images.records = {image(A): failed()}
    outcome = world.run(row()).outcome
    assert isinstance(outcome, Settled)
    assert outcome.outcome == "Partial:Unauthorized"
    assert list(outcome.reports) == [SHOWN]
    assert reports_of(world.store.objects) == [SHOWN]


def test_an_image_without_packages_has_no_entry(world: World) -> None:
    """An empty document would read "nothing inside"; an old entry goes."""
    world.run(row())
    world.images.records = {image(B): record(packages=False)}
    outcome = world.run(row(B)).outcome
    assert isinstance(outcome, Settled)
    assert (outcome.outcome, dict(outcome.reports)) == ("Converged", {})
    assert world.store.objects == {}


def test_a_tag_that_rolls_is_one_entry_of_both(world: World) -> None:
    """A union, as in a container's report; the row's order is fixed, so it does not flip."""
    world.images.records[image(B)] = record()
    world.run(row(A, B))
    stamp = parse(world.stored["metadata"]["annotations"])
    assert stamp is not None
    assert [one.digest for one in stamp.inputs] == [A, B]
    assert world.stored["report"]["artifact"]["digest"] == A


def test_two_digests_of_one_image_are_told_once_and_its_record_is_followed(world: World) -> None:
    """Some kubelets name the index, others the manifest; the entry names what runs."""
    world.images.homes[image(B)] = image(A)
    world.run(row(A, B))
    world.run(row(B))
    stamp = parse(world.stored["metadata"]["annotations"])
    assert stamp is not None
    assert [one.digest for one in stamp.inputs] == [B]
    assert [use.workload for use in world.images.uses(image(A))] == [str(KEY)]


def test_an_image_that_is_waited_for_is_named_by_its_record(world: World) -> None:
    """Whoever looks for what it waits for finds that."""
    world.images.homes[image(B)] = home = image("sha256:" + "c" * 64)
    assert world.run(row(B)).outcome == Waiting(on=str(home))


def test_what_has_no_row_is_deleted_and_its_images_released(world: World) -> None:
    """Trap 35. No garbage collector does it."""
    world.run(row())
    outcome = world.run(None).outcome
    assert isinstance(outcome, Settled)
    assert outcome.outcome == "Gone"
    assert world.store.objects == {}
    assert world.images.uses(image(A)) == []


def test_after_a_flush_of_redis_the_name_tells_what_to_delete(world: World) -> None:
    """Nothing is settled then."""
    world.run(row())
    world.tables.settled = None
    world.run(None)
    assert world.store.objects == {}


@pytest.mark.parametrize(
    ("labels", "left"), [({MANAGED_BY: MANAGER}, []), ({}, [SHOWN])], ids=["scanner's", "user's"]
)
def test_a_report_of_somebody_else_is_left(labels: dict[str, str], left: list[str]) -> None:
    """Without a stamp the manager's label decides."""
    world = World()
    meta = {"name": NAME, "labels": labels}
    world.store.create({"kind": "ClusterSbomReport", "metadata": meta, "report": {}})
    world.run(None)
    assert reports_of(world.store.objects) == left


def test_a_zombie_deletes_nothing(world: World) -> None:
    """It slept past its lease; another run may have written meanwhile."""
    world.run(row())
    world.tables.is_mine = False
    with pytest.raises(Exception, match="another run has its key"):
        world.run(None)
    assert reports_of(world.store.objects) == [SHOWN]


def test_a_key_of_a_workload_is_a_defect(world: World) -> None:
    """Two reconcilers share a pool: each takes its own."""
    with pytest.raises(TypeError):
        world.run(None, key=WorkloadKey(kind="Pod", namespace="shop", name="web"))


# --- the cluster's own software -------------------------------------------------------------------

KBOM = KbomRow(
    name=cluster_sbom_name("k8s.io", "kubernetes", "1.36.3"),
    version="1.36.3",
    nodes=(
        KbomNode(
            name="n1",
            role="master",
            kubelet="1.36.3",
            runtime="containerd://2.1.4",
            os_image="Debian GNU/Linux 12 (bookworm)",
            kernel="6.1.0",
            operating_system="linux",
            architecture="amd64",
        ),
    ),
    components=(),
)
KBOM_KEY = KBOM.key
BILL = ("ClusterSbomReport", "", KBOM.name)
ABOUT = ("ClusterVulnerabilityReport", "", f"clustersbomreport-{KBOM.name}-k8s-cluster")


def kbom(world: World, row: KbomRow | None = KBOM) -> Finished:
    return world.run(row, key=KBOM_KEY)


def test_the_clusters_bill_is_trivy_operators_by_name_and_labels(world: World) -> None:
    """It has no lifetime and no configured labels there either."""
    kbom(world)
    meta = world.store.objects[BILL]["metadata"]
    assert meta["labels"] == {IMAGE_ID: KBOM.name, MANAGED_BY: MANAGER, SBOM_TYPE: "kbom"}
    assert TTL_ANNOTATION not in meta["annotations"]
    report = world.store.objects[BILL]["report"]
    assert report["registry"] == {"server": "k8s.io"}
    assert report["artifact"] == {"repository": "kubernetes", "tag": "1.36.3"}


def test_its_vulnerabilities_hang_on_the_bill(world: World) -> None:
    """Owned by it, so that the garbage collector takes both."""
    finished = kbom(world)
    meta = world.store.objects[ABOUT]["metadata"]
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "aquasecurity.github.io/v1alpha1",
            "kind": "ClusterSbomReport",
            "name": KBOM.name,
            "uid": world.store.objects[BILL]["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    labels = dict(meta["labels"])
    assert len(labels.pop(SPEC_HASH)) == 32
    assert labels == {
        "trivy-operator.resource.kind": "ClusterSbomReport",
        "trivy-operator.resource.name": KBOM.name,
        "trivy-operator.resource.namespace": "",
        "trivy-operator.container.name": "k8s-cluster",
        MANAGED_BY: MANAGER,
        "team": "red",
    }
    assert meta["annotations"][TTL_ANNOTATION] == "24h0m0s"
    report = world.store.objects[ABOUT]["report"]
    assert report["artifact"] == {"repository": "kubernetes", "tag": "1.36.3"}
    assert report["os"] == {"family": "debian gnu/linux", "name": "12"}
    assert [one["vulnerabilityID"] for one in report["vulnerabilities"]] == ["CVE-1"]
    assert isinstance(finished.outcome, Settled)
    assert set(finished.outcome.reports) == {"/".join(BILL), "/".join(ABOUT)}


def test_the_clusters_reports_are_written_once(world: World) -> None:
    """Law 1; a match costs milliseconds and no write."""
    kbom(world)
    writes = world.store.writes
    assert [fact.kind for fact in kbom(world).facts] == ["matched"]
    assert world.store.writes == writes


def test_a_newer_database_rewrites_the_findings_alone(world: World) -> None:
    """trivy-operator never scans a version of the cluster twice."""
    kbom(world)
    world.matcher.ids = ("CVE-1", "CVE-2")
    facts = [fact.data["report"] for fact in kbom(world).facts if fact.kind == "written"]
    assert facts == ["/".join(ABOUT)]


def test_it_waits_for_the_next_database_before_it_asks(world: World) -> None:
    """One that is published during the match must bring the key back."""
    told: list[int] = []
    world.matcher.before = lambda: told.append(len(world.tables.waits))
    kbom(world)
    assert told == [1]
    assert world.tables.waits == [("cluster/database", str(KBOM_KEY))]


def test_before_the_first_database_the_cluster_waits_for_it(world: World) -> None:
    """And nothing is written."""
    world.matcher.fault = DatabaseNotReadyError("none yet")
    assert kbom(world).outcome == Waiting(on="cluster/database")
    assert world.store.objects == {}


def test_a_match_server_that_is_away_is_the_policys_business(world: World) -> None:
    """What is stored stays."""
    kbom(world)
    world.matcher.fault = SourceUnavailableError("away")
    with pytest.raises(SourceUnavailableError):
        kbom(world)
    assert set(world.store.objects) == {BILL, ABOUT}


def test_a_version_of_the_cluster_that_is_gone_takes_both_reports(world: World) -> None:
    """Trap 35, after an upgrade; also when Redis forgot what was settled."""
    kbom(world)
    world.tables.settled = None
    kbom(world, None)
    assert world.store.objects == {}
