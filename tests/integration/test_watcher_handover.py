"""Two watchers, one Lease: who writes when the leader ends, hangs, or is cut off; and what is lost.

Real processes, a real API server, a real Valkey. Sweeps come at the beginning of a term only, so
that none of them puts right later what a hand-over missed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from tests.live import page_of, port_of
from tests.waiting import eventually
from tests.watchers import Stage, Watcher

pytestmark = pytest.mark.integration


def _terminate(stage: Stage, leader: Watcher) -> None:
    leader.process.send_signal(signal.SIGTERM)
    assert leader.process.wait(timeout=30) == 0
    assert stage.holder() != leader.name, "it gave the Lease back before it ended"


def _kill(stage: Stage, leader: Watcher) -> None:
    leader.process.kill()
    leader.process.wait()
    assert stage.holder() == leader.name


@pytest.mark.parametrize("end", [_terminate, _kill], ids=["SIGTERM", "SIGKILL"])
def test_a_leader_that_ends_is_followed_without_a_lost_or_doubled_key(
    stage: Stage, end: Callable[[Stage, Watcher], None]
) -> None:
    """A rollout, a drained node, an OOM kill; changes go on while nobody leads."""
    leader, standby = stage.pair()
    stage.prepare()
    with stage.changing() as begun:
        assert begun.wait(30)
        end(stage, leader)
        assert eventually(lambda: standby.leads), standby.lines
    stage.check()


def test_a_leader_that_is_stopped_beyond_its_lease_stands_by_when_it_goes_on(
    stage: Stage,
) -> None:
    """Trap 24. It must not go on where it stood; later it leads again, warm as it is."""
    leader, standby = stage.pair()
    stage.prepare()
    with stage.changing() as begun:
        assert begun.wait(30)
        leader.process.send_signal(signal.SIGSTOP)
        assert eventually(lambda: standby.leads), standby.lines
        leader.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: leader.stands_by), leader.lines
    stage.check()
    _kill(stage, standby)
    stage.live.create_pod("last")  # while nobody leads: the first sweep of its second term finds it
    stage.expected["last"] += 1
    assert eventually(lambda: leader.leads), leader.lines
    assert eventually(stage.is_complete)
    assert stage.enqueued() == stage.expected


def test_a_leader_that_is_cut_from_the_api_server_stops_writing_by_itself(stage: Stage) -> None:
    """It cannot be told. When the line is back it has missed everything, and catches up."""
    leader, standby = stage.pair()
    stage.prepare()
    with stage.changing() as begun:
        assert begun.wait(30)
        with leader.api.silent():
            assert eventually(lambda: not leader.leads), leader.lines
            assert eventually(lambda: standby.leads), standby.lines
            assert eventually(lambda: not leader.is_ready), "it says that it hears nothing"
    assert eventually(lambda: leader.stands_by), leader.lines
    stage.check()


def test_a_leader_that_is_cut_from_redis_gives_the_lease_back(stage: Stage) -> None:
    """Another may reach it. What it sent into the silence arrives when that one leads: trap 24."""
    leader, standby = stage.pair()
    stage.prepare()
    with stage.changing() as begun:
        assert begun.wait(30)
        with leader.redis.silent():
            assert eventually(lambda: standby.leads), standby.lines
            assert eventually(stage.is_complete)
        assert eventually(lambda: leader.stands_by), leader.lines
    stage.check()


def test_without_redis_nobody_leads_and_the_first_to_reach_it_does(stage: Stage) -> None:
    """They do not take the Lease in turns to no purpose; what happens meanwhile is not lost."""
    leader, standby = stage.pair()
    stage.prepare()
    with stage.changing() as begun:
        assert begun.wait(30)
        with leader.redis.silent(), standby.redis.silent():
            assert eventually(lambda: leader.said("lease lost or given back")), leader.lines
            assert not standby.leads
        assert eventually(lambda: leader.leads or standby.leads), leader.lines
    stage.check()


def test_two_that_start_together_agree_on_one(stage: Stage) -> None:
    """The API server lets one of them create the Lease."""
    stage.pair()
    stage.live.create_pod("tool")
    stage.expected["tool"] += 1
    assert eventually(stage.is_complete)
    assert stage.enqueued() == stage.expected


def test_findings_and_status_are_served_once_and_by_both(stage: Stage) -> None:
    """Sums over findings must not double; whoever looks at a standby sees the same status."""
    leader, standby = stage.pair()
    stage.live.write_report(stage.live.create_pod("tool"))

    def findings(one: Watcher) -> int:
        text = page_of(port_of(one.lines, "/metrics"), "/metrics")[1]
        return text.count("trivy_image_vulnerabilities{")

    assert eventually(lambda: findings(leader) == 5)
    assert eventually(lambda: standby.metric("sluice_watcher_reports") == 1)
    assert findings(standby) == 0
    for one in (leader, standby):
        status, text = page_of(port_of(one.lines, "/status.json"), "/status.json")
        assert (status, json.loads(text)["cluster"]) == (200, stage.live.names.cluster)
    _terminate(stage, leader)
    assert eventually(lambda: findings(standby) == 5)
