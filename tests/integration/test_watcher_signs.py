"""What watchers leave for people to see: a sign of life, and for whom they stand by.

Real processes, which are really stopped; a real API server, a real Valkey.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from common.overview.watcher import SILENT_S, described, said
from common.state.leader import LeaderTable
from tests.waiting import eventually
from tests.watchers import Stage, Watcher

pytestmark = pytest.mark.integration


def trouble(stage: Stage) -> str:
    """Return what `sluice status` says of the watcher; empty: one leads, and lives."""
    return said(described(LeaderTable(stage.live.redis, stage.live.names).last()))


def holder(stage: Stage) -> str:
    """Return whose sign of life was left last; empty: nobody's."""
    last = LeaderTable(stage.live.redis, stage.live.names).last()
    return last.holder if last is not None else ""


def let_time_pass(stage: Stage) -> None:
    """Have the last sign of life be as old as one that is told."""
    name = stage.live.names.own("leader")
    heard_s = float(stage.live.redis.hget(name, "heard") or 0)
    stage.live.redis.hset(name, "heard", f"{heard_s - SILENT_S - 1:.6f}")


def is_stopped(pid: int) -> bool:
    """Say whether SIGSTOP has reached a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def leading(stage: Stage) -> Watcher:
    """Start a watcher that nobody stands by for."""
    watcher = stage.start()
    assert eventually(lambda: watcher.leads), watcher.lines
    assert eventually(lambda: holder(stage) == watcher.name)
    return watcher


def test_a_leader_that_lives_leaves_its_sign_again_and_again(stage: Stage) -> None:
    """Else an old one would be told as an outage."""
    leading(stage)
    let_time_pass(stage)
    assert trouble(stage)
    assert eventually(lambda: not trouble(stage))


def test_a_leader_that_is_stopped_is_told_as_missing_until_it_goes_on(stage: Stage) -> None:
    """A process that hangs keeps its connections and its metrics' port; its probe may hang too."""
    watcher = leading(stage)
    watcher.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: is_stopped(watcher.process.pid))
    stage.live.redis.ping()  # what it had sent before is served by now
    let_time_pass(stage)
    assert f"{watcher.name} led and was last heard" in trouble(stage)
    watcher.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: not trouble(stage)), watcher.lines
    assert holder(stage) == watcher.name


def test_the_follower_of_a_stopped_leader_is_the_one_who_is_heard(stage: Stage) -> None:
    """The one before wakes up with its fence, and must not sign over its successor."""
    leader, standby = stage.pair()
    assert eventually(lambda: holder(stage) == leader.name)
    leader.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: standby.leads), standby.lines
    assert eventually(lambda: holder(stage) == standby.name)
    leader.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: leader.stands_by), leader.lines
    let_time_pass(stage)
    assert eventually(lambda: not trouble(stage))
    assert holder(stage) == standby.name


def test_a_standby_says_whom_it_stands_by_for(stage: Stage) -> None:
    """A log that says nothing for days leaves it open whether the process works at all."""
    leader, standby = stage.pair()
    assert [each["leader"] for each in standby.said("standing by")] == [leader.name]
    third = stage.start()
    assert eventually(lambda: third.stands_by), third.lines
    assert [each["leader"] for each in third.said("standing by")] == [leader.name]
    leader.process.kill()
    leader.process.wait()
    assert eventually(lambda: standby.leads or third.leads), (standby.lines, third.lines)
    heir, other = (standby, third) if standby.leads else (third, standby)
    assert eventually(lambda: other.said("standing by")[-1]["leader"] == heir.name), other.lines
    assert heir.said("standing by")[-1]["leader"] == leader.name


def test_one_that_is_deposed_says_by_whom(stage: Stage) -> None:
    """It was stopped for longer than its Lease; its log ends with a leader that is another."""
    leader, standby = stage.pair()
    leader.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: standby.leads), standby.lines
    leader.process.send_signal(signal.SIGCONT)
    assert eventually(lambda: leader.said("lease lost or given back")), leader.lines
    assert leader.said("lease lost or given back")[-1]["holder"] == standby.name
    assert eventually(lambda: leader.said("standing by")), leader.lines
    assert leader.said("standing by")[-1]["leader"] in (standby.name, "")
