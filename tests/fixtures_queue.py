"""A work queue and its tables on the shared Valkey, under a cluster name of the test's own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from redis import Redis

from common.queue.workqueue import WorkQueue
from common.state.names import RQ, Names
from sandbox.valkey import Valkey


@pytest.fixture(scope="session")
def redis_client(valkey: Valkey) -> Iterator[Redis]:
    """Give a client of the shared server."""
    with Redis.from_url(valkey.socket_url) as client:
        yield client


@pytest.fixture
def names(redis_client: Redis) -> Iterator[Names]:
    """Give names that no other test uses; what stands under them is deleted afterwards."""
    names = Names(f"t{secrets.token_hex(5)}")
    yield names
    forget(redis_client, names)


@pytest.fixture
def queue(redis_client: Redis, names: Names) -> WorkQueue:
    """Give an empty queue."""
    return WorkQueue(redis_client, names)


def forget(redis: Redis, names: Names) -> None:
    """Delete everything of one cluster."""
    found = list(redis.scan_iter(f"*{names.cluster}*", count=1000))
    if found:
        redis.delete(*found)


def pass_time(redis: Any, names: Names, seconds: float) -> None:
    """Let time pass for everything that waits: due times, probes, leases and first failures move.

    Redis' clock cannot be set, so what is compared with it is.
    """
    for key in redis.scan_iter(f"*{names.cluster}*", count=1000):
        text = key.decode()
        if text.startswith((f"{RQ}:scheduled:", names.own("probe:"), names.own("leases"))):
            for member, score in redis.zrange(text, 0, -1, withscores=True):
                redis.zadd(text, {member: score - seconds})
        elif text.startswith(f"{RQ}:wip:"):  # a stock worker's entries, which expire; ours do not
            for member, score in redis.zrangebyscore(text, 0, 3e9, withscores=True):
                redis.zadd(text, {member: score - seconds})
        elif text.startswith(f"{RQ}:job:") and (since := redis.hget(text, "s_since")):
            with contextlib.suppress(ValueError):  # a test wrote what is no number
                redis.hset(text, "s_since", f"{float(since) - seconds:.6f}")


@pytest.fixture
def later(redis_client: Redis, names: Names) -> Callable[[float], None]:
    """Give `later(seconds)`: it makes everything that waits that much older."""
    return lambda seconds: pass_time(redis_client, names, seconds)


def job_fields(redis: Any, job: str) -> Mapping[str, str]:
    """Return a job's hash as text."""
    found = redis.hgetall(f"{RQ}:job:{job}")
    return {name.decode(): value.decode() for name, value in found.items()}
