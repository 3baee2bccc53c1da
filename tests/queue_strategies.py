"""Hypothesis' strategies for the stateful tests of the queue: adds and ends of a few keys."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from common.model.key import ImageKey, MatchKey, WorkKey, WorkloadKey
from common.queue.contract import (
    Add,
    After,
    Handed,
    Hold,
    Lane,
    Outcome,
    Park,
    Retry,
    Settled,
    Waiting,
)

PODS: tuple[WorkKey, ...] = tuple(
    WorkloadKey(kind="Pod", namespace="a", name=f"w{number}") for number in range(3)
)
IMAGE: WorkKey = ImageKey(digest=f"sha256:{1:064x}", platform="linux-amd64", options="o")
MATCH: WorkKey = MatchKey(digest=f"sha256:{1:064x}", platform="linux-amd64", options="o")
KEYS = (*PODS, IMAGE, MATCH)
WORKERS = ("w-a", "w-b")
LEASE_S = 100.0
# Far apart from each other and from what the run takes, so that real time decides nothing.
DELAYS = st.sampled_from([0.0, 50.0, 250.0])
# One name is the end of another: the script must not take one for the other.
BUDGETS = st.sampled_from(["Conflict", "ApiConflict", "Unknown"])

keys = st.sampled_from((PODS[0], PODS[0], *KEYS))  # one hot key: states pile up on it
workers = st.sampled_from(WORKERS)
lanes = st.sampled_from(Lane)
often = st.integers(0, 3).map(bool)
adds = st.builds(
    Add,
    key=keys,
    lane=lanes,
    delay_s=st.sampled_from([0.0, 0.0, 50.0, 250.0]),
    cause=st.just("x"),
)
settled = Settled(fingerprint="f", epoch=1, outcome="Converged")
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(settled),
    st.just(Waiting(on="x")),
    st.builds(Handed, to=st.sampled_from(KEYS), reason=st.just("elsewhere")),
    st.builds(After, delay_s=DELAYS, reason=st.just("later")),
    st.builds(Retry, delay_s=DELAYS, reason=st.just("R"), message=st.just("m"), budget=BUDGETS),
    st.builds(
        Hold,
        delay_s=DELAYS,
        source=st.sampled_from(["s", "registry/a.b:5"]),
        reason=st.just("H"),
        message=st.just("m"),
        asked=often,
    ),
    st.builds(
        Park, reason=st.just("P"), message=st.just("m"), probe_after_s=DELAYS, budget=BUDGETS
    ),
)


def examples(usual: int) -> int:
    """Return how many examples to run: `usual`, or as many as the chosen profile asks for.

    `pytest --hypothesis-profile=thorough` is the long run (tests/conftest.py).
    """
    profile = settings.get_current_profile_name()
    return usual if profile == "default" else settings().max_examples
