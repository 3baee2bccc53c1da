"""The settings that the leading watcher publishes: fenced, followed by digest, never trusted."""

from __future__ import annotations

import pytest
from redis import Redis

from common.model.errors import StaleFenceError
from common.model.overlay import EMPTY, BadKey, Entry, Overlay
from common.state.fence import FenceTable
from common.state.names import Names
from common.state.overlays import OverlayTable

pytestmark = pytest.mark.integration

SAID = Overlay(
    entries=(Entry("TRIVY_SEVERITY", "HIGH", "ConfigMap a/b, key trivy.severity"),),
    faults=(BadKey("ConfigMap a/b, key ü", "is 'x'", "correct it"),),
    kept=True,
    notices=("n",),
)


@pytest.fixture
def table(redis_client: Redis, names: Names) -> OverlayTable:
    return OverlayTable(redis_client, names)


@pytest.fixture
def fence(redis_client: Redis, names: Names) -> int:
    return FenceTable(redis_client, names).take()


def test_what_is_published_is_read(table: OverlayTable, fence: int) -> None:
    """By its digest every second, and whole where that is another."""
    assert (table.digest(), table.current()) == ("", None)
    table.publish(SAID, fence=fence)
    assert table.current() == SAID
    assert table.digest() == SAID.digest
    table.publish(EMPTY, fence=fence)
    assert table.current() == EMPTY
    assert table.digest() == EMPTY.digest != ""


def test_three_full_config_maps_have_room(table: OverlayTable, fence: int) -> None:
    """As much as Kubernetes takes."""
    entries = tuple(Entry(f"N{each}", "ü" * 500_000, "?") for each in range(3))
    table.publish(Overlay(entries=entries), fence=fence)
    assert table.current() == Overlay(entries=entries)


def test_a_deposed_watcher_publishes_nothing(
    table: OverlayTable, fence: int, redis_client: Redis, names: Names
) -> None:
    """It may have been stopped for an hour before this call."""
    table.publish(SAID, fence=fence)
    FenceTable(redis_client, names).take()
    with pytest.raises(StaleFenceError):
        table.publish(EMPTY, fence=fence)
    assert table.current() == SAID


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"entries": [1]}', b"\xff\xfe"])
def test_garbage_counts_as_none(
    table: OverlayTable, fence: int, redis_client: Redis, names: Names, text: bytes
) -> None:
    """A worker goes on with what it has, and the next publishing mends it."""
    redis_client.hset(names.own("overlay"), mapping={"overlay": text, "digest": text})
    assert table.current() is None
    table.digest()
    table.publish(SAID, fence=fence)
    assert table.current() == SAID


def test_a_value_of_another_type_stops_nobody(
    table: OverlayTable, fence: int, redis_client: Redis, names: Names
) -> None:
    """Somebody's hand."""
    redis_client.set(names.own("overlay"), "x")
    assert (table.digest(), table.current()) == ("", None)
    table.publish(SAID, fence=fence)
    assert table.current() == SAID
