"""What commands show and decide, without Redis: pages, lists, documents, waiting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.cli import database, history, queue
from common.cli.layout import columns
from common.cli.subject import Exactly, Image, Named, read_wish
from common.model.errors import SourceUnavailableError
from common.model.facts import Fact
from common.model.finding import Fault, Good, Notice
from common.model.image import ImageState
from common.model.key import ImageKey, WorkKey, WorkloadKey
from common.model.workload import Fingerprint
from common.overview.coverage import coverage
from common.overview.database import described
from common.overview.verified import said
from common.overview.words import age
from common.queue.standing import Stand, State
from common.state.database import DatabaseRow, FailedLook
from common.state.examine import Server
from common.state.fitness import judge
from common.state.settled import SettledRow
from tests.cli_values import NOW_S, entry

WEB = WorkloadKey(kind="ReplicaSet", namespace="shop", name="web-1")
IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-arm64-v8", options="0f")

# --- database

ROW = DatabaseRow(
    version="2026-11-25T06:00:00Z",
    server_url="http://127.0.0.1:4954",
    trivy_version="0.76.0",
    checked_at=NOW_S - 90,
)


def test_a_database_is_told_with_its_age_and_the_last_look() -> None:
    """Fresh means two things: made lately, and looked for lately."""
    assert described(ROW, None, now_s=NOW_S) == {
        "version": "2026-11-25T06:00:00Z",
        "age_s": 3_600.0,
        "checked_age_s": 90.0,
        "server_url": "http://127.0.0.1:4954",
        "trivy": "0.76.0",
        "failed": None,
    }
    text = database.shown(ROW, now_s=NOW_S)
    assert "age        1h" in text
    assert "checked    1m30s ago" in text


def test_no_database_has_the_same_keys() -> None:
    """A script reads `.version` before it looks whether there is one."""
    assert described(None, None, now_s=NOW_S) == dict.fromkeys(described(ROW, None, now_s=NOW_S))


def test_a_look_that_failed_is_told_whether_there_is_a_database_or_not() -> None:
    """The first database that cannot be had is the one that everybody waits for."""
    failed = FailedLook(reason="RateLimited", message="slow down", at=NOW_S - 60)
    for row in (None, ROW):
        told = described(row, failed, now_s=NOW_S)["failed"]
        assert told == {"reason": "RateLimited", "message": "slow down", "age_s": 60.0}


def test_a_version_that_is_no_time_is_shown_without_an_age() -> None:
    """A wrong age would be worse than none."""
    row = DatabaseRow(version="local", server_url="u")
    assert described(row, None, now_s=NOW_S)["age_s"] is None
    assert described(row, None, now_s=NOW_S)["checked_age_s"] is None
    assert "age        -" in database.shown(row, now_s=NOW_S)


class Asked:
    """A matcher that answers after so many questions."""

    def __init__(self, *, after: int) -> None:
        self._left = after
        self.requests = 0

    def request(self) -> int:
        """Take a request."""
        self.requests += 1
        return 5

    def answered(self) -> int:
        """Return the last answered one."""
        self._left -= 1
        return 5 if self._left < 0 else 4


def test_a_look_is_asked_for_once_and_waited_for() -> None:
    """Asking again would make the matcher look again."""
    asked = Asked(after=1)
    database.await_look(asked, timeout_s=60)
    assert asked.requests == 1


def test_waiting_for_a_look_ends() -> None:
    """Without a matcher nobody ever answers."""
    with pytest.raises(SourceUnavailableError, match="pool `match`"):
        database.await_look(Asked(after=10**9), timeout_s=0)


# --- history


class Ledger:
    """Facts by key."""

    def __init__(self, **facts: list[Fact]) -> None:
        self._facts = {str(WEB): [Fact(kind="deduplicated", key=str(WEB), at=NOW_S)]}
        self.asked: list[tuple[str, int]] = []

    def story(self, key: str, limit: int) -> list[Fact]:
        """Return a key's facts."""
        self.asked.append((key, limit))
        return self._facts.get(key, [])


class Images:
    """One image, used by one workload."""

    def used_by(self, workload: WorkloadKey) -> list[ImageKey]:
        """Return it for its workload."""
        return [IMAGE] if workload == WEB else []

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        """Return images that were matched a minute ago."""
        return [
            ImageState(key=key, used=True, database="db1", verified_at=NOW_S - 60) for key in keys
        ]


def test_a_workloads_chapter_is_followed_by_its_images() -> None:
    """And each key is told once, however many ways lead to it."""
    ledger = Ledger()
    found = history.chapters([WEB, IMAGE], ledger, Images(), limit=7)
    assert [key for key, _ in found] == [WEB, IMAGE]
    assert ledger.asked == [(str(WEB), 7), (str(IMAGE), 7)]


def test_a_page_names_each_key_and_says_when_nothing_is_known() -> None:
    """An empty chapter without a word looks like a bug."""
    found = history.chapters([WEB], Ledger(), Images(), limit=7)
    assert history.page(found, {}, limit=7) == (
        "ReplicaSet/shop/web-1\n"
        "  2026-11-25 07:00:00Z  Changed again while it was queued: one run covers both.\n"
        "\n"
        f"{IMAGE.digest} (linux/arm64/v8)\n"
        "  Nothing on record."
    )


def test_a_chapter_that_is_cut_says_so() -> None:
    """A story that begins in its middle is misread as the whole."""
    found = history.chapters([WEB], Ledger(), Images(), limit=1)
    first, second = history.page(found, {}, limit=1).split("\n\n")
    assert first.splitlines()[1] == "  … the newest 1 fact; --limit shows older ones"
    assert "--limit" not in second


def test_a_document_holds_the_facts_as_they_are() -> None:
    """Scripts want names, not sentences."""
    found = history.chapters([WEB], Ledger(), Images(), limit=7)
    first, second = json.loads(history.document(found, {}))
    assert first["key"] == str(WEB)
    assert first["facts"][0]["kind"] == "deduplicated"
    assert second["facts"] == []


def test_history_ends_with_when_the_findings_were_verified() -> None:
    """A report that did not change for a month may be a month old, or a minute."""
    found = history.chapters([WEB], Ledger(), Images(), limit=7)
    states = history.on_record([key for key, _ in found], Images())
    verified = {key: said(one, now_s=NOW_S) for key, one in states.items()}
    first, second = history.page(found, verified, limit=7).split("\n\n")
    assert first.splitlines()[-1] == "  Findings verified 1m ago, by database db1."
    assert second.splitlines()[-1] == first.splitlines()[-1]
    told = json.loads(history.document(found, states))
    image = {"key": str(IMAGE), "verified_at": NOW_S - 60, "database": "db1"}
    assert [chapter["images"] for chapter in told] == [[image], [image]]


# --- queue


def test_a_listing_tells_age_next_try_and_reason() -> None:
    """The three questions about a key that does not move."""
    head, line = queue.listing([entry(WEB)], now_s=NOW_S).splitlines()
    assert head.split() == ["STATE", "LANE", "AGE", "DUE", "TRIES", "KEY", "REASON"]
    assert line.split(maxsplit=6) == [
        "delayed",
        "bulk",
        "3m20s",
        "1m",
        "2",
        str(WEB),
        "backoff of RateLimited: 429",
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"error_class": "", "source": "registry/quay.io", "reason": "RegistryUnavailable"},
            "held by registry/quay.io: RegistryUnavailable: 429",
        ),
        (
            {"error_class": "SourceUnavailable", "reason": "RegistryUnavailable"},
            "backoff of SourceUnavailable: RegistryUnavailable: 429",
        ),
        ({"error_class": "", "reason": "WaitingForKubelet"}, "waits: WaitingForKubelet"),
        ({"error_class": "", "reason": ""}, "asked for later"),
        ({"state": "queued"}, "RateLimited: 429"),
    ],
)
def test_a_delayed_key_says_what_it_waits_for(changes: dict[str, Any], why: str) -> None:
    """A source that is away, its own failures, or a kubelet: only one of them is its fault."""
    line = queue.listing([entry(WEB, **changes)], now_s=NOW_S).splitlines()[1]
    assert line.split(maxsplit=6)[6] == why


def test_tries_are_told_by_error_class() -> None:
    """Each class has a budget of its own, so their sum says nothing about what is left."""
    tried = entry(WEB, attempts=3, failures={"Unknown": 1, "RateLimited": 2})
    assert "3 (RateLimited 2, Unknown 1)" in queue.listing([tried], now_s=NOW_S)


def test_a_dead_key_tells_its_class_and_its_next_probe() -> None:
    """Whose budget is used up, and whether it is worth waiting."""
    dead = entry(WEB, state="parked", error_class="SourceUnavailable", failures={"Conflict": 2})
    head, line = queue.parked_listing([dead], now_s=NOW_S).splitlines()
    assert head.split() == ["AGE", "PROBE", "TRIES", "CLASS", "KEY", "REASON"]
    assert " ".join(line.split()) == (
        f"3m20s 1m 2 (Conflict 2) SourceUnavailable {WEB} RateLimited: 429"
    )
    by_rq = entry(WEB, state="parked", error_class="")
    assert queue.parked_listing([by_rq], now_s=NOW_S).splitlines()[1].split()[3] == "-"


def test_what_is_not_known_is_a_dash() -> None:
    """Columns must not shift for scripts that split on blanks."""
    plain = entry(WEB, since_s=0.0, due_s=0.0, reason="", message="", state="queued")
    line = queue.listing([plain], now_s=NOW_S).splitlines()[1]
    assert line.split() == ["queued", "bulk", "-", "-", "2", str(WEB), "-"]


def test_an_empty_queue_shows_its_head_alone() -> None:
    """Nothing at all would look like a failure."""
    assert len(queue.listing([], now_s=NOW_S).splitlines()) == 1
    assert json.loads(queue.as_json([])) == []


def test_a_key_in_json_can_be_given_back_to_requeue() -> None:
    """`sluice queue parked --json | jq -r .[].key | xargs -n1 sluice queue requeue`."""
    (found,) = json.loads(queue.as_json([entry(WEB)]))
    assert found["key"] == str(WEB)
    assert found["lane"] == "bulk"
    assert found["due_s"] == NOW_S + 60


# --- properties


@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), max_size=4))
def test_columns_never_fail_and_never_end_in_blanks(rows: list[list[str]]) -> None:
    """Messages of registries hold anything, line breaks too."""
    lines = columns(rows).split("\n")
    assert all(line == line.rstrip() for line in lines)
    assert len(lines) == max(1, len(rows))


@given(st.floats())
@example(float("inf"))
@example(1e308)
def test_an_age_is_short(seconds: float) -> None:
    """It stands in a column; a key may be due at infinity, for a score may be."""
    assert len(age(seconds)) <= 13


keys = st.builds(
    WorkloadKey, kind=st.just("Pod"), namespace=st.just("n"), name=st.sampled_from("abcdef")
)
outcomes = st.sampled_from(["Converged", "Rest:Skipped", "Partial:X", "Gone", "New:Word"])
rows = st.builds(
    SettledRow,
    fingerprint=st.sampled_from(["1", "2"]),
    epoch=st.integers(0, 2),
    outcome=outcomes,
)
stands = st.builds(
    Stand, state=st.sampled_from(get_args(State)), failed=st.booleans(), source=st.just("s")
)


@given(
    st.dictionaries(keys, st.sampled_from([Fingerprint("1"), Fingerprint("2")])),
    st.dictionaries(keys, rows),
    st.dictionaries(keys, stands),
)
def test_coverage_stays_between_nothing_and_all(
    wanted: dict[WorkloadKey, Fingerprint],
    settled: dict[WorkKey, SettledRow],
    standings: dict[WorkKey, Stand],
) -> None:
    """103 % covered is a bug that everybody sees."""
    found = coverage(wanted, settled.items(), standings, epoch=1)
    assert found.true + len(found.lacking) == found.workloads
    assert 0 <= found.true <= found.workloads <= len(wanted)
    assert 0.0 <= found.share <= 1.0


@given(st.text(max_size=60))
def test_every_text_means_something(text: str) -> None:
    """OBJECT is typed by people; a traceback is no answer."""
    assert isinstance(read_wish(text), Named | Image | Exactly)


info = st.dictionaries(
    st.sampled_from(
        ["redis_version", "valkey_version", "maxmemory", "maxmemory_policy", "aof_enabled",
         "aof_last_write_status", "used_memory"]
    ),
    st.text(max_size=5) | st.integers() | st.none(),
)  # fmt: skip


@given(info)
def test_any_info_of_a_redis_can_be_judged(values: dict[str, object]) -> None:
    """Managed services leave fields out and invent versions."""
    for finding in judge(Server(info=values, config=None), shown="redis://x"):
        assert isinstance(finding, Good | Notice | Fault)
