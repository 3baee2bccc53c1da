"""One image's run: an inventory once, a match per database, and a record that tells every end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from common.model.errors import (
    BudgetSpentError,
    CircuitOpenError,
    DamagedImageError,
    DatabaseNotReadyError,
    ImageNotFoundError,
    LayerCacheMissingError,
    NoRoomError,
    NotBegunError,
    RateLimitedError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TransferDamagedError,
    TransientError,
    UnauthorizedError,
)
from common.model.image import Failure, Finding, ImageRecord, ImageUse, Inventory, Match, Os
from common.model.key import ImageKey
from common.model.spread import turn_s
from common.model.trivy_version import Trusted
from common.queue.contract import After, Claim, Finished, Park, Retry, Settled, Waiting
from common.state.layers import Held
from tests.fakes.tables import FakeImages, NoKeys
from tests.queue_values import tallies
from tests.unit import test_image_once as once
from worker.evidence.image.access import Accesses
from worker.evidence.image.inventory import InventoryJob, InventoryResult, ScanOptions
from worker.subject.image.once import PullOnce
from worker.subject.image.plan import Refreshing, attempts
from worker.subject.image.pull import Pull, PullConfig
from worker.subject.image.reconcile import ImageReconciler

KEY = ImageKey(digest="sha256:" + "a" * 64, platform="linux-amd64", options=ScanOptions().digest())
INVENTORY = Inventory(
    scanner_version="0.76.0",
    artifact_id="sha256:1",
    blob_ids=("sha256:2",),
    target="web",
    os=Os(),
    covered=True,
    has_packages=True,
)
MATCH = Match(db_version="1", findings=())


def use(workload: str = "w1", reference: str = "r.example/web:1", **more: object) -> ImageUse:
    fields = {"workload": workload, "reference": reference, "namespace": "shop"}
    return ImageUse(**fields | more)  # type: ignore[arg-type] # the builder's own fields


@dataclass
class FakeScanner:
    """Answers one reference after another."""

    faults: dict[str, SluiceError] = field(default_factory=dict)
    jobs: list[InventoryJob] = field(default_factory=list)
    good: bytes | None = None  # the only credential that opens; None: all do

    def inventory(self, job: InventoryJob) -> InventoryResult:
        self.jobs.append(job)
        if self.good is not None and job.docker_config != self.good:
            raise UnauthorizedError("no")
        fault = self.faults.get(job.reference.partition("@")[0])
        if fault is not None:
            raise fault
        return InventoryResult(inventory=INVENTORY, seconds=1.0)


@dataclass
class FakeMatcher:
    """Raises the faults in turn, then answers."""

    faults: list[SluiceError] = field(default_factory=list)
    calls: int = 0

    def match(self, inventory: Inventory) -> Match:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return MATCH


@dataclass
class World:
    """A scan worker with all its ports faked."""

    images: FakeImages = field(default_factory=FakeImages)
    scanner: FakeScanner = field(default_factory=FakeScanner)
    matcher: FakeMatcher = field(default_factory=FakeMatcher)
    keys: NoKeys | Keys = field(default_factory=NoKeys)
    once: PullOnce | None = None
    due: bool = False

    def pull(self) -> Pull:
        return Pull(
            keys=self.keys,
            scanner=self.scanner,
            config=PullConfig(
                options=ScanOptions(),
                deadline_s=60,
                accesses=Accesses(insecure=False),
                server_url=lambda: "http://m",
            ),
            once=self.once,
        )

    def run(
        self,
        *uses: ImageUse,
        record: ImageRecord | None = None,
        failed_for_s: float = 0.0,
        key: ImageKey = KEY,
    ) -> Finished:
        self.images.users[key] = {one.workload: one for one in uses}
        if record is not None:
            self.images.records[key] = record
        reconciler = ImageReconciler(
            records=self.images,
            pull=self.pull(),
            matcher=self.matcher,
            decide=decide,
            now_s=lambda: 5.0,
            epoch=lambda: 1,
            is_due=lambda key, inventory: self.due,
        )
        claim = Claim(key=key, token=1, tallies=tallies(1, 1.0), first_failed_ago_s=failed_for_s)
        return reconciler(claim)


def decide(error: SluiceError, claim: Claim) -> Retry | Park:
    if isinstance(error, SourceUnavailableError):
        return Retry(delay_s=1, reason=error.reason, message=str(error))
    return Park(reason=error.reason, message=str(error), probe_after_s=600)


@pytest.fixture
def world() -> World:
    return World()


def kinds(finished: Finished) -> list[str]:
    return [fact.kind for fact in finished.facts]


def test_an_unknown_image_is_analysed_then_matched(world: World) -> None:
    """The two halves of a scan, each counted."""
    finished = world.run(use())
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.image is not None
    assert finished.outcome.image.inventory == INVENTORY
    assert finished.outcome.image.match == MATCH
    assert kinds(finished) == ["inventoried", "matched"]


def test_a_known_image_is_only_matched(world: World) -> None:
    """Law 3: a new database never touches a registry."""
    finished = world.run(use(), record=ImageRecord(inventory=INVENTORY, match=MATCH))
    assert world.scanner.jobs == []
    assert kinds(finished) == ["matched"]
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.image is not None
    assert finished.outcome.image.inventory is None


@pytest.mark.parametrize("known", [False, True])
def test_a_run_that_another_holds_up_comes_back(world: World, *, known: bool) -> None:
    """It has not failed, and nothing is charged; the end of the other one wakes it."""
    layers = once.World(lease_answer=Held(by="image/other"), home=KEY)
    world.once = PullOnce(manifests=layers, identities=layers, layers=layers)
    world.matcher.faults = [LayerCacheMissingError("lost")] if known else []
    finished = world.run(use(), record=ImageRecord(inventory=INVENTORY) if known else None)
    assert isinstance(finished.outcome, After)
    assert finished.outcome.reason == "LayersLeased"
    assert world.scanner.jobs == []
    assert layers.log == ["outline", "lease lost" if known else "lease"]


def test_an_image_that_has_its_record_elsewhere_needs_nothing(world: World) -> None:
    """Its end wakes who waits, and they are led to the other key."""
    layers = once.World(home=replace(KEY, digest="sha256:" + "e" * 64))
    world.once = PullOnce(manifests=layers, identities=layers, layers=layers)
    finished = world.run(use())
    assert isinstance(finished.outcome, Settled)
    assert (finished.outcome.outcome, finished.outcome.image) == ("Rest:SameImage", None)
    assert (world.scanner.jobs, world.matcher.calls) == ([], 0)


def test_a_use_that_has_the_image_by_another_digest_pulls_that(world: World) -> None:
    """Its repository may hold the manifest alone, and not the index of the record's key."""
    other = "sha256:" + "b" * 64
    world.run(use(digest=other))
    assert world.scanner.jobs[0].reference == f"r.example/web@{other}"


def test_an_image_that_nobody_uses_is_not_pulled(world: World) -> None:
    """The workload may have vanished while the key waited."""
    finished = world.run()
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.outcome == "Rest:Unused"
    assert world.scanner.jobs == []


def test_the_pull_is_by_digest_whatever_the_tag_means_now(world: World) -> None:
    """The digest is what runs; the tag may have moved."""
    world.run(use())
    assert world.scanner.jobs[0].reference == f"r.example/web@{KEY.digest}"


@pytest.mark.parametrize("fault", [UnauthorizedError, ImageNotFoundError])
def test_another_workloads_credentials_are_tried_after_a_refusal(
    world: World, fault: type[SluiceError]
) -> None:
    """One namespace's missing pull secret must not cost another its report."""
    world.scanner.faults["a.example/web"] = fault("no")
    finished = world.run(use("w1", "a.example/web:1"), use("w2", "b.example/web:1"))
    assert isinstance(finished.outcome, Settled)
    assert [job.reference.partition("@")[0] for job in world.scanner.jobs] == [
        "a.example/web",
        "b.example/web",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        SourceUnavailableError("away", reason="RegistryUnavailable"),
        CircuitOpenError("left alone", reason="RegistryUnavailable"),
        RateLimitedError("slowly"),
        TerminalError("answers 418", reason="RegistryRefused"),
        TerminalError("who are you", reason="CertificateRefused"),
        TransferDamagedError("its digest is not that"),
    ],
)
def test_a_registry_in_trouble_does_not_keep_the_image_from_who_names_it_elsewhere(
    world: World, fault: SluiceError
) -> None:
    """A tenant's own registry, or a mirror that is down, kept it from all others."""
    world.keys = Keys({"shop": (b"one", b"two")})
    fault.source = "" if isinstance(fault, TerminalError) else "registry/a.example"
    world.scanner.faults["a.example/web"] = fault
    finished = world.run(use("w1", "a.example/web:1"), use("w2", "b.example/web:1"))
    assert isinstance(finished.outcome, Settled)
    assert [job.reference.partition("@")[0] for job in world.scanner.jobs] == [
        "a.example/web",
        "b.example/web",
    ]


def test_who_comes_while_a_run_is_refused_has_his_turn_at_once(world: World) -> None:
    """He waits for the end of that run, and had to wait for the slow probe of a parked key."""
    late = use("w2", namespace="other")

    class Slow(FakeScanner):
        def inventory(self, job: InventoryJob) -> InventoryResult:
            world.images.users[KEY][late.workload] = late
            return super().inventory(job)

    world.scanner = Slow(faults={"r.example/web": UnauthorizedError("no")})
    first = world.run(use("w1")).outcome
    assert isinstance(first, After)
    assert (first.reason, first.delay_s) == ("NamedMeanwhile", 0.0)
    assert isinstance(world.run(use("w1"), late).outcome, Park)


def test_who_differs_in_nothing_is_no_reason_to_ask_again(world: World) -> None:
    """A thousand workloads may come while one image is refused."""

    class Slow(FakeScanner):
        def inventory(self, job: InventoryJob) -> InventoryResult:
            world.images.users[KEY]["a"] = use("a")
            return super().inventory(job)

    world.scanner = Slow(faults={"r.example/web": UnauthorizedError("no")})
    assert isinstance(world.run(use("w1")).outcome, Park)


def test_an_outage_outlasts_no_refusal(world: World) -> None:
    """What may be over in a minute is tried again before what needs somebody's hand."""
    away = SourceUnavailableError("away", reason="RegistryUnavailable")
    away.source = "registry/a.example"
    world.scanner.faults = {"a.example/web": away, "b.example/web": UnauthorizedError("no")}
    outcome = world.run(use("w1", "a.example/web:1"), use("w2", "b.example/web:1")).outcome
    assert isinstance(outcome, Retry)
    assert outcome.reason == "RegistryUnavailable"


def test_a_fault_of_our_own_part_is_no_registrys(world: World) -> None:
    """Every name would meet it again."""
    fault = SourceUnavailableError("away", reason="ScannerUnavailable")
    fault.source = "scanner/x"
    world.scanner.faults["a.example/web"] = fault
    world.run(use("w1", "a.example/web:1"), use("w2", "b.example/web:1"))
    assert len(world.scanner.jobs) == 1


@pytest.mark.parametrize("reason", ["ScanTimeout", "RegistryUnavailable"])
def test_after_a_fault_that_may_be_a_registrys_another_one_comes_first(reason: str) -> None:
    """One that sends its layers too slowly holds a run until its deadline, time and again."""
    uses = [use("w1", "a.example/web:1"), use("w2", "a.example/web:2"), use("w3", "b.example/x:1")]
    after = [
        attempts(uses, after=Failure(reason=reason, message="", at=0, attempts=number))[0]
        for number in range(4)
    ]
    assert after == [uses[0], uses[2], uses[0], uses[2]]


def test_a_damaged_image_is_not_pulled_again_with_other_credentials(world: World) -> None:
    """The content is the same for everybody."""
    world.scanner.faults["a.example/web"] = DamagedImageError("bad gzip")
    world.run(use("w1", "a.example/web:1"), use("w2", "b.example/web:1"))
    assert len(world.scanner.jobs) == 1


def test_every_failure_is_stored_with_its_reason(world: World) -> None:
    """Trap 15. Waiters wake and read why."""
    world.scanner.faults["r.example/web"] = DamagedImageError("bad gzip")
    finished = world.run(use())
    assert isinstance(finished.outcome, Park)
    assert finished.outcome.image is not None
    failure = finished.outcome.image.failure
    assert failure is not None
    assert (failure.reason, failure.message, failure.at) == ("DamagedImage", "bad gzip", 5.0)


def test_who_asked_nobody_does_not_talk_over_who_did(world: World) -> None:
    """An open circuit is no news: the words of the registry stay, and no workload is woken."""
    error = CircuitOpenError("left alone", reason="RegistryUnavailable")
    world.scanner.faults["r.example/web"] = error
    known = Failure(reason="RegistryUnavailable", message="refused", at=1.0)
    outcome = world.run(use(), record=ImageRecord(failure=known)).outcome
    assert isinstance(outcome, Retry)
    assert outcome.image is not None
    assert outcome.image.failure is None
    first = world.run(use(), record=ImageRecord()).outcome
    assert isinstance(first, Retry)
    assert first.image is not None
    assert first.image.failure is not None


def test_an_inventory_is_kept_when_the_match_fails(world: World) -> None:
    """Law 3: no image is pulled twice because the match server was away."""
    world.matcher.faults = [SourceUnavailableError("no server")]
    finished = world.run(use())
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.image is not None
    assert finished.outcome.image.inventory == INVENTORY
    assert kinds(finished) == ["inventoried"]


def test_a_failed_match_takes_nothing_from_the_record(world: World) -> None:
    """Law 8: what was known stays until its successor is there."""
    world.matcher.faults = [SourceUnavailableError("no server")]
    finished = world.run(use(), record=ImageRecord(inventory=INVENTORY, match=MATCH))
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.image is not None
    assert finished.outcome.image.match is None  # leaves what is stored


def test_a_part_of_ours_that_restarts_is_not_told_to_every_workload(world: World) -> None:
    """A restart of the match server must not put an Event on every workload of the cluster."""
    away = SourceUnavailableError("no server", reason="MatchServerUnavailable")
    world.matcher.faults = [away] * 2
    first = world.run(use())
    assert isinstance(first.outcome, Retry)
    assert first.outcome.image is not None
    assert first.outcome.image.failure is None
    later = world.run(use(), failed_for_s=61)
    assert isinstance(later.outcome, Retry)
    assert later.outcome.image is not None
    assert later.outcome.image.failure is not None


def test_after_running_out_of_memory_the_next_try_gets_all_of_it(world: World) -> None:
    """Trap 29. The bigger lane, once; the class's policy parks it after that."""
    failure = Failure(reason="OutOfMemory", message="killed", at=0)
    world.run(use(), record=ImageRecord(failure=failure))
    assert world.scanner.jobs[-1].alone
    world.run(use(), record=ImageRecord())
    assert not world.scanner.jobs[-1].alone


def test_before_the_first_database_an_image_waits_for_it(world: World) -> None:
    """Announcing a database queues every image: polling would burn the backoff for nothing."""
    world.matcher.faults = [DatabaseNotReadyError("none yet")]
    assert world.run(use()).outcome == Waiting(on="cluster/database")


@pytest.mark.parametrize("kind", [BudgetSpentError, NoRoomError])
def test_what_is_put_off_is_a_delay_and_no_failure(kind: type[NotBegunError], world: World) -> None:
    """Nobody is at fault, so nobody must read of one: no attempt, no record, no Event."""
    world.scanner.faults["r.example/web"] = kind("enough", retry_after_s=42.0)
    finished = world.run(use())
    assert finished.outcome == After(delay_s=42.0, reason=kind.reason)
    assert kinds(finished) == []


def test_an_image_that_reports_alone_use_is_not_pulled(world: World) -> None:
    """They name no namespace, so there is nobody whose credentials could be tried."""
    alone = ImageUse(workload="cluster/sbom/bcdf", reference="app:1", namespace="")
    outcome = world.run(alone).outcome
    assert isinstance(outcome, Settled)
    assert outcome.outcome == "Rest:Unused"
    assert world.scanner.jobs == []


def test_lost_layers_are_analysed_again_at_once(world: World) -> None:
    """The match server's volume was lost: the inventory's keys mean nothing to it."""
    world.matcher.faults = [LayerCacheMissingError("layer cache missing")]
    finished = world.run(use(), record=ImageRecord(inventory=INVENTORY, match=MATCH))
    assert isinstance(finished.outcome, Settled)
    assert kinds(finished) == ["inventoried", "matched"]


def test_uses_that_a_registry_cannot_tell_apart_are_tried_once() -> None:
    """Fifty replicas of a bad secret are one attempt."""
    same = [use(f"w{number}") for number in range(50)]
    assert attempts(same) == (same[0],)


def test_a_use_whose_kubelet_ran_the_image_is_tried_first() -> None:
    """Its credentials are proven."""
    ran = use("z", "b.example/web:1", kubelet_ran_it=True)
    assert attempts([use("a"), ran])[0] == ran


@dataclass
class Keys:
    """Secrets by namespace, then anonymous."""

    configs: dict[str, tuple[bytes, ...]]

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        yield from self.configs.get(use.namespace, ())
        yield None


def test_every_credential_of_a_use_is_tried(world: World) -> None:
    """A stale secret before a good one was Unauthorized for ever."""
    world.keys = Keys({"shop": (b"stale", b"good")})
    world.scanner.good = b"good"
    assert isinstance(world.run(use()).outcome, Settled)
    assert [job.docker_config for job in world.scanner.jobs] == [b"stale", b"good"]


@dataclass
class Plugged(Keys):
    """A credential provider that fails for one namespace."""

    broken: str = "shop"

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        yield from super().candidates(use)
        if use.namespace == self.broken:
            raise TransientError("the provider ended with status 1", reason="CredentialProvider")


def test_a_provider_that_fails_for_one_does_not_keep_the_image_from_others(world: World) -> None:
    """And where nobody else is let in, it is what failed: the refusals prove nothing."""
    world.keys = Plugged({"other": (b"good",)})
    world.scanner.good = b"good"
    both = (use("w1"), use("w2", namespace="other"))
    assert isinstance(world.run(*both).outcome, Settled)
    world.scanner.good = b"none"
    outcome = world.run(*both).outcome
    assert isinstance(outcome, Retry | Park)
    assert outcome.reason == "CredentialProvider"


def test_what_a_registry_could_not_tell_apart_is_asked_once(world: World) -> None:
    """Two namespaces without a secret are one anonymous try."""
    world.scanner.faults["r.example/web"] = UnauthorizedError("no")
    world.run(use("w1"), use("w2", namespace="other"))
    assert len(world.scanner.jobs) == 1


def test_after_a_refusal_the_next_run_begins_with_other_uses() -> None:
    """A run makes few tries; the use that has the right secret must have its turn."""
    uses = [use(f"w{number:02}", namespace=f"n{number}") for number in range(20)]
    failure = Failure(reason="Unauthorized", message="no", at=0, attempts=3)
    assert attempts(uses, after=failure)[0] == uses[12]
    assert set(attempts(uses, after=failure)) == set(uses)
    away = Failure(reason="RegistryUnavailable", message="no", at=0, attempts=3)
    assert attempts(uses, after=away)[0] == uses[0]


def test_no_tenant_reads_where_another_one_pulls_from(world: World) -> None:
    """Trap 27: the image is everybody's, its name is one tenant's."""
    text = (
        'the registry refuses our credentials: GET "https://r.example/v2/secret-plan/manifests/'
        'sha256:1": DENIED: see auth.r.example, mirror 10.1.2.3:5000 for secret-plan in 0.76.0'
    )
    error = UnauthorizedError(text)
    world.scanner.faults["r.example/secret-plan"] = error
    finished = world.run(use("w1", "r.example/secret-plan:1"), use("w2", "b.example/x:1"))
    assert isinstance(finished.outcome, Settled)
    world.scanner.faults["b.example/x"] = UnauthorizedError("neither b.example/x")
    outcome = world.run(
        use("w1", "r.example/secret-plan:1"), use("w2", "b.example/x:1", namespace="other")
    ).outcome
    assert isinstance(outcome, Park)
    assert outcome.image is not None
    failure = outcome.image.failure
    assert failure is not None
    assert failure.told_to("shop") == text
    told = failure.told_to("other")
    assert told == outcome.message == str(error)
    assert told.startswith("the registry refuses our credentials: GET ")
    assert told.endswith("in 0.76.0")
    for name in ("secret-plan", "r.example", "10.1.2.3"):
        assert name not in told


def test_the_fact_of_an_inventory_names_nobody(world: World) -> None:
    """Histories of all its users tell it."""
    facts = world.run(use()).facts
    assert "r.example" not in str(facts)


OLD = msgspec.structs.replace(INVENTORY, scanner_version="0.75.3")
KNOWN = ImageRecord(inventory=OLD, match=Match(db_version="0", findings=()))


def test_an_outdated_inventory_is_made_again_at_its_turn(world: World) -> None:
    """Trap 17. Before its turn the old one is matched, and nothing is pulled."""
    finished = world.run(use(), record=KNOWN)
    assert kinds(finished) == ["matched"]
    assert world.scanner.jobs == []
    world.due = True
    finished = world.run(use(), record=KNOWN)
    assert kinds(finished) == ["inventoried", "matched"]
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.image is not None
    assert finished.outcome.image.inventory == INVENTORY


def test_a_refresh_that_fails_leaves_the_old_inventory_in_use(world: World) -> None:
    """Its findings are of today's database; no report tells of the failure, and it is repeated."""
    world.due = True
    world.scanner.faults["r.example/web"] = SourceUnavailableError("down", reason="Down")
    finished = world.run(use(), record=KNOWN, failed_for_s=1e6)
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.reason == "Down"
    update = finished.outcome.image
    assert update is not None
    assert (update.inventory, update.match, update.failure) == (None, MATCH, None)


def test_a_refresh_analyses_layers_that_are_known_already(world: World) -> None:
    """They are as another Trivy knows them; of two images with one layer, one analyses it."""
    world.due = True
    layers = once.World(lease_answer=Held(by="image/other"), home=KEY)
    world.once = PullOnce(manifests=layers, identities=layers, layers=layers)
    finished = world.run(use(), record=KNOWN)
    assert isinstance(finished.outcome, After)
    assert layers.log == ["outline", "lease lost"]


def test_a_refresh_that_the_budget_refuses_costs_no_attempt(world: World) -> None:
    """A new Trivy brings every image back: hours of waiting must not use up anybody's tries."""
    world.due = True
    world.scanner.faults["r.example/web"] = BudgetSpentError("enough", retry_after_s=42.0)
    finished = world.run(use(), record=KNOWN)
    assert finished.outcome == After(delay_s=42.0, reason="RegistryBudget")


def test_a_refresh_that_would_be_parked_comes_back_instead(world: World) -> None:
    """Parking puts the failure on record, and reports would call a good image broken."""
    world.due = True
    world.scanner.faults["r.example/web"] = ImageNotFoundError("deleted from the registry")
    finished = world.run(use(), record=KNOWN)
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.delay_s == 600
    assert finished.outcome.image is not None
    assert finished.outcome.image.failure is None


def test_findings_that_changed_while_a_refresh_fails_reach_their_reports(world: World) -> None:
    """Only a run that settles wakes the workloads."""
    world.due = True
    world.scanner.faults["r.example/web"] = SourceUnavailableError("down", reason="Down")
    found = Finding(vulnerability_id="CVE-1", resource="a", installed_version="1")
    stale = ImageRecord(inventory=OLD, match=Match(db_version="0", findings=(found,)))
    finished = world.run(use(), record=stale)
    assert isinstance(finished.outcome, Settled)
    assert finished.outcome.image is not None
    assert finished.outcome.image.match == MATCH


def test_an_inventory_that_would_replace_another_waits_for_its_match(world: World) -> None:
    """Stored alone, what it changes in an SBOM would never be told: its findings may be equal."""
    world.due = True
    world.matcher.faults = [SourceUnavailableError("down", reason="MatchServerUnavailable")]
    finished = world.run(use(), record=KNOWN)
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.image is not None
    assert finished.outcome.image.inventory is None


def test_a_failed_refresh_whose_layers_are_gone_is_a_failure(world: World) -> None:
    """Then nothing is known any more, and users must see it."""
    world.due = True
    world.scanner.faults["r.example/web"] = SourceUnavailableError("down", reason="Down")
    world.matcher.faults = [LayerCacheMissingError("gone")]
    finished = world.run(use(), record=KNOWN, failed_for_s=1e6)
    assert isinstance(finished.outcome, Retry)
    assert finished.outcome.image is not None
    assert finished.outcome.image.failure is not None
    assert finished.outcome.image.failure.reason == "Down"


@pytest.mark.parametrize(
    ("trusted", "made_by", "after_s", "due"),
    [
        (None, "0.75.0", 1e9, False),
        ("0.76.0", "0.75.0", 1e9, True),
        ("0.76.0", "0.75.0", -1.0, False),  # its turn has not come
        ("0.76.2", "0.76.0", 1e9, False),  # a patch release analyses the same
        ("0.75.0", "0.76.0", 1e9, False),  # a downgrade pulls nothing
        ("0.76.0", "", 1e9, False),
    ],
)
def test_only_a_trusted_newer_trivy_makes_an_inventory_due(
    trusted: str | None, made_by: str, after_s: float, *, due: bool
) -> None:
    """One that is not trusted yet analyses new images only."""
    row = None if trusted is None else Trusted(version=trusted, since_s=1000.0)
    refreshing = Refreshing(trusted=row, over_s=86_400)
    now_s = 1000.0 + turn_s(KEY, over_s=86_400) + after_s
    inventory = msgspec.structs.replace(INVENTORY, scanner_version=made_by)
    assert refreshing.is_due(KEY, inventory, now_s=now_s) is due


def test_only_those_pull_whose_skips_the_key_names(world: World) -> None:
    """One tenant's list must not hide from another what is in the image of both."""
    hiding = use("w1", "r.example/hiding:1", skip_dirs=("/",))
    world.run(hiding, use("w2", "r.example/open:1"))
    assert [job.reference.partition("@")[0] for job in world.scanner.jobs] == ["r.example/open"]
    assert world.scanner.jobs[0].options == ScanOptions()


def test_a_canary_is_tried_by_those_whose_skips_its_key_names(world: World) -> None:
    """It compares what it stores, and stores it for all."""
    hiding = use("w1", "r.example/hiding:1", skip_dirs=("/",))
    world.pull().try_out(KEY, [hiding, use("w2", "r.example/open:1")])
    (job,) = world.scanner.jobs
    assert (job.reference.partition("@")[0], job.options) == ("r.example/open", ScanOptions())
    assert job.canary


def test_skips_reach_the_scanner(world: World) -> None:
    """The list stands in the key's options, and in what Trivy is told."""
    options = ScanOptions().chosen_digest(("/a",), None)
    hiding = use("w1", skip_files=("/a",))
    world.run(hiding, use("w2"), key=replace(KEY, options=options))
    (job,) = world.scanner.jobs
    assert job.options == ScanOptions(skip_files=("/a",))


def test_where_nobody_wants_the_keys_options_any_more_it_is_tried_again(world: World) -> None:
    """A worker whose settings are older must not take it for unused."""
    finished = world.run(use("w1", skip_files=("/a",)))
    assert isinstance(finished.outcome, Park)
    assert finished.outcome.reason == "OptionsChanged"
    assert finished.outcome.image is not None
    assert finished.outcome.image.failure is None, "no fault of the image"


def test_uses_that_skip_other_files_are_uses_of_their_own() -> None:
    """Of two that a registry cannot tell apart, one may fit the key and the other not."""
    assert len(attempts([use("a"), use("b", skip_files=("/a",)), use("c", skip_files=())])) == 3
