"""SIGTERM at every process while everybody is busy: each ends in time with status 0.

That is what a rollout, an eviction and a drained node do to a Pod, and nothing may be lost by it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from common.model.errors import PreconditionError
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

# What the chart gives a Pod beyond `worker.drainS`; a process that needs more would be killed.
DRAIN_S, GRACE_S = 10, 15
# The child's name as the supervisor knows it, and a word of its command line.
CHILDREN = {
    "scanner": "worker.scanner",
    "worker-1": "worker",
    "watcher": "watcher",
    "matcher": "worker",
}
IMAGES = ("alpine-app", "alpine-python", "alpine-node", "debian-app", "debian-node", "multi")


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living(SLUICE_DRAIN_S=str(DRAIN_S)) as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def lines(alive: Living, event: str) -> list[dict[str, Any]]:
    """Return the log's lines of an event."""
    found = (line for line in alive.product.log.read_text().splitlines() if line[:1] == "{")
    return [told for told in map(json.loads, found) if told["event"] == event]


def process(alive: Living, child: str) -> int:
    """Return the process id of a child."""
    for pid in alive.pids(f"-m\0{CHILDREN[child]}"):
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 # no file of anybody's
            environ = file.read()
        is_matcher = b"SLUICE_WORKER_POOLS=match" in environ
        is_scanner = child == "scanner"
        if is_scanner or child == "watcher" or is_matcher == (child == "matcher"):
            return pid
    raise AssertionError(f"{child} does not run")


@pytest.mark.parametrize("child", CHILDREN)
def test_a_busy_process_ends_in_time_with_status_0_and_nothing_is_lost(
    alive: Living, child: str
) -> None:
    """Whatever it was doing goes on elsewhere."""
    here = alive.namespace()
    before, running = len(lines(alive, "child ended")), alive.metric("sluice_claims_total")
    for number in range(12):
        alive.deploy(here, f"w{number}", alive.image(IMAGES[number % len(IMAGES)]))
    eventually(lambda: alive.metric("sluice_claims_total") > running)
    os.kill(process(alive, child), signal.SIGTERM)
    ended = eventually(lambda: lines(alive, "child ended")[before:], within_s=DRAIN_S + GRACE_S)
    assert [(one["child"], one["status"]) for one in ended] == [(child, "status 0")]
    eventually(lambda: len(alive.of(here)) == 12)


def test_every_line_of_every_process_is_one_json_object(alive: Living) -> None:
    """Also of what was stopped, restarted, or failed: a log store splits by line."""
    # How it is stopped is the last that a person is told; a background job is told other words.
    text = alive.product.log.read_text().partition("drains and stops")[2].partition("\n")[2]
    assert text
    for line in text.splitlines():
        told = json.loads(line)
        assert {"at", "level", "component", "event"} <= told.keys(), line
        assert told["level"] not in {"error", "critical"}, line
