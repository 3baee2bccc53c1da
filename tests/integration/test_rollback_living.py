"""A rollback: this version starts on what a newer one left in Redis.

That version does not exist yet, so its records are made here: fields and keys that nobody knows, or
bodies that cannot be read at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from common.model.errors import PreconditionError
from common.state.names import Names
from sandbox.demo.product import CLUSTER
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

WORKLOADS = 6
NAMES = Names(CLUSTER)


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product, at rest with some reports."""
    try:
        with living() as one:
            here = one.namespace()
            for number in range(WORKLOADS):
                one.deploy(here, f"w{number}", one.image(("alpine-app", "clean")[number % 2]))
            eventually(lambda: is_whole(one))
            yield one
    except PreconditionError as error:
        lacking(error)


def is_whole(alive: Living) -> bool:
    """Say whether every workload has true reports and nothing is on its way."""
    found = json.loads(alive.product.sluice("status", "--json"))
    queued = sum(lane["queued"] for lanes in found["queue"].values() for lane in lanes.values())
    covered = found["coverage"]
    return (
        covered["workloads"] == covered["true"] == WORKLOADS
        and not queued + found["running"] + found["delayed"]
        and len(found["workers"]) > 0
    )


def with_a_field(body: bytes) -> bytes:
    """Return a body with a field that nobody knows."""
    before, brace, rest = body.partition(b"{")
    return before + brace + b'"of_tomorrow":{"a":[1]},' + rest


def unreadable(_body: bytes) -> bytes:
    """Return what no version of ours can read."""
    return b"\x01of tomorrow"


@pytest.mark.parametrize("rewritten", [with_a_field, unreadable])
def test_after_a_rollback_everything_is_true_again_without_a_scan_or_a_write(
    alive: Living, rewritten: Callable[[bytes], bytes]
) -> None:
    """Stored inventories stay, and reports that say the same are left alone."""
    before = alive.product.work()
    epoch = json.loads(alive.product.sluice("status", "--json"))["epoch"]
    alive.product.stop()
    with alive.redis() as redis:
        for table in ("rows", "settled"):
            bodies = redis.hgetall(NAMES.own(table))
            assert bodies
            changed = {key: rewritten(body) for key, body in bodies.items()}
            redis.hset(NAMES.own(table), mapping=changed)
            redis.hset(NAMES.own(table), "kind-of-tomorrow/a/b", b"x")
        redis.hset(NAMES.own("want"), "kind-of-tomorrow/a/b", b"x")
        redis.hset(NAMES.own("epoch"), mapping={"digest": "0" * 64, "version": "9.9.9"})
    alive.product.restart()
    eventually(lambda: json.loads(alive.product.sluice("status", "--json"))["epoch"] > epoch)
    eventually(lambda: is_whole(alive))
    after = alive.product.work()
    assert (after.inventories, after.writes) == (before.inventories, before.writes)
