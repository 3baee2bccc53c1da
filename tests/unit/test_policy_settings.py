"""Numbers of error classes and circuits that an operator changes."""

from __future__ import annotations

import pytest

from common.model.circuit import CIRCUITS, changed_circuits
from common.model.errors import (
    ImageNotFoundError,
    RateLimitedError,
    ScanTimeoutError,
    SettingsError,
)
from common.model.policies import POLICIES, changed_policies
from common.queue.contract import Park, Retry
from common.queue.policy import decide
from common.settings.parse import parse
from tests.queue_values import tallies


def test_single_numbers_change_and_the_others_stay() -> None:
    """A registry with a limit of its own needs another budget, not another product."""
    text = "RateLimited.attempts=80, ScanTimeout.probe_s=7200"
    settings = parse({"SLUICE_ERROR_POLICIES": text})
    changed = changed_policies(settings.pipeline.error_policies)
    assert changed[RateLimitedError].attempts == 80
    assert changed[RateLimitedError].cap_s == POLICIES[RateLimitedError].cap_s
    assert changed[ScanTimeoutError].probe_s == 7200
    assert {kind: row for kind, row in changed.items() if row != POLICIES[kind]}.keys() == {
        RateLimitedError,
        ScanTimeoutError,
    }


def test_a_changed_budget_decides() -> None:
    """One try more, then the dead letters."""
    changed = changed_policies([("ScanTimeout", "attempts", 2.0)])
    error = ScanTimeoutError("slow")
    spent = [tallies(failures, 1.0, "ScanTimeout") for failures in (0, 1)]
    found = [decide(error, one, draw=0.5, policies=changed) for one in spent]
    assert [type(one) for one in found] == [Retry, Park]


def test_circuits_change_alike() -> None:
    """Threshold and times belong to the place, not to the code."""
    settings = parse({"SLUICE_CIRCUIT_POLICIES": "registry.threshold=5,registry.cap_s=7.5"})
    changed = changed_circuits(settings.pipeline.circuit_policies)
    assert (changed["registry"].threshold, changed["registry"].cap_s) == (5, 7.5)
    assert changed["registry"].first_s == CIRCUITS["registry"].first_s
    assert changed["api-server"] == CIRCUITS["api-server"]


def test_every_fault_of_a_setting_is_named_at_once() -> None:
    """Whoever repairs one and restarts must not meet the next one."""
    with pytest.raises(SettingsError) as caught:
        parse({"SLUICE_CIRCUIT_POLICIES": "registry.threshold=0,foo.cap_s=6,api-server.first_s=-1"})
    for part in ("registry.threshold=0", "foo", "api-server.first_s=-1"):
        assert part in str(caught.value)


def test_a_class_that_is_parked_at_once_can_be_given_tries() -> None:
    """Without a time of its own, the number alone bounds them."""
    changed = changed_policies([("ImageNotFound", "attempts", 3.0)])
    error = ImageNotFoundError("not yet")
    spent = [tallies(failures, 1e6, "ImageNotFound") for failures in (0, 1, 2)]
    found = [decide(error, one, draw=0.5, policies=changed) for one in spent]
    assert [type(one) for one in found] == [Retry, Retry, Park]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RateLimited", "write name.field=number"),
        ("RateLimited=3", "write name.field=number"),
        ("Ratelimited.attempts=3", "known are RateLimited"),
        ("RateLimited.tries=3", "known fields are first_s"),
        ("RateLimited.attempts=many", "write a whole number from 0 to 10000"),
        ("RateLimited.attempts=1.5", "write a whole number from 0 to 10000"),
        ("RateLimited.attempts=-1", "write a whole number"),
        ("RateLimited.probe_s=0", "write a number from 1 to 86400"),
        ("RateLimited.cap_s=1e9", "write a number from 0 to 86400"),
        ("RateLimited.cap_s=nan", "write a number"),
        ("RateLimited.attempts=1,RateLimited.attempts=2", "has RateLimited.attempts twice"),
        ("RateLimited.first_s=600,RateLimited.cap_s=5", "first_s 600 is above cap_s 5"),
        ("ImageNotFound.first_s=5", "first_s 5 is above cap_s 0"),
    ],
)
def test_a_fault_names_what_is_wrong_and_what_is_known(text: str, said: str) -> None:
    """It is found at start, not by the first registry that is down."""
    with pytest.raises(SettingsError, match="SLUICE_ERROR_POLICIES") as caught:
        parse({"SLUICE_ERROR_POLICIES": text})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ImageNotFound.attempts=3", r"set ImageNotFound.first_s and ImageNotFound.cap_s too"),
        ("RateLimited.first_s=0", r"40 attempts without a wait"),
        ("RegistryUnavailable.attempts=3", r"a reason of SourceUnavailable: name that one"),
    ],
)
def test_an_override_that_cannot_mean_what_it_says_is_refused(text: str, told: str) -> None:
    """Three attempts within a second are one; the remedy stands beside the refusal."""
    with pytest.raises(SettingsError, match=told):
        parse({"SLUICE_ERROR_POLICIES": text})


def test_attempts_with_a_wait_are_taken() -> None:
    """What the refusal proposes must be accepted."""
    text = "ImageNotFound.attempts=3, ImageNotFound.first_s=30,ImageNotFound.cap_s=600"
    assert len(parse({"SLUICE_ERROR_POLICIES": text}).pipeline.error_policies) == 3


def test_spaces_around_the_parts_of_an_override_mean_nothing() -> None:
    """People write `=` with spaces."""
    spaced = parse({"SLUICE_CIRCUIT_POLICIES": " registry . threshold = 5 , registry.cap_s =600"})
    plain = parse({"SLUICE_CIRCUIT_POLICIES": "registry.threshold=5,registry.cap_s=600"})
    assert spaced.pipeline == plain.pipeline
