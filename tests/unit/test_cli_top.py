"""What `sluice top` shows besides the status: the pace, what runs, what happened."""

from __future__ import annotations

from typing import Any

import pytest

from common.cli.topview import Look, Pace, pace, style, view
from common.model.facts import Fact
from common.model.key import WorkloadKey
from common.overview.view import Overview
from tests.cli_values import NOW_S, entry
from tests.overviews import shown

WEB = WorkloadKey(kind="Pod", namespace="shop", name="web")


def overview(*facts: Fact, **changes: Any) -> Overview:
    """Return a look at a cluster."""
    return Overview(document=shown(**changes), parked=[], lacking={}, facts=facts)


def look(at_s: float, **counts: int) -> Look:
    """Return the ledger's counters at one instant."""
    return Look(counts=counts, at_s=at_s)


def test_the_pace_is_what_grew_between_two_looks() -> None:
    """Failed runs count too: a pipeline that only fails is busy."""
    before = look(10.0, converged=5, retried=1, inventoried=2, written=7)
    now = look(20.0, converged=9, retried=3, inventoried=3, written=17)
    assert pace(before, now) == Pace(runs=0.6, images=0.1, writes=1.0)


@pytest.mark.parametrize("before", [None, look(20.0, converged=1), look(10.0, converged=9)])
def test_without_two_looks_at_one_redis_there_is_no_pace(before: Look | None) -> None:
    """After a flush it would be negative."""
    assert pace(before, look(20.0, converged=1)) is None


def test_what_waits_is_told_in_time() -> None:
    """`3,000 queued` says nothing to somebody who wonders whether to go home."""
    lane = {"queued": 0, "oldest_age_s": 0.0}
    queue = {"scan": {"fresh": {"queued": 90, "oldest_age_s": 4.0}, "bulk": lane}}
    pools = {"scan": {"running": 0, "delayed": 0, "dead": 0}}
    going = Pace(runs=0.5, images=0.5, writes=0)
    text = view(overview(queue=queue, pools=pools), [], going, now_s=NOW_S)
    assert "90 queued, about 3m" in text
    still = {"scan": {"fresh": lane, "bulk": lane}}
    assert "about" not in view(overview(queue=still, pools=pools), [], going, now_s=NOW_S)


def test_running_keys_and_the_newest_facts_are_shown() -> None:
    """The newest first, and nothing that every key has."""
    facts = [
        Fact(kind="claimed", key=str(WEB), at=NOW_S - 3, data={}),
        Fact(kind="swept", key="", at=NOW_S - 2, data={}),
        Fact(kind="converged", key=str(WEB), at=NOW_S - 1, data={"outcome": "Converged"}),
    ]
    running = [entry(WEB, state="running", since_s=NOW_S - 5, worker="w1")] * 10
    lines = view(overview(*facts), running, None, now_s=NOW_S).splitlines()
    start = lines.index("RUNNING       IN QUEUE  WORKER")
    assert lines[start + 1] == "Pod/shop/web  5s        w1"
    assert lines[start + 9] == "and 2 more"
    told = [line for line in lines if line[2:3] == ":"]
    assert told[0].startswith("06:59:59Z  Pod/shop/web: Everything about it is true now")
    assert told[1].startswith("06:59:58Z  Sweep")
    assert len(told) == 2


def test_what_is_wrong_stands_on_top_and_stands_out() -> None:
    """A small terminal shows the beginning, and a tired operator what is red."""
    problem = {"said": "the queue is paused", "remedy": "sluice queue resume", "details": []}
    lines = view(overview(problems=[problem]), [], None, now_s=NOW_S).splitlines()
    assert lines[0] == "! the queue is paused"
    assert lines[3] == "  sluice queue resume"
    assert style(lines[0]) == "1;31"
    assert style("true reports  1 of 1") == ""
    assert style("06:59:59Z  x") == "2"
