"""The list of all workloads: its order, its choices, its pages."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.key import WorkloadKey
from common.overview.lacking import Lack
from common.overview.roster import RESTING, TRUE, Choice, Roster, said


def key(name: str, namespace: str = "shop") -> WorkloadKey:
    """Return a Pod's key."""
    return WorkloadKey(kind="Pod", namespace=namespace, name=name)


ROSTER = Roster(
    [
        (key("a"), TRUE),
        (key("b"), Lack(why="queued")),
        (key("c"), Lack(why="parked", reason="TooLarge")),
        (key("d", "pay"), Lack(why="failed", reason="ImageNotFound")),
        (key("e"), RESTING),
        (key("f", "pay"), Lack(why="parked", reason="Denied")),
    ]
)


def names(choice: Choice, **page: int) -> list[str]:
    """Return the names of a page."""
    found, _ = ROSTER.chosen(choice, **{"start": 0, "limit": 100, **page})
    return [one.name for one in found]


def test_what_needs_eyes_stands_first_and_what_needs_none_last() -> None:
    """The first page of 500 is the one that is looked at."""
    assert names(Choice()) == ["f", "c", "d", "b", "a", "e"]


def test_choices_add_up_and_numbers_are_by_state() -> None:
    """The ways to other states keep what else was chosen."""
    assert names(Choice(namespace="pay")) == ["f", "d"]
    assert names(Choice(state="parked")) == ["f", "c"]
    assert names(Choice(text="POD/SHOP/C")) == ["c"]
    found, states = ROSTER.chosen(Choice(namespace="pay", state="failed"), start=0, limit=10)
    assert [one.name for one in found] == ["d"]
    assert states == {"parked": 1, "failed": 1}
    assert dict(ROSTER.namespaces) == {"pay": 2, "shop": 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Deployment/shop/web", ["web-5d8f", "web-7c9b"]),
        ("deploy/shop/we", ["web-5d8f", "web-7c9b"]),
        ("Deployment/pay/web", []),
        ("deployment", []),
        ("replicaset-web-5d8f-app", ["web-5d8f"]),
        ("replicaset-web-5d8f", []),
        ("replicaset-web-5d", []),
    ],
)
def test_a_deployment_and_a_report_lead_to_their_workload(text: str, expected: list[str]) -> None:
    """Both are what people have at hand; the rows are ReplicaSets."""
    roster = Roster(
        (WorkloadKey(kind="ReplicaSet", namespace="shop", name=name), TRUE)
        for name in ("web-5d8f", "web-7c9b", "api-1")
    )
    found, _ = roster.chosen(Choice(text=text), start=0, limit=10)
    assert [one.name for one in found] == expected


@given(st.integers(1, 7))
def test_pages_meet(limit: int) -> None:
    """Each workload is on one page."""
    found = [
        name
        for start in range(0, 2 * len(ROSTER), limit)
        for name in names(Choice(), start=start, limit=limit)
    ]
    assert found == names(Choice())


def test_states_are_told_in_words() -> None:
    """`true` alone says nothing to somebody who opens the page once a month."""
    assert said(TRUE, "") == "reports are true"
    assert said("held", "registry/quay.io") == "held by registry/quay.io"
    found, _ = ROSTER.chosen(Choice(state="parked"), start=0, limit=1)
    assert found[0].document["why"] == "parked: Denied"


def test_ten_thousand_workloads_take_less_than_four_megabytes() -> None:
    """The watcher is small, and stays so while somebody looks at its page."""
    lack = Lack(why="parked", reason="TooLarge")
    tracemalloc.start()
    try:
        roster = Roster(
            (key(f"workload-with-a-name-{number}", f"n{number % 50}"), lack if number % 9 else TRUE)
            for number in range(10_000)
        )
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(roster) == 10_000
    assert size < 4_000_000
