"""Verified within: what happens to reports whose time is over, on a whole product of real parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from common.model.key import ImageKey
from common.settings.parse import parse
from common.state.control import Control
from common.state.images import ImageTable
from common.state.names import Names
from sandbox.demo.product import CLUSTER
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    with living() as up:
        yield up


def _sweep(alive: Living) -> None:
    """Ask for a sweep, and wait for its end."""
    control = Control(alive.redis(), Names(CLUSTER))
    number = control.request_sweep()
    eventually(lambda: control.swept() >= number)


def _verified(alive: Living, key: ImageKey) -> float:
    at = ImageTable(alive.redis(), Names(CLUSTER)).get(key).verified_at
    assert at is not None
    return at


def _make_old(alive: Living, keys: list[ImageKey], **fields: Any) -> None:
    redis: Any = alive.redis()
    for key in keys:
        redis.hset(Names(CLUSTER).own(f"image:{key}"), mapping=fields)


def test_an_expired_report_is_verified_and_neither_deleted_nor_written(alive: Living) -> None:
    """trivy-operator deletes it, and has none until the next scan is through."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"), alive.image("clean"))
    alive.await_report(here, "c0")
    alive.await_report(here, "c1")
    eventually(lambda: len(alive.reports(here, "ExposedSecretReport")) == 2)
    _sweep(alive)
    before = alive.reports(here)
    keys = ImageTable(alive.redis(), Names(CLUSTER)).keys()
    old_s = time.time() - 3 * DAY_S
    since_s = time.time()
    _make_old(alive, keys, ver=old_s)
    _sweep(alive)
    missing = 0
    deadline = time.monotonic() + 30
    while any(_verified(alive, key) == old_s for key in keys):
        missing += len(alive.reports(here)) < len(before)
        assert time.monotonic() < deadline
    eventually(lambda: alive.metric("sluice_images", 'verified="overdue"') == len(keys))
    _sweep(alive)
    assert missing == 0
    after = alive.reports(here)
    assert {name: one["metadata"]["resourceVersion"] for name, one in after.items()} == {
        name: one["metadata"]["resourceVersion"] for name, one in before.items()
    }
    facts = alive.facts(since_s)
    kinds = [fact.kind for fact in facts]
    assert [fact.data["cause"] for fact in facts if fact.kind == "enqueued"] == (
        ["Unverified"] * len(keys)
    )
    assert kinds.count("matched") == len(keys)
    assert "written" not in kinds
    assert "inventoried" not in kinds
    assert alive.metric("sluice_images", 'verified="in_time"') == len(keys)
    age_s = alive.metric("sluice_image_verified_age_seconds", 'share="1"')
    assert 0 < age_s < parse({}).verify.report_ttl_s  # type: ignore[operator] # it has a default


def test_matches_that_were_lost_come_back_with_the_next_sweep(alive: Living) -> None:
    """Law 7: their findings were those of an old database until the next one came."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.await_report(here)
    table = ImageTable(alive.redis(), Names(CLUSTER))
    keys = table.keys()
    # As if one database had been published since, its matches queued, and then deleted.
    _make_old(alive, keys, db="2020-01-01T00:00:00Z", seen="0")
    since_s = time.time()
    _sweep(alive)
    eventually(lambda: all(one.database > "2021" for one in table.states(keys)))
    causes = [fact.data["cause"] for fact in alive.facts(since_s) if fact.kind == "enqueued"]
    assert set(causes) == {"DatabaseOlder"}
