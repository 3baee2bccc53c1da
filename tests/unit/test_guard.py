"""Circuits around the ports: who is asked, who is blamed, and who is charged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from common.kube.errors import DeniedError, ThrottledError, UnavailableError
from common.kube.session import Reply
from common.model.circuit import Fail, Verdict
from common.model.errors import (
    CircuitOpenError,
    ConflictError,
    DamagedImageError,
    DatabaseNotReadyError,
    ImageNotFoundError,
    LayerCacheMissingError,
    OutOfMemoryError,
    RateLimitedError,
    ScanTimeoutError,
    SluiceError,
    SourceUnavailableError,
    UnauthorizedError,
)
from common.model.image import Layers, Match
from common.model.refs import parse_reference
from common.queue.contract import Claim, Hold, Park, Retry
from common.state.circuits import Passage, Probe, Refusal
from tests.queue_values import image, inventory, match, tallies, workload
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.inventory import InventoryJob, InventoryResult
from worker.evidence.image.options import ScanOptions
from worker.guard import (
    Guard,
    GuardedApi,
    GuardedBatchMatcher,
    GuardedMatcher,
    GuardedRegistry,
    GuardedScanner,
)
from worker.judge import Judge

APP = parse_reference("ghcr.io/shop/app:1")
JOB = InventoryJob(
    reference="ghcr.io/shop/app@sha256:" + "1" * 64,
    access=Accesses(insecure=False).of(APP),
    platform="linux-amd64",
    options=ScanOptions(),
    server_url="http://matcher:4954",
    deadline_s=60,
)
OWN, REGISTRY, MATCHER = "scanner/pod-1", "registry/ghcr.io", "match-server/matcher:4954"


@dataclass
class FakeCircuits:
    """Circuits that say what the test wants."""

    open: dict[str, Passage] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=lambda: Verdict(failures=1, wait_s=0.0, spared=True))
    well: list[str] = field(default_factory=list)
    failures: list[tuple[str, Fail]] = field(default_factory=list)
    fault: SluiceError | None = None
    given_back: list[str] = field(default_factory=list)

    def enter(self, source: str) -> Passage:
        return self.open.get(source)

    def succeeded(self, source: str) -> None:
        self.well.append(source)

    def left(self, source: str) -> None:
        self.given_back.append(source)

    def failed(self, source: str, failure: Fail) -> Verdict:
        if self.fault is not None:
            raise self.fault
        self.failures.append((source, failure))
        return self.verdict


@dataclass
class Part:
    """Every port at once: answers, or fails."""

    error: SluiceError | None = None
    asked: int = 0
    silent: bool = False
    pinged: list[str] = field(default_factory=list)

    def _answer(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    def inventory(self, job: InventoryJob) -> InventoryResult:
        self._answer()
        return InventoryResult(inventory=inventory(), seconds=1.0)

    def match(self, _: object) -> object:
        self._answer()
        return match()

    def ping(self, access: Access) -> None:
        host = access.host
        self.pinged.append(host)
        if self.silent:
            raise SourceUnavailableError(f"{host}: silence", reason="RegistryUnavailable")

    def resolve(self, *_: object, access: Access) -> str:
        self._answer()
        return "sha256:" + "1" * 64

    def request(self, method: str, path: str, **_: object) -> Reply:
        self._answer()
        return Reply(status=200, headers={}, body=b"")


@pytest.fixture
def circuits() -> FakeCircuits:
    return FakeCircuits()


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def ask(circuits: FakeCircuits, part: Part) -> dict[str, Callable[[], object]]:
    """Give one call through each guard, by the source that it asks first."""
    guard = Guard(circuits=circuits)
    scanner = GuardedScanner(
        scanner=part,
        registries=part,
        name="pod-1",
        guard=guard,
    )
    matcher = GuardedMatcher(
        matcher=part,  # type: ignore[arg-type] # a stand-in for every port
        server_url=lambda: "http://matcher:4954",
        guard=guard,
    )
    registry = GuardedRegistry(registry=part, guard=guard)  # type: ignore[arg-type] # as above
    api = GuardedApi(api=part, guard=guard)
    return {
        OWN: lambda: scanner.inventory(JOB),
        MATCHER: lambda: matcher.match(inventory()),
        REGISTRY: lambda: registry.resolve(APP, access=JOB.access),
        "api-server": lambda: api.request("GET", "/version"),
    }


SOURCES = (OWN, MATCHER, REGISTRY, "api-server")


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_is_left_alone_is_not_asked(
    source: str, ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """A circuit that is open saves the request, and tells users the reason that opened it."""
    circuits.open[source] = Refusal(wait_s=7.0, reason="RegistryUnavailable")
    with pytest.raises(CircuitOpenError) as caught:
        ask[source]()
    assert part.asked == 0
    assert caught.value.reason == "RegistryUnavailable"
    assert caught.value.fault is not None
    assert (caught.value.fault.source, caught.value.fault.wait_s) == (source, 7.0)


@pytest.mark.parametrize("source", [REGISTRY, MATCHER])
def test_an_inventory_needs_registry_and_match_server_too(
    source: str, ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """Trivy keeps its layer cache at the match server: without it a pull is for nothing."""
    circuits.open[source] = Refusal(wait_s=7.0, reason="R")
    with pytest.raises(CircuitOpenError):
        ask[OWN]()
    assert part.asked == 0


@pytest.mark.parametrize("source", SOURCES)
def test_an_answer_closes_the_circuit(
    source: str, ask: dict[str, Callable[[], object]], circuits: FakeCircuits
) -> None:
    """Whoever was served is the proof."""
    ask[source]()
    assert circuits.well[0] == source


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (REGISTRY, ImageNotFoundError("no")),
        (REGISTRY, UnauthorizedError("no")),
        (MATCHER, LayerCacheMissingError("no")),
        ("api-server", ConflictError("no")),
        ("api-server", DeniedError("no")),
    ],
)
def test_a_refusal_is_an_answer(
    source: str,
    error: SluiceError,
    ask: dict[str, Callable[[], object]],
    circuits: FakeCircuits,
    part: Part,
) -> None:
    """A registry that knows no such image is well; one tenant's image must not stop the others."""
    part.error = error
    with pytest.raises(type(error)):
        ask[source]()
    assert circuits.well == [source]
    assert not error.source


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (REGISTRY, RateLimitedError("429")),
        (REGISTRY, SourceUnavailableError("no")),
        (MATCHER, SourceUnavailableError("no")),
        ("api-server", UnavailableError("503")),
        ("api-server", ThrottledError("429")),
    ],
)
def test_a_fault_carries_the_name_of_its_source(
    source: str,
    error: SluiceError,
    ask: dict[str, Callable[[], object]],
    circuits: FakeCircuits,
    part: Part,
) -> None:
    """What it costs is decided where the key is known."""
    part.error = error
    with pytest.raises(type(error)):
        ask[source]()
    assert (error.source, circuits.well) == (source, [])


@pytest.mark.parametrize(
    ("error", "source", "well"),
    [
        (SourceUnavailableError("no", reason="RegistryUnavailable"), REGISTRY, []),
        (RateLimitedError("no"), REGISTRY, []),
        (SourceUnavailableError("no", reason="ScannerUnavailable"), OWN, []),
        (SourceUnavailableError("no", reason="ScannerTooNew"), OWN, []),
        (SourceUnavailableError("no", reason="MatchServerUnavailable"), MATCHER, []),
        # One image with a jar must not open a circuit for all others.
        (SourceUnavailableError("no", reason="JavaDatabaseMissing"), "", []),
        (ScanTimeoutError("no"), "", []),
        (OutOfMemoryError("no"), "", []),
        (ImageNotFoundError("no"), "", [OWN, REGISTRY]),
        (DamagedImageError("no"), "", [OWN, REGISTRY]),
    ],
)
def test_the_scanners_faults_are_sorted_by_whom_they_are_about(
    *,
    error: SluiceError,
    source: str,
    well: list[str],
    ask: dict[str, Callable[[], object]],
    circuits: FakeCircuits,
    part: Part,
) -> None:
    """Three sources take part in an inventory; the wrong one blamed would stop the wrong keys."""
    part.error = error
    with pytest.raises(type(error)):
        ask[OWN]()
    assert (error.source, circuits.well) == (source, well)


def test_a_registry_in_trouble_shows_a_sign_of_life_before_a_scan(
    ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """One that hangs would hold the scan slot of its probe until the deadline, minutes later."""
    circuits.open[REGISTRY] = Probe()
    part.silent = True
    with pytest.raises(SourceUnavailableError) as caught:
        ask[OWN]()
    assert (part.asked, part.pinged, caught.value.source) == (0, ["ghcr.io"], REGISTRY)
    part.silent = False
    ask[OWN]()
    assert part.asked == 1
    assert REGISTRY in circuits.well


def test_a_scan_that_timed_out_on_a_silent_registry_is_the_registrys_fault(
    ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """Otherwise an outage would park every image that was being pulled."""
    part.error, part.silent = ScanTimeoutError("deadline"), True
    with pytest.raises(SourceUnavailableError) as caught:
        ask[OWN]()
    assert (caught.value.source, circuits.well) == (REGISTRY, [])


def test_a_probe_is_given_back_where_another_source_refuses(
    ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """Otherwise keys that need two sources in trouble hold each one's probe in turn, for ever."""
    circuits.open = {REGISTRY: Probe(), MATCHER: Refusal(wait_s=7.0, reason="R")}
    with pytest.raises(CircuitOpenError) as caught:
        ask[OWN]()
    assert (part.asked, circuits.given_back, caught.value.source) == (0, [REGISTRY], MATCHER)


@pytest.mark.parametrize("error", [OutOfMemoryError("no"), ScanTimeoutError("no")])
def test_a_probe_that_learned_nothing_is_given_back(
    error: SluiceError,
    ask: dict[str, Callable[[], object]],
    circuits: FakeCircuits,
    part: Part,
) -> None:
    """An image that is too big says nothing about its registry; the next one may try at once."""
    circuits.open = {REGISTRY: Probe()}
    part.error = error
    with pytest.raises(type(error)):
        ask[OWN]()
    assert circuits.given_back == [REGISTRY]


def test_a_fault_of_one_source_gives_the_probe_of_another_back(
    ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """Its own probe ends when the failure is counted."""
    circuits.open = {REGISTRY: Probe(), MATCHER: Probe()}
    part.error = SourceUnavailableError("no", reason="MatchServerUnavailable")
    with pytest.raises(SourceUnavailableError):
        ask[OWN]()
    assert circuits.given_back == [REGISTRY]


def test_workloads_that_name_one_image_count_as_one(
    ask: dict[str, Callable[[], object]], circuits: FakeCircuits, part: Part
) -> None:
    """One manifest that a registry cannot serve must not open its circuit for all others."""
    for call in (REGISTRY, OWN):
        part.error = SourceUnavailableError("500", reason="RegistryUnavailable")
        with pytest.raises(SourceUnavailableError) as caught:
            ask[call]()
        judge(circuits)(caught.value, Claim(key=workload(f"w-{call[:1]}"), token=1))
    assert [failure.key for _, failure in circuits.failures] == ["ghcr.io/shop/app"] * 2


def test_a_scan_without_trouble_costs_no_ping(
    ask: dict[str, Callable[[], object]], part: Part
) -> None:
    """A registry counts requests."""
    ask[OWN]()
    assert part.pinged == []


def test_no_match_server_is_no_fault_of_one(circuits: FakeCircuits, part: Part) -> None:
    """Before the first database there is nobody to blame."""

    def nowhere() -> str:
        raise DatabaseNotReadyError("not yet")

    guarded = GuardedMatcher(
        matcher=part,  # type: ignore[arg-type] # a stand-in for every port
        server_url=nowhere,
        guard=Guard(circuits=circuits),
    )
    with pytest.raises(DatabaseNotReadyError) as caught:
        guarded.match(inventory())
    assert not caught.value.source


def many(
    circuits: FakeCircuits, *answers: Match | SluiceError
) -> tuple[list[Match | SluiceError], FakeCircuits]:
    """Ask about as many images as there are answers."""

    class Answers:
        def match_many(self, images: Sequence[Layers]) -> list[Match | SluiceError]:
            return list(answers)

    guarded = GuardedBatchMatcher(
        matcher=Answers(),
        server_url=lambda: "http://matcher:4954",
        guard=Guard(circuits=circuits),
    )
    return guarded.match_many([inventory().layers] * len(answers)), circuits


def test_one_question_to_the_circuit_is_enough_for_many_images(circuits: FakeCircuits) -> None:
    """It is a call of Redis each time, a fifth of what a match costs."""
    found, _ = many(circuits, match("A"), match("B"), match("C"))
    assert found == [match("A"), match("B"), match("C")]
    assert circuits.well == [MATCHER]


def test_a_batch_whose_answers_are_all_faults_is_the_servers_fault(circuits: FakeCircuits) -> None:
    """It is not well because one of its answers was another one."""
    with pytest.raises(SourceUnavailableError) as caught:
        many(circuits, away(), away())
    assert caught.value.source == MATCHER
    assert circuits.well == []


def test_a_fault_among_answers_carries_the_servers_name(circuits: FakeCircuits) -> None:
    """The key is held and not charged, as when it asks alone."""
    found, _ = many(circuits, match("A"), away(), LayerCacheMissingError("gone"))
    assert [getattr(one, "source", "") for one in found] == ["", MATCHER, ""]
    assert circuits.well == [MATCHER]


def away() -> SourceUnavailableError:
    return SourceUnavailableError("no answer", reason="MatchServerUnavailable")


def of_source(error: SluiceError) -> SluiceError:
    error.source = REGISTRY
    return error


def judge(circuits: FakeCircuits) -> Judge:
    return Judge(circuits=circuits, draw=lambda: 0.5)


CLAIM = Claim(key=image(), token=1)


def test_a_fault_is_counted_against_its_source_once(circuits: FakeCircuits) -> None:
    """A run may ask twice what becomes of it; the source failed once."""
    error = of_source(RateLimitedError("429", retry_after_s=90))
    found = [judge(circuits)(error, CLAIM) for _ in range(2)]
    assert all(isinstance(one, Hold) for one in found)
    ((source, failure),) = circuits.failures
    assert (source, failure.key, failure.rest_s) == (REGISTRY, str(image()), 90)
    assert failure.failed_before is False


def test_a_key_that_the_source_failed_before_says_so(circuits: FakeCircuits) -> None:
    """The source may have served others meanwhile; only then the key is to blame."""
    circuits.verdict = Verdict(failures=1, wait_s=0.0, spared=False)
    claim = Claim(key=image(), token=1, faults=frozenset({MATCHER, REGISTRY}))
    found = judge(circuits)(of_source(SourceUnavailableError("no")), claim)
    assert isinstance(found, Retry)
    assert circuits.failures[0][1].failed_before is True


@pytest.mark.parametrize(
    "claim",
    [
        Claim(key=image(), token=1, faults=frozenset({MATCHER})),
        Claim(key=image(), token=1, tallies=tallies(2, 60.0, "Conflict")),
    ],
    ids=["held by another source", "failed by itself"],
)
def test_the_first_fault_of_a_source_is_never_the_keys(
    circuits: FakeCircuits, claim: Claim
) -> None:
    """What the key met elsewhere does not tell whether this source has served others since."""
    judge(circuits)(of_source(SourceUnavailableError("no")), claim)
    assert circuits.failures[0][1].failed_before is False


@pytest.mark.parametrize("asked", [True, False])
def test_a_hold_says_whether_the_source_was_asked(circuits: FakeCircuits, *, asked: bool) -> None:
    """A source that was left alone has not failed for this key: its first fault is to come."""
    if not asked:
        circuits.open["api-server"] = Refusal(wait_s=7.0, reason="R")
    api = GuardedApi(api=Part(UnavailableError("503")), guard=Guard(circuits=circuits))
    with pytest.raises(SourceUnavailableError) as caught:
        api.request("GET", "/version")
    found = judge(circuits)(caught.value, CLAIM)
    assert isinstance(found, Hold)
    assert found.asked is asked


def test_an_error_without_a_source_is_the_keys(circuits: FakeCircuits) -> None:
    """An image that does not exist is nobody else's."""
    assert isinstance(judge(circuits)(ImageNotFoundError("no"), CLAIM), Park)
    assert circuits.failures == []


def test_a_circuit_that_was_open_is_not_counted_again(circuits: FakeCircuits) -> None:
    """Nobody asked the source, so it cannot have failed."""
    circuits.open["api-server"] = Refusal(wait_s=7.0, reason="R")
    api = GuardedApi(api=Part(), guard=Guard(circuits=circuits))
    with pytest.raises(CircuitOpenError) as caught:
        api.request("GET", "/version")
    found = judge(circuits)(caught.value, Claim(key=workload(), token=1))
    assert isinstance(found, Hold)
    assert found.delay_s >= 7.0
    assert circuits.failures == []


def test_without_redis_nobody_is_charged(circuits: FakeCircuits) -> None:
    """The run cannot even end now: when Redis is back, its lease brings the key back."""
    circuits.fault = SourceUnavailableError("Redis: gone")
    found = judge(circuits)(of_source(SourceUnavailableError("no")), CLAIM)
    assert isinstance(found, Hold)
