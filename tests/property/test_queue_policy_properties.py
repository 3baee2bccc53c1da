"""Policies hold for every class, count, age and throw of the dice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SluiceError, TransientError
from common.model.policies import POLICIES
from common.queue.contract import Failed, Park, Retry
from common.queue.policy import RETRY_AFTER_CAP_S
from common.queue.policy import decide as decided
from tests.queue_values import tallies

kinds = st.sampled_from(sorted(POLICIES, key=lambda kind: kind.__name__))
draws = st.floats(0, 1, exclude_max=True)


def decide(error: SluiceError, *, attempts: int, failed_for_s: float, draw: float) -> Failed:
    """Decide after that many failures of the error's own class."""
    return decided(error, tallies(attempts, failed_for_s, type(error).reason), draw=draw)


@given(kinds, st.integers(0, 10_000), st.floats(0, 1e9), draws)
def test_a_wait_never_passes_its_cap(
    kind: type[SluiceError], attempts: int, age_s: float, draw: float
) -> None:
    """However long an error lasts: attempt 10,000 neither overflows nor waits for a year."""
    found = decide(kind("x"), attempts=attempts, failed_for_s=age_s, draw=draw)
    policy = POLICIES[kind]
    match found:
        case Retry(delay_s=delay_s):
            assert 0 <= delay_s <= policy.cap_s
        case Park(probe_after_s=probe_after_s):
            assert 0.8 * policy.probe_s <= probe_after_s <= 1.2 * policy.probe_s
        case _:
            pytest.fail("no source was blamed, so nothing is held")


@given(
    st.sampled_from(
        [kind for kind in sorted(POLICIES, key=str) if issubclass(kind, TransientError)]
    ),
    st.floats(-1e6, 1e12),
    draws,
)
def test_a_source_cannot_ask_for_more_than_an_hour(
    kind: type[TransientError], asked_s: float, draw: float
) -> None:
    """The number comes from outside: negative, huge or a date in the past."""
    found = decide(kind("x", retry_after_s=asked_s), attempts=0, failed_for_s=0, draw=draw)
    assert isinstance(found, Retry)
    assert 0 <= found.delay_s <= RETRY_AFTER_CAP_S


@given(kinds, st.floats(0, 1e9), draws)
def test_every_series_ends(kind: type[SluiceError], age_s: float, draw: float) -> None:
    """Law 5: every class is bounded; after its last try a key is parked, with a probe."""
    policy = POLICIES[kind]
    found = decide(kind("x"), attempts=policy.attempts, failed_for_s=age_s, draw=draw)
    assert isinstance(found, Park)


@given(kinds, st.integers(0, 200), st.floats(0, 1e6), draws)
def test_the_same_failure_gets_the_same_decision(
    kind: type[SluiceError], attempts: int, age_s: float, draw: float
) -> None:
    """Pure: no clock and no dice of its own, so a decision can be replayed from the ledger."""
    error = kind("x")
    one = decide(error, attempts=attempts, failed_for_s=age_s, draw=draw)
    assert one == decide(error, attempts=attempts, failed_for_s=age_s, draw=draw)
