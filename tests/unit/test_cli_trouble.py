"""The status as people read it: what is wrong first, aligned numbers, what to do next."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import status
from common.model.circuit import CIRCUITS
from common.model.image import ImageUse
from common.model.key import ImageKey, WorkKey, WorkloadKey
from common.overview.ages import STALE_S
from common.overview.failures import failures
from common.overview.sources import remedy
from common.overview.trouble import Promises, asked, problems, standstill
from common.queue.contract import Entry
from tests.cli_values import NOW_S, entry
from tests.overviews import circuit

SWEEP_S = 600.0
TTL_S = 86_400.0
PROMISES = Promises(sweep_interval_s=SWEEP_S, report_ttl_s=TTL_S)
WEB = WorkloadKey(kind="Pod", namespace="shop", name="web")
IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")


def document(**changes: Any) -> dict[str, Any]:
    """Return a status in which nothing is wrong, but for the changes."""
    lane = {"queued": 0, "oldest_age_s": 0.0}
    given: dict[str, Any] = {
        "cluster": "abcd1234",
        "empty": False,
        "coverage": {"workloads": 40, "true": 40, "share": 1.0},
        "lacking": [],
        "failing": {},
        "queue": {
            "reconcile": {"fresh": lane, "bulk": {"queued": 120, "oldest_age_s": 61.0}},
            "scan": {"fresh": lane, "bulk": lane},
        },
        "pools": {
            "reconcile": {"running": 16, "delayed": 2, "dead": 0},
            "scan": {"running": 1, "delayed": 0, "dead": 0},
        },
        "paused": False,
        "running": 17,
        "delayed": 2,
        "dead": 0,
        "failures": [],
        "dead_reasons": {},
        "circuits": [],
        "database": {
            "version": "2026-11-25T06:00:00Z",
            "age_s": 3_600.0,
            "checked_age_s": 90.0,
        },
        "trivy": {"serving": "0.76.1", "trusted": "0.76.0"},
        "verified": {"images": 12, "never": 0, "oldest_age_s": 600.0},
        "epoch": 1,
        "generation": {"number": 1, "digest": "d1", "version": "0.1.0", "standing_back": []},
        "settings": {"from_configmaps": 0, "faults": [], "meanwhile": "", "notices": 0},
        "last_event_age_s": 4.2,
        "watcher": {
            "alive": True,
            "leader": "host_7_0f",
            "since_s": 7200.0,
            "heard_s": 0.4,
        },
        "workers": ["w1", "w2"],
    }
    return {**given, **changes}


@pytest.mark.parametrize(
    "change",
    [
        {"empty": True},
        {"workers": []},
        {"paused": True},
        {"watcher": {"alive": False, "leader": None, "since_s": None, "heard_s": None}},
        {"database": {"version": None, "age_s": None, "checked_age_s": None}},
    ],
)
def test_without_one_part_nothing_is_done_at_all(change: dict[str, Any]) -> None:
    """What `helm test` waits for."""
    assert standstill(document(**change), PROMISES)


def test_one_image_that_fails_is_no_standstill() -> None:
    """Somebody's image is no reason to take an installation back."""
    assert standstill(document(failures=[failure()]), PROMISES) == []
    assert problems(document(failures=[failure()]), PROMISES)
    stale = {"version": "2026-01-01T00:00:00Z", "age_s": 9 * STALE_S, "checked_age_s": 1.0}
    assert standstill(document(database=stale), PROMISES) == []


def failure(key: WorkKey = WEB, **changes: Any) -> dict[str, Any]:
    """Return one failing key."""
    given: dict[str, Any] = {
        "key": str(key),
        "state": "parked",
        "reason": "ImageNotFound",
        "message": "the registry does not know app:9",
        "attempts": 1,
        "class": "ImageNotFound",
        "source": "",
        "due_in_s": 90.0,
    }
    return {**given, **changes}


def shown(**changes: Any) -> list[str]:
    """Return the page of a status."""
    found = document(**changes)
    wrong = problems(found, PROMISES)
    listed = [{"said": each.said, "remedy": each.remedy, "details": each.details} for each in wrong]
    return status.shown({**found, "problems": listed}).splitlines()


def said(**changes: Any) -> list[str]:
    """Return what is wrong in a status."""
    return [each.said for each in problems(document(**changes), PROMISES)]


def test_a_status_without_trouble_is_a_screenful_that_lines_up() -> None:
    """It is looked at forty times a day."""
    assert shown() == [
        "true reports  40 of 40 workloads (100%)",
        "database      2026-11-25T06:00:00Z, 1h old, looked for a newer one 1m30s ago",
        "verified      12 images within the last 10m",
        "last event    4s ago",
        "watcher       host_7_0f leads since 2h, last heard 0s ago",
        "workers       2 alive",
        "generation    1 (version 0.1.0)",
        "",
        "POOL       FRESH  BULK  OLDEST  RUNNING  DELAYED  PARKED",
        "reconcile  0      120   1m1s    16       2        0",
        "scan       0      0     -       1        0        0",
        "",
        "Nothing is wrong. Next: kubectl get vulns,exposedsecrets,sboms -A",
    ]


def test_what_is_wrong_comes_first_and_what_to_do_last() -> None:
    """The eye falls on the first line, the cursor stands below the last."""
    lines = shown(failures=[failure()], dead=1)
    assert lines[:3] == [
        "! 1 key is parked: ImageNotFound",
        "    Pod/shop/web: the registry does not know app:9 (1 attempt; next try in 1m30s)",
        "",
    ]
    assert lines[-2] == "Next:"
    assert lines[-1].startswith("  sluice history Pod/shop/web ")


PUBLISHED = {"number": 4, "digest": "d4", "version": "0.2.0", "standing_back": []}
OLDER = {"worker": "w1", "digest": "d3", "version": "0.1.0"}
UNQUEUED = {
    "why": "unqueued",
    "reason": "",
    "workloads": 5,
    "examples": ["Pod/shop/a", "Pod/shop/b", "Pod/shop/c"],
}


def test_workers_of_another_generation_are_named_with_the_difference() -> None:
    """Half the workers idle, and nobody sees that it is for a setting that they lack."""
    other = {"worker": "w2", "digest": "d5", "version": "0.2.0"}
    lines = shown(generation={**PUBLISHED, "standing_back": [OLDER, other]})
    assert lines[:3] == [
        "! 2 of 2 workers stand back: generation 4 (version 0.2.0) is published",
        "    w1 is of version 0.1.0",
        "    w2 has other settings",
    ]
    assert "workers       2 alive, 2 of them stand back" in lines
    assert "generation    4 (version 0.2.0)" in lines


def test_what_nobody_works_on_is_named_with_what_brings_it_back() -> None:
    """A key that was dropped stood in no list until the sweep found it."""
    lines = shown(lacking=[UNQUEUED])
    assert lines[1] == "    Pod/shop/a, Pod/shop/b, Pod/shop/c and 2 more"
    assert lines[-1] == "  sluice rescan Pod/shop/a   # queues it now"
    assert "lacking       5: 5 in no queue until the next sweep" in lines


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"paused": True}, "paused"),
        ({"workers": []}, "no worker is alive: nothing is scanned"),
        ({"workers": [], "last_start_age_s": 31.0}, "no worker is alive: nothing is scanned"),
        (
            {"workers": [], "last_start_age_s": 4.2},
            "alive yet: processes began 4s ago",
        ),
        (
            {"watcher": {"alive": False, "leader": None, "since_s": None, "heard_s": None}},
            "no watcher is alive: changes are not noticed; none was heard for a day",
        ),
        (
            {
                "watcher": {"alive": False, "leader": "a_7_0", "since_s": 9e3, "heard_s": 31.0},
                "last_event_age_s": 9 * SWEEP_S,  # told by the first sentence
            },
            "a_7_0 led and was last heard 31s ago",
        ),
        ({"last_event_age_s": 3 * SWEEP_S + 1}, "told no change for 30m1s"),
        ({"database": {"version": None, "age_s": None}}, "no vulnerability database"),
        (
            {"database": {"version": "v", "age_s": STALE_S + 1, "checked_age_s": 1.0}},
            "database is 3d old",
        ),
        (
            {
                "database": {
                    "version": "v",
                    "age_s": 1.0,
                    "failed": {"reason": "RateLimited", "message": "slow down", "age_s": 90.0},
                }
            },
            "the last look for a newer vulnerability database failed 1m30s ago: RateLimited",
        ),
        ({"trivy": {"serving": "0.77.0", "trusted": "0.76.0"}}, "Trivy 0.77.0 is not trusted yet"),
        (
            {"verified": {"images": 12, "never": 0, "oldest_age_s": 2 * TTL_S + 1}},
            "findings of an image were not verified for 2d",
        ),
        ({"failing": {"B": 2, "A": 1}}, "3 workloads lack reports of an image: A 1, B 2"),
        (
            {"generation": {**PUBLISHED, "standing_back": [OLDER]}},
            "1 of 2 workers stands back: generation 4 (version 0.2.0) is published",
        ),
        ({"lacking": [UNQUEUED]}, "5 workloads lack reports, and nobody works on them"),
        ({"dead": 7}, "7 keys are parked in all, 0 of them above"),
    ],
)
def test_each_trouble_is_told_once_with_a_remedy(changes: dict[str, Any], word: str) -> None:
    """A number that is off is for experts; a sentence is for everybody."""
    (problem,) = problems(document(**changes), PROMISES)
    assert word in problem.said
    assert problem.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"last_event_age_s": 3 * SWEEP_S},
        {"last_event_age_s": None},
        {"database": {"version": "local", "age_s": None, "checked_age_s": 5.0}},
        {"database": {"version": "v", "age_s": STALE_S, "checked_age_s": 5.0}},
        {"trivy": {"serving": "0.75.0", "trusted": "0.76.0"}},
        {"trivy": {"serving": None, "trusted": None}},
        {"failures": [failure()], "dead": 1},
        {"lacking": [{**UNQUEUED, "why": "queued"}, {**UNQUEUED, "why": "waiting"}]},
    ],
)
def test_a_calm_cluster_and_a_database_of_ones_own_are_no_trouble(changes: dict[str, Any]) -> None:
    """A page that cries wolf is not read."""
    assert len(said(**changes)) == ("failures" in changes)


def test_what_stops_everything_is_told_before_what_stops_one_key() -> None:
    """Who sees 40 parked keys first looks for 40 faults."""
    found = said(
        failures=[failure()], dead=1, paused=True, database={"version": None, "age_s": None}
    )
    assert [line.split()[1] for line in found] == ["queue", "vulnerability", "key"]


def test_failures_are_told_by_reason_with_a_few_examples() -> None:
    """One registry that is away fails hundreds of keys: that is one trouble."""
    many = [
        failure(WorkloadKey(kind="Pod", namespace="shop", name=f"web-{n}"), due_in_s=None)
        for n in range(9)
    ]
    retried = failure(state="delayed", reason="RegistryUnavailable", attempts=4)
    first, second = problems(document(failures=[*many, retried], dead=9), PROMISES)
    assert first.said == "9 keys are parked: ImageNotFound"
    assert len(first.details) == 4
    assert first.details[0] == "Pod/shop/web-0: the registry does not know app:9 (1 attempt)"
    assert first.details[-1] == "and 6 more"
    assert second.said == "1 key is tried again after a failure: RegistryUnavailable"
    assert "4 attempts" in second.details[0]


def test_an_image_is_called_as_its_users_call_it() -> None:
    """Nobody knows the digest of what does not scan."""
    (problem,) = problems(
        document(failures=[failure(IMAGE, reference="app:9", users=3)], dead=1),
        PROMISES,
    )
    assert problem.details[0].startswith("app:9: ")
    assert "3 users" in problem.details[0]
    assert asked(failure(IMAGE, reference="", users=0)) == IMAGE.digest


def test_what_is_parked_in_all_is_told_by_reason() -> None:
    """The twenty that are listed may all be of one kind."""
    reasons = {"Unauthorized": 5, "TooLarge": 2}
    (problem,) = problems(document(dead=7, dead_reasons=reasons), PROMISES)
    assert problem.details == ("Unauthorized 5, TooLarge 2",)


def test_a_remedy_that_serves_two_troubles_is_said_once() -> None:
    """Twice the same line looks like a bug."""
    lines = shown(failures=[failure(), failure(state="delayed")], dead=1)
    assert len(lines[lines.index("Next:") :]) == 2


def test_an_empty_key_space_is_told_as_that_and_nothing_else() -> None:
    """`SLUICE_CLUSTER` with a typing error was a cluster with every report true."""
    lines = shown(
        empty=True, workers=[], coverage={"workloads": 0, "true": 0, "share": 1.0}, epoch=0
    )
    assert lines[0] == (
        "! the key space 'abcd1234' is empty: no watcher and no worker uses this name"
    )
    assert "true reports  no workload is known" in lines
    assert not any("100%" in line or "no worker is alive" in line for line in lines)
    assert lines[-1].startswith("  check SLUICE_CLUSTER and SLUICE_REDIS_URL")


def test_what_is_not_there_yet_is_told_as_that() -> None:
    """`None ago` is how software looks that nobody started once."""
    lines = shown(database={"version": None, "age_s": None}, last_event_age_s=None)
    assert "database      none yet" in lines
    assert "last event    none yet" in lines


numbers = st.integers(0, 10**7)
ages = st.none() | st.floats(0, 1e9)


@pytest.mark.parametrize(
    ("oldest_age_s", "report_ttl_s"), [(2 * TTL_S, TTL_S), (None, TTL_S), (99 * TTL_S, None)]
)
def test_findings_that_are_verified_in_time_or_for_ever_are_no_problem(
    oldest_age_s: float | None, report_ttl_s: float | None
) -> None:
    """Turns are spread and may wait for a window; without a TTL nothing is promised."""
    verified = {"images": 12, "never": 0, "oldest_age_s": oldest_age_s}
    promises = Promises(sweep_interval_s=SWEEP_S, report_ttl_s=report_ttl_s)
    assert problems(document(verified=verified), promises) == []


@given(
    dead=numbers,
    paused=st.booleans(),
    last_event_age_s=ages,
    failing=st.dictionaries(st.sampled_from(["Unknown", "ImageNotFound"]), numbers, max_size=3),
    workers=st.lists(st.just("w"), max_size=2),
    failures=st.lists(
        st.builds(
            failure,
            state=st.sampled_from(["parked", "delayed"]),
            due_in_s=ages,
            source=st.sampled_from(["", "registry/quay.io"]),
        ),
        max_size=5,
    ),
    circuits=st.lists(
        st.builds(
            circuit,
            state=st.sampled_from(["open", "probing", "failing"]),
            next_s=st.floats(0, 3600),
            idle=st.booleans(),
        ),
        max_size=12,
    ),
)
def test_any_status_can_be_shown(**changes: Any) -> None:
    """It is asked for when things are odd."""
    lines = shown(**changes)
    assert all(line == line.rstrip() for line in lines)
    assert ("Next:" in lines) == lines[0].startswith("!")


# --- the look at the queue


class Queue:
    """Parked and delayed keys."""

    def __init__(self, **states: list[Entry]) -> None:
        self._states = states
        self.asked: list[tuple[str, int]] = []

    def ls(self, state: str, limit: int) -> list[Entry]:
        """Return a state's keys."""
        self.asked.append((state, limit))
        return self._states.get(state, [])[:limit]


class Images:
    """One image with two users."""

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return its uses."""
        assert key == IMAGE
        return [
            ImageUse(workload=f"workload/Pod/shop/{name}", reference="app:9", namespace="shop")
            for name in "ab"
        ]


def looked(queue: Queue, state: Literal["parked", "delayed"]) -> list[dict[str, Any]]:
    """Return what fails of a state."""
    return failures(queue, Images(), state=state, limit=7, now_s=NOW_S)


def test_a_failing_image_is_told_by_its_reference_and_with_its_users() -> None:
    """A digest says nothing to the person who must mend it."""
    queue = Queue(parked=[entry(IMAGE, state="parked")])
    (found,) = looked(queue, "parked")
    assert (found["state"], found["reference"], found["users"]) == ("parked", "app:9", 2)
    assert queue.asked == [("parked", 7)]


def test_a_failing_workload_is_told_with_its_next_try() -> None:
    """A backoff ends by itself: nobody needs to do anything before."""
    (found,) = looked(Queue(delayed=[entry(WEB, state="delayed")]), "delayed")
    assert (found["state"], found["due_in_s"]) == ("delayed", 60.0)
    assert "users" not in found


def test_a_key_that_no_failure_delays_only_waits() -> None:
    """Every new pod waits for its kubelet."""
    waiting = entry(WEB, state="delayed", error_class="", reason="WaitingForKubelet")
    assert looked(Queue(delayed=[waiting]), "delayed") == []


def test_a_key_that_a_source_holds_is_listed_with_it() -> None:
    """It is charged to nobody, and still nothing comes of it."""
    held = entry(WEB, state="delayed", error_class="", source="registry/quay.io")
    (found,) = looked(Queue(delayed=[held]), "delayed")
    assert (found["class"], found["source"]) == ("", "registry/quay.io")


# --- circuits

QUAY = "registry/quay.io"


def held(name: str) -> dict[str, Any]:
    """Return a workload that the registry's circuit holds."""
    key = WorkloadKey(kind="Pod", namespace="shop", name=name)
    return failure(key, state="delayed", reason="RegistryUnavailable", **{"class": ""}, source=QUAY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "and is left alone: asked again in 40s"),
        ({"next_s": 0.0}, "and is left alone: the next key that needs it asks again"),
        ({"state": "probing"}, ": one key asks whether it answers again, all others wait"),
        ({"failures": 1}, "registry/quay.io failed 1 time in a row"),
    ],
)
def test_a_source_that_is_not_asked_is_a_trouble(changes: dict[str, Any], expected: str) -> None:
    """Everything of one registry stands still: that is one sentence with one remedy."""
    (problem,) = problems(document(circuits=[circuit(**changes)]), PROMISES)
    assert expected in problem.said
    assert "quay.io: network, proxy" in problem.remedy
    assert problem.details == ("connection refused",)


@pytest.mark.parametrize("changes", [{"state": "failing"}, {"idle": True}])
def test_a_source_that_keeps_nobody_waiting_is_no_trouble(changes: dict[str, Any]) -> None:
    """One that is still asked, and one that nobody needs any more."""
    assert said(circuits=[circuit(**changes)]) == []


def test_keys_that_a_told_source_holds_are_no_trouble_of_their_own() -> None:
    """They are its examples; a key of another source, or of none, keeps its line."""
    failures = [*(held(f"web-{n}") for n in range(5)), failure(reason="TooLarge")]
    first, second = problems(document(circuits=[circuit()], failures=failures, dead=1), PROMISES)
    assert first.details[1] == (
        "Pod/shop/web-0, Pod/shop/web-1, Pod/shop/web-2 and 2 more wait for it"
    )
    assert second.said == "1 key is parked: TooLarge"


def test_keys_of_a_source_that_only_fails_are_told_with_it() -> None:
    """Its circuit is closed, so they are tried soon, and it is not their fault."""
    (problem,) = problems(document(failures=[held("web")]), PROMISES)
    assert problem.said == (
        "1 key is tried again after a failure of registry/quay.io: RegistryUnavailable"
    )


def test_many_sources_are_not_a_screenful_each() -> None:
    """A node that is cut off takes twenty scanners with it."""
    many = [circuit(source=f"scanner/w{n}") for n in range(25)]
    found = problems(document(circuits=many), PROMISES)
    assert len(found) == 11
    assert found[-1].said == "15 more sources are left alone"
    assert "worker w0" in found[0].remedy


@pytest.mark.parametrize("kind", [*CIRCUITS, "source-of-tomorrow"])
def test_every_sort_of_source_has_a_remedy(kind: str) -> None:
    """A name in a red line without a next step helps nobody."""
    assert remedy(f"{kind}/x")
    assert "{" not in remedy(f"{kind}/x")


@pytest.mark.parametrize(("due_s", "expected"), [(0.0, None), (NOW_S - 5, 0.0)])
def test_a_try_that_is_due_is_not_in_the_past(due_s: float, expected: float | None) -> None:
    """`next try in -5s` makes people look at clocks."""
    (found,) = looked(Queue(parked=[entry(WEB, state="parked", due_s=due_s)]), "parked")
    assert found["due_in_s"] == expected
