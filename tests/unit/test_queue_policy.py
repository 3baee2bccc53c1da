"""Error classes: which are tried again, how soon, how often, and what revives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.model import errors
from common.model.errors import SluiceError, SourceFault
from common.model.policies import CLASS_NAMES, POLICIES, Policy, class_of
from common.model.reasons import CLASS_OF_REASON
from common.queue.contract import Failed, Hold, Park, Retry
from common.queue.policy import decide, unknown
from common.queue.policy_page import page
from tests.queue_values import tallies
from tests.reasons import reasons

DOCS = Path(__file__).parents[2] / "docs"


def all_classes(kind: type[SluiceError] = SluiceError) -> list[type[SluiceError]]:
    """Return an error class and everything below it."""
    below = (found for child in kind.__subclasses__() for found in all_classes(child))
    return list(dict.fromkeys([kind, *below]))  # one class may have two of ours above it


def first(error: SluiceError, *, draw: float = 0.5) -> Failed:
    """Decide after the first failure."""
    return decide(error, {}, draw=draw)


def after(error: SluiceError, failures: int, ago_s: float = 0.0, draw: float = 0.5) -> Failed:
    """Decide after one more failure of its class."""
    return decide(error, tallies(failures, ago_s, class_of(type(error)).reason), draw=draw)


def policy_for(kind: type[SluiceError]) -> Policy:
    """Return the row of a kind of error."""
    return POLICIES[class_of(kind)]


def test_the_page_is_what_the_code_generates() -> None:
    """A page that is edited by hand is wrong after the next change of the code."""
    found = (DOCS / "error-classes.md").read_text(encoding="utf-8")
    assert found == page(), "run: python -m common.queue.policy_page > docs/error-classes.md"


@pytest.mark.parametrize("kind", all_classes(), ids=lambda kind: kind.__name__)
def test_every_class_has_a_policy_and_a_probe(kind: type[SluiceError]) -> None:
    """Law 5: nothing waits for a change that nobody can observe."""
    policy = policy_for(kind)
    assert 60 <= policy.probe_s <= 6 * 3600
    assert policy.why.endswith((".", ")"))


@pytest.mark.parametrize(
    "kind",
    [kind for kind, policy in POLICIES.items() if policy.attempts],
    ids=lambda kind: kind.__name__,
)
def test_a_transient_fault_is_tried_again_within_two_seconds(kind: type[SluiceError]) -> None:
    """Most faults are over before anybody looks: things heal quickly."""
    found = first(kind("x"), draw=0.999)
    assert isinstance(found, Retry)
    assert found.delay_s <= 2


@pytest.mark.parametrize(
    "kind",
    [
        errors.BadReferenceError,
        errors.ImageNotFoundError,
        errors.UnauthorizedError,
        errors.NoPlatformError,
        errors.DamagedImageError,
        errors.TooLargeError,
        errors.TerminalError,
        errors.PreconditionError,
    ],
    ids=lambda kind: kind.__name__,
)
def test_a_terminal_fault_is_parked_at_once(kind: type[SluiceError]) -> None:
    """Tries that cannot succeed only load the source, and hide the reason."""
    found = first(kind("registry: no"))
    assert isinstance(found, Park)
    assert (found.reason, found.message) == (kind.reason, "registry: no")


def test_parked_keys_are_probed_at_different_times() -> None:
    """A thousand images that were parked together must not come back together."""
    probes = [first(errors.UnauthorizedError("x"), draw=draw) for draw in (0.0, 0.5, 0.999)]
    assert [probe.probe_after_s for probe in probes if isinstance(probe, Park)] == pytest.approx(
        [720, 900, 1080], abs=1
    )


def test_waits_grow_and_are_drawn_over_their_whole_range() -> None:
    """Full jitter: keys that failed together spread out."""
    error = errors.SourceUnavailableError("x")
    tops = [after(error, attempts, draw=0.999999) for attempts in range(8)]
    assert [round(top.delay_s) for top in tops if isinstance(top, Retry)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]
    bottom = after(error, 5, draw=0.0)
    assert isinstance(bottom, Retry)
    assert bottom.delay_s == 0


def test_what_the_source_asks_for_is_honoured_and_spread() -> None:
    """Everybody who was refused was told the same second; the jitter comes on top."""
    error = errors.RateLimitedError("429", retry_after_s=90)
    found = [first(error, draw=draw) for draw in (0.0, 0.5)]
    assert [one.delay_s for one in found if isinstance(one, Retry)] == [90, 91]


def test_a_source_that_asks_for_too_much_is_tried_within_the_hour() -> None:
    """A Retry-After in milliseconds, or from a wrong clock, must not park a key for a day."""
    found = first(errors.RateLimitedError("429", retry_after_s=86_400))
    assert isinstance(found, Retry)
    assert found.delay_s == 3600


def test_a_class_gives_up_after_its_failures() -> None:
    """ScannerDied: three times in a row it is the image."""
    error = errors.ScannerDiedError("killed")
    found = [after(error, attempts, 1) for attempts in range(3)]
    assert [type(one) for one in found] == [Retry, Retry, Park]


def test_a_class_gives_up_after_its_time() -> None:
    """A conflict that lasts for five minutes is no conflict but a war."""
    error = errors.ConflictError("409")
    assert isinstance(after(error, 2, 299), Retry)
    assert isinstance(after(error, 2, 300), Park)


def test_a_probe_that_fails_parks_again_at_once() -> None:
    """Trap 18. The probe is one try, not a new series: its attempts were kept."""
    error = errors.SourceUnavailableError("x")
    found = after(error, 61, 9000)
    assert isinstance(found, Park)


def test_a_subclass_has_its_ancestors_policy() -> None:
    """A new class of another module is bounded before anybody thinks of it."""

    class OddError(errors.ScanTimeoutError):
        reason = "Odd"

    found = first(OddError("x"))
    assert isinstance(found, Retry)
    assert found.reason == "Odd"
    assert policy_for(OddError) is POLICIES[errors.ScanTimeoutError]


def test_an_unforeseen_exception_is_named_and_cut() -> None:
    """Its text may be a whole body."""
    error = unknown(KeyError("spec"))
    assert (error.reason, str(error)) == ("Unknown", "KeyError: 'spec'")
    assert len(str(unknown(ValueError("x" * 5000)))) == 256


def test_each_class_has_a_budget_of_its_own() -> None:
    """Eleven conflicts say nothing about a scanner that dies for the first time."""
    spent = tallies(11, 200.0, "Conflict") | tallies(2, 100.0, "ScannerDied")
    assert isinstance(decide(errors.ConflictError("409"), spent, draw=0.5), Park)
    assert isinstance(decide(errors.ScannerDiedError("x"), spent, draw=0.5), Park)
    found = decide(errors.ScanTimeoutError("x"), spent, draw=0.5)
    assert isinstance(found, Retry)
    assert found.budget == "ScanTimeout"


def blaming(*, wait_s: float = 0.0, failures: int = 1, spared: bool = True) -> SluiceError:
    """Return an error that was counted against a registry."""
    error = errors.SourceUnavailableError("registry/r does not answer")
    error.fault = SourceFault(source="registry/r", failures=failures, wait_s=wait_s, spared=spared)
    return error


def test_a_sources_fault_is_held_and_charged_to_nobody() -> None:
    """An outage of an hour must not park the thousand images that wait for it."""
    found = decide(blaming(), tallies(10_000, 1e6, "SourceUnavailable"), draw=0.5)
    assert isinstance(found, Hold)
    assert (found.source, found.reason) == ("registry/r", "SourceUnavailable")


def test_a_hold_waits_for_the_circuit_and_spreads_behind_it() -> None:
    """Whoever waited for one moment must not come back in one."""
    found = [decide(blaming(wait_s=30, failures=5), {}, draw=draw) for draw in (0.0, 0.5)]
    assert [one.delay_s for one in found if isinstance(one, Hold)] == [30, 38]


def test_holds_grow_with_the_sources_failures_not_the_keys() -> None:
    """A key that comes late to a long outage waits as long as the others."""
    found = [decide(blaming(failures=count), {}, draw=0.999999) for count in (1, 4, 100)]
    assert [round(one.delay_s) for one in found if isinstance(one, Hold)] == [1, 8, 60]


def test_a_fault_of_a_source_that_serves_others_is_the_keys() -> None:
    """One repository that answers 500 while all others are served must end in the dead letters."""
    spent = tallies(59, 100.0, "SourceUnavailable")
    assert isinstance(decide(blaming(spared=False), spent, draw=0.5), Park)


def test_every_reason_stands_on_the_page_with_its_class() -> None:
    """Who sees a reason looks for the numbers that decide."""
    told = {**dict(zip(CLASS_NAMES, CLASS_NAMES, strict=True)), **CLASS_OF_REASON}
    lacking = {(reason, kind) for reason, kind in reasons() if told.get(reason) != kind}
    assert lacking == set()
    assert set(CLASS_OF_REASON) <= {reason for reason, _ in reasons()}
    assert "`RegistryUnavailable` | `SourceUnavailable`" in page()
    assert "`Crashed` |" in page()
