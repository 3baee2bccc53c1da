"""The status page as HTML: what it shows, what it leaves out, and what nobody can put into it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.facts import FACT_KINDS, Fact
from common.overview.view import Overview
from tests.overviews import (
    AT_S,
    EVIL,
    circuit,
    fact,
    overview,
    parked,
    parked_image,
    running,
    shown,
)
from tests.statussite import Elements, ask
from watcher.status.answer import Seen, Unread
from watcher.status.markup import tag, text

# Elements that fetch, run or send something.
_ACTIVE = {"script", "img", "iframe", "object", "embed", "video", "base"}
_ONCE = {"html", "head", "body", "main", "title", "style", "h1", "link", "form", "header", "footer"}


def seen(found: Overview | None = None, **changes: Any) -> Seen:
    """Return a look two seconds ago, but for the changes."""
    given: dict[str, Any] = {"overview": found, "age_s": 2.0, "unread": None}
    return Seen(**{**given, **changes})


def page(given: Seen) -> bytes:
    """Return the first page."""
    return ask("/", given).body


def document(given: Seen) -> bytes:
    """Return the first page for scripts."""
    return ask("/status.json", given).body


def rendered(found: Overview | None = None, **changes: Any) -> Elements:
    """Return the page of an overview."""
    return Elements(page(seen(found, **changes)))


# --- what it shows


def test_a_calm_cluster_is_told_in_one_screen() -> None:
    """The five questions: is anything wrong, how much is true, how fresh, what waits, who works."""
    found = rendered(overview())
    for part in (
        "kube-sluice abcd1234",
        "as of 2s ago",
        "Nothing is wrong.",
        "99.9% of workloads have true reports 2,999 of 3,000 workloads",
        "1h old 2026-11-25 06:00; newer one sought 1m30s ago",
        "Last event 4s ago",
        "Waiting 120",
        "Workers 2 alive",
        "reconcile 0 - 120 1m1s 16 2 0",
        "host_7_0f leads since 2h",
        "w1, w2",
    ):
        assert part in found.text
    assert not found.open


def test_one_workload_that_lacks_its_reports_is_not_rounded_away() -> None:
    """`100%` is read as done."""
    one = {"coverage": {"workloads": 3000, "true": 2999, "share": 0.9997}}
    assert "99.9% of workloads" in rendered(overview(document=one)).text
    all_ = {"coverage": {"workloads": 3000, "true": 3000, "share": 1.0}}
    assert "100% of workloads" in rendered(overview(document=all_)).text


def test_what_is_wrong_comes_first_with_its_remedy() -> None:
    """People open the page because something looks wrong."""
    problem = {"said": "no worker is alive", "details": ("since noon",), "remedy": "sluice doctor"}
    found = rendered(overview(document={"problems": [problem]})).text
    assert "no worker is alive since noon Next: sluice doctor" in found
    assert found.index("no worker is alive") < found.index("Running now")
    assert "Nothing is wrong" not in found


def test_a_paused_queue_says_so_beside_its_length() -> None:
    """A queue that nobody works looks like a slow one."""
    assert "Waiting 120 the queue is paused" in rendered(overview(document={"paused": True})).text


@pytest.mark.parametrize(
    ("due_in_s", "expected"), [(7_500.0, "in 2h5m"), (0.0, "now"), (None, "when somebody asks")]
)
def test_a_parked_key_tells_why_and_when_it_is_tried_again(
    due_in_s: float | None, expected: str
) -> None:
    """Without the time everybody requeues by hand."""
    found = rendered(overview(parked=[parked(due_in_s=due_in_s)], document={"dead": 1})).text
    assert f"Pod/shop/web TooLarge request is too large 3 {expected}" in found


def test_a_source_in_trouble_has_a_row() -> None:
    """Who is away, since when, and when it is asked again; the problems above say what to do."""
    troubles = [circuit(), circuit(source="api-server", state="failing", next_s=0.0)]
    found = rendered(overview(document={"circuits": troubles})).text
    assert (
        "registry/quay.io open 12 3m20s ago in 40s RegistryUnavailable connection refused" in found
    )
    assert "api-server failing 12 3m20s ago now" in found


def test_sources_that_nobody_needs_have_no_section() -> None:
    """A worker that is gone takes its scanner with it."""
    assert "Sources in trouble" not in rendered(overview()).text
    gone = rendered(overview(document={"circuits": [circuit(idle=True)]})).text
    assert "Sources in trouble" not in gone


def test_a_parked_image_goes_by_the_name_in_its_manifests() -> None:
    """Nobody knows a digest by heart."""
    found = rendered(overview(parked=[parked_image("registry.example/app:9")])).text
    assert "registry.example/app:9 ImageNotFound" in found


def test_a_workload_without_all_reports_is_named_with_the_reason() -> None:
    """The share alone does not say whom to ask."""
    group = {"why": "parked", "reason": "TooLarge", "workloads": 1, "examples": ["Pod/shop/db"]}
    found = rendered(
        overview(lacking={"Pod/shop/db": "parked: TooLarge"}, document={"lacking": [group]})
    ).text
    assert "1 of 1: 1 parked: TooLarge Workload Why Pod/shop/db parked: TooLarge" in found


def test_the_ledger_is_told_newest_first_in_words() -> None:
    """What happened last is what one looks for."""
    found = rendered(overview(facts=[fact(0), fact(1)])).text
    assert (
        "2026-11-25 07:00:01 Pod/shop/web VulnerabilityReport/shop/r1 created. "
        "2026-11-25 07:00:00 Pod/shop/web VulnerabilityReport/shop/r0 created."
    ) in found


def test_an_empty_cluster_is_no_fault() -> None:
    """The first page after an installation must not look broken."""
    found = rendered(
        overview(
            document={
                "coverage": {"workloads": 0, "true": 0, "share": 1.0},
                "database": {"version": None, "age_s": None, "checked_age_s": None},
                "last_event_age_s": None,
                "workers": [],
            }
        )
    ).text
    for part in (
        "No workloads yet",
        "none yet nothing can be matched without one",
        "Last event none yet",
        "Nothing on record.",
        "None is alive.",
    ):
        assert part in found


# --- when Redis is away


def test_the_last_look_stays_when_redis_goes_away() -> None:
    """An old answer with its age beats none."""
    unread = Unread(away=True, message="Redis: ConnectionError: refused")
    found = rendered(overview(), age_s=3_000.0, unread=unread).text
    assert "Redis is away. This is how it was 50m ago. Redis: ConnectionError: refused" in found
    assert "2,999 of 3,000 workloads" in found
    assert "Nothing is wrong" not in found


def test_a_first_page_without_redis_says_that_nothing_is_known() -> None:
    """Zeros would be read as an empty cluster."""
    found = rendered(None, unread=Unread(away=True, message="refused")).text
    assert "Redis is away. Nothing is known yet. refused" in found
    assert "have true reports" not in found


def test_content_that_cannot_be_read_is_not_told_as_an_outage() -> None:
    """Nobody should restart a Redis that works."""
    found = rendered(overview(), unread=Unread(away=False, message="x")).text
    assert "The tables cannot be read." in found
    assert "Redis is away" not in found


@pytest.mark.parametrize(("age_s", "told"), [(59.0, False), (61.0, True)])
def test_a_look_that_nothing_followed_is_told_as_old(age_s: float, *, told: bool) -> None:
    """Redis may hang without an error for longer than anybody looks at a page."""
    assert ("Redis has not answered yet." in rendered(overview(), age_s=age_s).text) is told


# --- bounds


def test_long_lists_are_cut_and_lead_to_the_whole_ones() -> None:
    """A page of 30,000 rows can be opened by nobody, and only when everything is wrong."""
    lacking = [{"why": "failed", "reason": "Unauthorized", "workloads": 5_000, "examples": ["x"]}]
    many = overview(
        parked=[parked(f"p{number}") for number in range(130)],
        lacking={f"Pod/shop/w{number}": "Unauthorized" for number in range(100)},
        facts=[fact(number) for number in range(1_000)],
        running=[running(f"r{number}") for number in range(20)],
        document={
            "lacking": lacking,
            "dead": 4_321,
            "workers": [f"w{number}" for number in range(900)],
        },
    )
    body = page(seen(many))
    found = Elements(body)
    assert "15 of 4,321" in found.text
    assert "15 of 5,000" in found.text
    assert "and 800 more" in found.text
    assert "r999 created" in found.text
    assert "r974 created" not in found.text
    ways = [value for name, value in found.attributes if name == "href"]
    assert {"queue?state=parked", "workloads", "history"} <= set(ways)
    assert "workloads?state=failed" in ways
    assert len(re.findall(r"<tr>", body.decode())) == 15 + 15 + 15 + 25 + 2 + 5
    assert len(body) < 64_000


def test_a_text_without_end_is_cut() -> None:
    """An image's name is bounded by nobody but the size of its Pod."""
    body = page(seen(overview(parked=[parked_image("x" * 1_000_000)])))
    assert len(body) < 20_000
    assert "…" in body.decode()


# --- foreign text


def everywhere(evil: str) -> Overview:
    """Return an overview with a text wherever somebody else's can come from."""
    problem = {"said": evil, "details": (evil,), "remedy": evil}
    return overview(
        parked=[parked_image(evil), parked(reason=evil, message=evil)],
        lacking={f"Pod/shop/{evil}": evil},
        running=[running(evil)],
        facts=[
            Fact(kind="parked", key=evil, data={"reason": evil, "message": evil}, at=AT_S),
            Fact(kind="inventoried", key="", data={"reference": evil}, at=AT_S),
            Fact(kind="enqueued", key="", data={"cause": evil, "how": evil}, at=AT_S),
        ],
        document={
            "cluster": evil,
            "problems": [problem],
            "circuits": [circuit(source=f"registry/{evil}", reason=evil, message=evil)],
            "failing": {evil: 1},
            "workers": [evil],
            "database": {"version": evil, "age_s": None, "checked_age_s": None},
            "dead": 9,
        },
    )


def test_a_script_in_names_and_reasons_stays_text() -> None:
    """Whoever may create a Pod chooses image names; they must not run in an operator's browser."""
    found = Elements(page(seen(everywhere(EVIL), unread=Unread(away=True, message=EVIL))))
    assert not _ACTIVE & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert found.text.count("<script>") >= 15
    assert not found.open


def test_the_page_loads_and_runs_nothing() -> None:
    """It is opened in clusters without a way out, and by people with rights."""
    answer = ask("/", seen(overview(parked=[parked()], facts=[fact(0)])))
    found = Elements(answer.body)
    assert not _ACTIVE & set(found.tags)
    ways = [value or "" for name, value in found.attributes if name in ("href", "action", "src")]
    assert not [way for way in ways if way.startswith(("http", "//", "javascript"))]
    assert [way for way in ways if ":" in way.partition("/")[0]] == [ways[0]]
    assert ways[0].startswith("data:image/svg+xml,")
    policy = dict(answer.headers)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    style = answer.body.decode().partition("<style>")[2].partition("</style>")[0]
    digest = hashlib.sha256(style.encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme:dark" in style
    assert " style=" not in answer.body.decode()


foreign = st.text(max_size=40) | st.sampled_from([EVIL, "</td></table>", "<!--", "\x00", "\ud800"])


@given(foreign.filter(bool))  # a column in which nothing stands is left out
def test_no_text_changes_the_structure_of_the_page(evil: str) -> None:
    """The elements are ours, whatever stands in them; what names no workload is no link."""
    found, plain = (
        [tag for tag in Elements(page(seen(everywhere(text)))).tags if tag != "a"]
        for text in (evil, "x")
    )
    assert found == plain


@given(
    st.sampled_from(FACT_KINDS),
    st.dictionaries(st.sampled_from(["message", "how", "report", "delay_s"]), st.none() | foreign),
)
def test_any_fact_can_be_shown(kind: Any, data: dict[str, object]) -> None:
    """A fact of a newer version must not take the page away."""
    assert page(seen(overview(facts=[Fact(kind=kind, key="?", data=data)]))).startswith(b"<!doc")


def test_every_element_stands_once() -> None:
    """Screen readers and search go by them."""
    tags = rendered(overview()).tags
    assert all(tags.count(name) == 1 for name in _ONCE)


def test_what_is_markup_is_not_escaped_twice() -> None:
    """`&amp;lt;` is what a page looks like where somebody was too careful."""
    inner = tag("b", "a<b")
    assert inner == "<b>a&lt;b</b>"
    assert tag("p", inner, " & ", kind='x"') == '<p class="x&quot;"><b>a&lt;b</b> &amp; </p>'
    assert text(inner) is inner


# --- for scripts


def test_the_json_is_the_status_with_the_looks_age() -> None:
    """One shape for `sluice status --json` and the page: scripts choose where they ask."""
    found = json.loads(document(seen(overview(), age_s=2.00049)))
    assert found.pop("snapshot") == {"age_s": 2.0, "fault": None}
    assert found == shown()


def test_the_json_says_why_it_is_empty() -> None:
    """A script must not take silence for calm."""
    found = json.loads(document(seen(None, unread=Unread(away=True, message="refused"))))
    assert found == {"snapshot": {"age_s": None, "fault": "refused"}}
