"""How much is covered, and why the rest is not: folds over what settled and what is queued."""

from __future__ import annotations

from typing import get_args

import pytest

from common.model.key import ClusterKey, ImageKey, WorkKey, WorkloadKey
from common.model.workload import Fingerprint
from common.overview.coverage import coverage
from common.overview.lacking import Lack, Why, grouped, named, summary
from common.overview.lacking import number as number_lacking
from common.queue.standing import Stand, State
from common.state.settled import SettledRow


def key(name: str) -> WorkloadKey:
    """Return a workload's key."""
    return WorkloadKey(kind="ReplicaSet", namespace="shop", name=name)


def settled(want: str, outcome: str = "Converged", epoch: int = 3) -> SettledRow:
    """Return what a run settled."""
    return SettledRow(fingerprint=want, epoch=epoch, outcome=outcome)


QUEUED = Stand(state="queued")
WANTED = {key(name): Fingerprint(f"f-{name}") for name in "abcde"}


def test_true_means_converged_with_what_is_wanted_in_this_epoch() -> None:
    """Coverage is the one number that people put on a wall: it may not flatter."""
    rows: list[tuple[WorkKey, SettledRow]] = [
        (key("a"), settled("f-a")),
        (key("b"), settled("f-b", epoch=2)),
        (key("c"), settled("old")),
        (key("d"), settled("f-d", "Partial:ImageNotFound")),
        (ClusterKey(what="database"), settled("")),
        (key("gone"), settled("f-gone")),
    ]
    found = coverage(WANTED, rows, {}, epoch=3)
    assert (found.workloads, found.true, found.share) == (5, 1, 0.2)
    assert found.failing == {"ImageNotFound": 1}


def test_what_rests_needs_no_reports() -> None:
    """Skipped and retired workloads would keep the number below 100 % for ever."""
    rows: list[tuple[WorkKey, SettledRow]] = [
        (key(name), settled(f"f-{name}", "Rest:Skipped")) for name in "abcd"
    ]
    assert coverage(WANTED, rows, {}, epoch=3).workloads == 1


def test_what_failed_is_counted_by_reason_and_only_while_it_is_wanted() -> None:
    """A failure of what the workload was before its rollout is no failure of today."""
    rows: list[tuple[WorkKey, SettledRow]] = [
        (key("a"), settled("f-a", "Partial:ImageNotFound")),
        (key("b"), settled("f-b", "Partial:ImageNotFound")),
        (key("c"), settled("f-c", "Partial")),
        (key("d"), settled("old", "Partial:Unauthorized")),
    ]
    assert coverage(WANTED, rows, {}, epoch=3).failing == {"ImageNotFound": 2, "Unknown": 1}


def lacks(
    rows: list[tuple[WorkKey, SettledRow]], stands: dict[WorkKey, Stand]
) -> dict[str, tuple[str, str]]:
    """Return why each workload lacks its reports."""
    found = coverage(WANTED, rows, stands, epoch=3).lacking
    return {each.name: (lack.why, lack.reason) for each, lack in found.items()}


def test_what_lacks_reports_says_what_the_queue_does_about_it() -> None:
    """`None lack reports` beside a parked workload was a lie."""
    stands: dict[WorkKey, Stand] = {
        key("a"): Stand(state="parked", reason="TooLarge", failed=True),
        key("b"): Stand(
            state="delayed", reason="RegistryUnavailable", source="registry/quay.io", failed=True
        ),
        key("c"): Stand(state="delayed", reason="RateLimited", failed=True),
        key("d"): Stand(state="delayed", reason="WaitingForKubelet"),
    }
    assert lacks([], stands) == {
        "a": ("parked", "TooLarge"),
        "b": ("held", "registry/quay.io"),
        "c": ("retried", "RateLimited"),
        "d": ("delayed", "WaitingForKubelet"),
        "e": ("unqueued", ""),
    }


@pytest.mark.parametrize("state", ["queued", "running", "delayed"])
def test_a_true_workload_that_is_looked_at_again_stays_true(state: State) -> None:
    """A rescan of everything is no moment in which nothing has reports."""
    stands: dict[WorkKey, Stand] = {key("a"): Stand(state=state)}
    assert "a" not in lacks([(key("a"), settled("f-a"))], stands)


def test_a_true_workload_whose_later_run_failed_is_not_true() -> None:
    """Its report was deleted, say, and cannot be written again."""
    stands: dict[WorkKey, Stand] = {
        key("a"): Stand(state="parked", reason="Forbidden", failed=True),
    }
    assert lacks([(key("a"), settled("f-a"))], stands)["a"] == ("parked", "Forbidden")


def test_what_waits_for_another_key_is_not_lost() -> None:
    """A workload whose image is being scanned stands in no queue, and is woken."""
    image = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")
    found = coverage(WANTED, [], {key("c"): Stand(state="running")}, epoch=3)
    told = found.explained({key("a"): image, key("b"): key("x"), key("c"): image}).lacking
    assert {each.name: (lack.why, lack.reason) for each, lack in told.items()} == {
        "a": ("waiting", "image"),
        "b": ("waiting", "successor"),
        "c": ("running", ""),
        "d": ("unqueued", ""),
        "e": ("unqueued", ""),
    }


def test_a_row_that_is_read_twice_counts_once() -> None:
    """A scan of a hash that grows meanwhile may give a field twice."""
    rows: list[tuple[WorkKey, SettledRow]] = [(key("a"), settled("f-a"))] * 2
    rows += [(key("b"), settled("f-b", "Rest:Skipped"))] * 2
    found = coverage(WANTED, rows, {}, epoch=3)
    assert (found.workloads, found.true, len(found.lacking)) == (4, 1, 3)


def test_a_later_look_corrects_what_changed_between_two_reads() -> None:
    """What ended, rests or is gone by then is lost no more."""
    first = coverage(WANTED, [], {}, epoch=3)
    rest = [(key("a"), settled("f-a")), (key("b"), settled("f-b", "Rest:Skipped"))]
    wanted = {each: WANTED[each] for each in map(key, "abc")}  # d is gone
    found = first.corrected(
        frozenset(map(key, "abcd")), coverage(wanted, rest, {key("c"): QUEUED}, epoch=3)
    )
    assert (found.workloads, found.true) == (3, 1)
    assert {each.name: lack.why for each, lack in found.lacking.items()} == {
        "c": "queued",
        "e": "unqueued",
    }


def test_what_needs_eyes_is_told_first() -> None:
    """50,000 queued workloads must not hide the one that is parked."""
    lacking = {
        **{key(f"q{number:02}"): Lack(why="queued") for number in range(20)},
        key("p"): Lack(why="parked", reason="TooLarge"),
        key("h"): Lack(why="held", reason="registry/quay.io"),
    }
    groups = grouped(lacking)
    assert [group["why"] for group in groups] == ["parked", "held", "queued"]
    assert groups[2]["examples"] == [f"ReplicaSet/shop/q{number:02}" for number in range(3)]
    told = {"lacking": groups}
    assert summary(told) == "1 parked: TooLarge, 1 held by registry/quay.io, 20 queued"
    assert number_lacking(told) == 22
    assert list(named(lacking).values())[:3] == [
        "parked: TooLarge",
        "held by registry/quay.io",
        "queued",
    ]


@pytest.mark.parametrize("why", get_args(Why))
@pytest.mark.parametrize("reason", ["", "X"])
def test_every_lack_has_words(why: Why, reason: str) -> None:
    """A blank cell explains nothing."""
    lack = Lack(why=why, reason=reason)
    (words,) = named({key("a"): lack}).values()
    assert words or (why, reason) == ("failed", "")


def test_an_empty_cluster_is_covered() -> None:
    """0 of 0 is not a fault."""
    assert coverage({}, [], {}, epoch=0).share == 1.0
