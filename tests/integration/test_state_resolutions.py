"""What references meant, and when they must be asked for again, on the real Redis."""

from __future__ import annotations

import pytest
from redis import Redis

from common.state.names import RESOLUTION_TTL_S, Names
from common.state.resolutions import ResolutionTable
from tests.queue_values import workload

pytestmark = pytest.mark.integration

WEB, API = workload("web"), workload("api")
DIGEST = "sha256:" + "a" * 64


def test_an_answer_is_kept_for_who_asked_until_it_is_due(redis_client: Redis, names: Names) -> None:
    """Another tenant's answer proves nothing; and a day later nobody has one."""
    table = ResolutionTable(redis_client, names)
    table.put(WEB, "app:1", DIGEST)
    assert table.get(WEB, "app:1") == DIGEST
    assert table.get(API, "app:1") is None
    now_s = float(redis_client.time()[0])
    assert table.due(now_s) == []
    # By then the answer is forgotten: who asks again asks the registry.
    assert table.due(now_s + RESOLUTION_TTL_S) == []
    assert table.due(now_s + RESOLUTION_TTL_S + 2) == [WEB]


def test_who_was_queued_is_not_due(redis_client: Redis, names: Names) -> None:
    """And what others wrote among them is dropped."""
    table = ResolutionTable(redis_client, names)
    table.put(WEB, "app:1", DIGEST)
    table.put(API, "app:1", DIGEST)
    redis_client.zadd(names.own("resolve-due"), {"garbage": 0, "image/x": 1})
    for_ever_s = 1e12
    assert set(table.due(for_ever_s)) == {WEB, API}
    table.asked([WEB])
    table.asked([])
    assert table.due(for_ever_s) == [API]
    assert redis_client.zcard(names.own("resolve-due")) == 1
