"""What docs/operations.md says of a loss of Redis and of a backup, with a whole product.

Pulls are what a loss costs, so images are counted; reports are never written for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.demo.proof import Work
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

IMAGES = ("alpine-app", "clean", "debian-app")


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product with two workloads of each image."""
    try:
        with living() as one:
            here = one.namespace()
            for number in range(6):
                one.deploy(here, f"w{number}", one.image(IMAGES[number % len(IMAGES)]))
            eventually(lambda: is_whole(one, 6))
            yield one
    except PreconditionError as error:
        lacking(error)


def is_whole(alive: Living, workloads: int) -> bool:
    """Say whether so many workloads have true reports, and nothing is on its way."""
    try:
        found = json.loads(alive.product.sluice("status", "--json"))
    except PreconditionError:  # Redis is not back yet
        return False
    queued = sum(lane["queued"] for lanes in found["queue"].values() for lane in lanes.values())
    covered = found["coverage"]
    moving = queued + found["running"] + found["delayed"]
    return covered["workloads"] == covered["true"] == workloads and not moving


def written(alive: Living) -> Work:
    """Return what the processes counted: the ledger's own counters are lost with Redis."""
    return Work(
        inventories=int(alive.metric("sluice_inventories_total")),
        matches=int(alive.metric("sluice_matches_total")),
        writes=int(alive.metric("sluice_report_writes_total")),
        enqueued=0,
    )


def test_a_flush_costs_one_pull_an_image_and_no_write(alive: Living) -> None:
    """However many workloads use it."""
    before = written(alive)
    alive.flush_redis()
    eventually(lambda: is_whole(alive, 6))
    spent = written(alive) - before
    assert (spent.inventories, spent.writes) == (len(IMAGES), 0)


def test_a_kill_costs_nothing_where_the_file_stays(alive: Living) -> None:
    """The last second is lost; what a sweep finds is work that was done."""
    before = written(alive)
    alive.world.valkey.kill()
    alive.world.valkey.restart()
    eventually(lambda: is_whole(alive, 6))
    spent = written(alive) - before
    assert (spent.inventories, spent.writes) == (0, 0)


def test_a_restored_backup_is_brought_up_to_date(alive: Living, tmp_path: Path) -> None:
    """It knows nothing of a workload that came later."""
    valkey, data = alive.world.valkey, alive.place.sub("valkey")
    valkey.stop()
    shutil.copytree(data, tmp_path / "backup")
    valkey.restart()
    here = alive.namespace()
    alive.deploy(here, "later", alive.image("alpine-app"))
    eventually(lambda: is_whole(alive, 7))
    before = written(alive)
    valkey.stop()
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "backup", data)
    valkey.restart()
    eventually(lambda: is_whole(alive, 7))
    spent = written(alive) - before
    assert (spent.inventories, spent.writes) == (0, 0)
