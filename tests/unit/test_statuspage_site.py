"""Which page is meant, what is refused, and what is told while Redis is away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ops.probes import Page
from tests.overviews import overview
from tests.statussite import Elements, ask
from watcher.status.answer import Query, Seen, Unread

CALM = Seen(overview=overview(), age_s=1.0, unread=None)
AWAY = Seen(overview=overview(), age_s=9.0, unread=Unread(away=True, message="refused"))


@given(st.text(max_size=60))
def test_any_query_is_read(text: str) -> None:
    """It comes from whoever has the page in reach."""
    asked = Query.read(text)
    assert 1 <= asked.limit <= 1_000
    assert 1 <= asked.page <= 1_000_000
    assert len(asked.get("q")) <= 200


@pytest.mark.parametrize(
    ("text", "page", "limit"),
    [
        ("", 1, 100),
        ("page=3&limit=20", 3, 20),
        ("page=0&limit=0", 1, 1),
        ("page=-1&limit=1e9", 1, 100),
        ("page=99999999999&limit=99999999999", 1_000_000, 1_000),
        ("page=\u0663&limit=%C2%B2", 1, 100),
    ],
)
def test_pages_and_limits_are_bounded(text: str, page: int, limit: int) -> None:
    """A number that somebody writes is how much the watcher draws."""
    asked = Query.read(text)
    assert (asked.page, asked.limit) == (page, limit)


@pytest.mark.parametrize(
    "path", ["/images", "/queue", "/history", "/vulnerability/CVE-1-1", "/workload/Pod/a/b"]
)
def test_what_redis_alone_knows_is_not_asked_for_while_it_is_away(path: str) -> None:
    """Each would wait as long as a connection may take."""
    answer = ask(path, AWAY)
    assert answer.status == 503
    assert "Redis does not answer now refused" in Elements(answer.body).text
    assert json.loads(ask(f"{path}.json", AWAY).body) == {"error": "refused"}


def test_a_vulnerability_is_not_searched_for_while_redis_is_away() -> None:
    """A script that asks has its answer at once, too."""
    answer = ask("/search.json?q=CVE-1-1", AWAY)
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "refused")


def test_the_last_look_is_shown_while_redis_is_away() -> None:
    """It is what one has."""
    assert ask("/", AWAY).status == 200
    assert "This is how it was 9s ago." in Elements(ask("/", AWAY).body).text
    assert ask("/workloads", AWAY).status == 503  # the list was let go with the last reader


@pytest.mark.parametrize(
    "path", ["/nope", "/workloads/x", "/vulnerability/x", "/status", "/..", "//", "/workload//a/b"]
)
def test_a_path_that_is_none_has_a_page_of_its_own(path: str) -> None:
    """With the ways to those that there are."""
    answer = ask(path, CALM)
    if path in ("/status", "//"):
        assert answer.status == 200
    else:
        assert answer.status == 404
        assert "There is no such page" in Elements(answer.body).text


def test_every_answer_forbids_what_no_page_needs() -> None:
    """Also refusals, and what is for scripts."""
    answers: list[Page] = [
        ask("/", CALM),
        ask("/status.json", CALM),
        ask("/nope", CALM),
        ask("/search?q=CVE-2024-1111", CALM),
        ask("/" + "x" * 3_000, CALM),
        ask("/", CALM, host="evil.example"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 303, 414, 421]
    for answer in answers:
        headers = dict(answer.headers)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_links_lead_to_the_same_place_from_everywhere() -> None:
    """The page may stand below a path of its own, behind a proxy."""
    found = dict.fromkeys(["/", "/workloads"])
    for path in found:
        ways = [
            value for name, value in Elements(ask(path, AWAY).body).attributes if name == "href"
        ]
        assert "workloads" in ways
    deep = Elements(ask("/workload/Pod/a/b", AWAY).body).attributes
    ways = [value for name, value in deep if name in ("href", "action")]
    assert {"../../../", "../../../workloads", "../../../search", "b.json"} <= set(ways)


def test_refreshing_can_be_stopped() -> None:
    """Nobody reads a page that jumps, and what is written into the search would be lost."""
    assert b'http-equiv="refresh"' in ask("/", CALM).body
    held = ask("/?hold=1", CALM).body
    assert b'http-equiv="refresh"' not in held
    assert "held still · go on" in Elements(held).text
    assert b'http-equiv="refresh"' not in ask("/workloads", CALM).body
