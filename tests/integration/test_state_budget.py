"""Registries' budgets on the real Redis: one for all workers, and no hand breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from common.settings.parse import parse
from common.state.budget import LONGEST_WAIT_S, BudgetTable, Pull
from common.state.names import Names

pytestmark = pytest.mark.integration

HUB = "index.docker.io"


def _pull(number: int = 1, *, slot_s: float | None = 300.0, paid: bool = False) -> Pull:
    return Pull(subject=f"sha256:{number} linux-amd64", slot_s=slot_s, paid=paid)


def _table(
    redis: Redis, names: Names, *, per_min: str = "", at_once: str = "", draw: float = 0.0
) -> BudgetTable:
    environ = {
        "SLUICE_REGISTRY_PULLS_PER_MIN": per_min,
        "SLUICE_REGISTRY_CONCURRENT_PULLS": at_once,
    }
    limits = parse({name: value for name, value in environ.items() if value}).limits
    return BudgetTable(redis, names, limits, draw=lambda: draw)


def _age(redis: Any, names: Names, seconds: float) -> None:
    """Let time pass for the bucket."""
    key = names.own(f"budget:{HUB}")
    redis.hset(key, "at", float(redis.hget(key, "at")) - seconds)


def test_a_minutes_worth_may_be_used_at_once_and_then_its_rate(
    redis_client: Any, names: Names
) -> None:
    """Two workers ask as one: the registry counts them so."""
    one = _table(redis_client, names, per_min=f"{HUB}=3")
    other = _table(redis_client, names, per_min=f"{HUB}=3")
    assert [one.take(HUB, _pull(1)), other.take(HUB, _pull(2)), one.take(HUB, _pull(3))] == [0] * 3
    wait_s = other.take(HUB, _pull(4))
    assert 18 < wait_s <= 20
    _age(redis_client, names, 20)
    assert other.take(HUB, _pull(4)) == 0
    assert one.take(HUB, _pull(5)) > 0
    _age(redis_client, names, 3600)
    assert [one.take(HUB, _pull(n)) == 0 for n in range(5, 9)] == [True, True, True, False]


def test_a_rate_below_one_a_minute_lets_one_through(redis_client: Any, names: Names) -> None:
    """100 in six hours is what an anonymous user of the largest registry gets."""
    table = _table(redis_client, names, per_min=f"{HUB}=0.25")
    assert table.take(HUB, _pull(1)) == 0
    assert 230 < table.take(HUB, _pull(2)) <= 240
    _age(redis_client, names, 240)
    assert table.take(HUB, _pull(2)) == 0


def test_each_registry_has_its_own_budget(redis_client: Any, names: Names) -> None:
    """`*` is every other one, each by itself; without it the others have no limit."""
    table = _table(redis_client, names, per_min=f"{HUB}=1,*=2", at_once="quay.io=1")
    assert table.take(HUB, _pull(1)) == 0
    assert table.take(HUB, _pull(2)) > 0
    for host in ("ghcr.io", "gcr.io"):
        assert [table.take(host, _pull(n)) == 0 for n in range(3)] == [True, True, False]
    free = _table(redis_client, names, per_min="quay.io=1")
    before = redis_client.info("commandstats")
    assert [free.take(HUB, _pull(n)) for n in range(9)] == [0] * 9
    after = redis_client.info("commandstats")
    assert before.get("cmdstat_evalsha") == after.get("cmdstat_evalsha")


def test_so_many_pulls_run_at_the_same_time(redis_client: Any, names: Names) -> None:
    """The next one begins when one of them has ended, or must have."""
    table = _table(redis_client, names, at_once="*=2")
    assert [table.take(HUB, _pull(1)), table.take(HUB, _pull(2))] == [0, 0]
    assert table.take(HUB, _pull(3)) > 0
    assert table.take(HUB, _pull(4, slot_s=None)) == 0  # a question is no pull
    assert table.take(HUB, _pull(1)) == 0  # its worker died, and another goes on with it
    table.done(HUB, "sha256:1 linux-amd64")
    assert table.take(HUB, _pull(3)) == 0
    assert table.take(HUB, _pull(1)) > 0
    key = names.own(f"pulls:{HUB}")
    for subject in redis_client.zrange(key, 0, -1):  # the workers died with their slots
        redis_client.zincrby(key, -600, subject)
    assert [table.take(HUB, _pull(n)) for n in (8, 9)] == [0, 0]


def test_another_credential_of_the_same_run_costs_nothing(redis_client: Any, names: Names) -> None:
    """Else a run with two credentials never got to its second one, at one pull a minute."""
    table = _table(redis_client, names, per_min=f"{HUB}=1", at_once=f"{HUB}=1")
    assert table.take(HUB, _pull(1)) == 0
    table.done(HUB, _pull(1).subject)
    assert table.take(HUB, _pull(1, paid=True)) == 0
    assert table.take(HUB, _pull(2)) > 0


def test_the_more_wait_the_later_each_asks_again(redis_client: Any, names: Names) -> None:
    """A thousand images that ask each minute would keep every scan loop busy with asking."""
    table = _table(redis_client, names, per_min=f"{HUB}=60", draw=0.999)
    waits = [wait for n in range(500) if (wait := table.take(HUB, _pull(n)))]
    assert len(waits) > 400
    assert waits[0] < 5
    assert 300 < waits[-1] < LONGEST_WAIT_S + 5
    again = table.take(HUB, _pull(499))  # who waits already counts once
    assert again < waits[-1] + 2
    assert redis_client.ttl(names.own(f"refused:{HUB}")) > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": "x", "at": "y"},
        {"tokens": "nan", "at": "nan"},
        {"tokens": "-5", "at": "1"},
        {"tokens": "1e30", "at": "1"},
        {"tokens": "0", "at": "9e15"},
    ],
)
def test_what_a_hand_wrote_lets_pulls_go_on(
    redis_client: Any, names: Names, fields: dict[str, str]
) -> None:
    """A clock that was set back must not stop a registry for years."""
    table = _table(redis_client, names, per_min=f"{HUB}=2", at_once=f"{HUB}=2")
    redis_client.hset(names.own(f"budget:{HUB}"), mapping=fields)
    redis_client.zadd(names.own(f"pulls:{HUB}"), {"a": 9e15, "b": 9e15})
    assert [table.take(HUB, _pull(n)) == 0 for n in range(3)] == [True, True, False]


def test_keys_of_another_type_count_as_absent(redis_client: Any, names: Names) -> None:
    """They would stop every pull from that registry."""
    for name in ("budget", "pulls", "refused"):
        redis_client.set(names.own(f"{name}:{HUB}"), "x")
    table = _table(redis_client, names, per_min=f"{HUB}=1", at_once=f"{HUB}=1")
    assert table.take(HUB, _pull(1)) == 0
    assert table.take(HUB, _pull(2)) > 0
    table.done(HUB, _pull(1).subject)


def test_nothing_of_a_budget_stays_for_ever(redis_client: Any, names: Names) -> None:
    """Whoever may create a Pod may name thousands of registries."""
    table = _table(redis_client, names, per_min="*=1", at_once="*=1")
    table.take("evil.example", _pull(1))
    table.take("evil.example", _pull(2))
    keys = redis_client.keys(names.own("*evil.example"))
    assert len(keys) == 3
    assert all(0 < redis_client.ttl(key) <= 3600 for key in keys)
