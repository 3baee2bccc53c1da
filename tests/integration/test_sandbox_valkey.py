"""The sandbox's Valkey is set up as the product needs it, and keeps its data."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

import pytest
import redis

from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """Give a server of its own, to be stopped and killed."""
    with Place() as place, Stack() as stack:
        yield Valkey(place, stack).start()


def test_it_refuses_writes_rather_than_evict_and_appends_each_second(valkey: Valkey) -> None:
    """An evicted queue entry is a workload that is never scanned."""
    with redis.Redis.from_url(valkey.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("save") == {"save": ""}


def test_socket_and_port_lead_to_the_same_data(valkey: Valkey) -> None:
    """The product takes either kind of URL."""
    name = secrets.token_hex(8)
    with (
        redis.Redis.from_url(valkey.url) as by_port,
        redis.Redis.from_url(valkey.socket_url) as by_socket,
    ):
        by_port.set(name, "x", ex=60)
        assert by_socket.get(name) == b"x"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_outlives_the_server(own_valkey: Valkey, end: str) -> None:
    """A crash of the process loses nothing that was answered: the kernel has the file."""
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("kept", "x")
    pid = own_valkey.pid
    getattr(own_valkey, end)()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(own_valkey.url.split(":")[2].split("/")[0])))
    own_valkey.restart()
    assert own_valkey.pid != pid
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.get("kept") == b"x"


def test_two_servers_run_side_by_side(valkey: Valkey, own_valkey: Valkey) -> None:
    """Tests that kill one must not touch the shared one."""
    with (
        redis.Redis.from_url(valkey.url) as shared,
        redis.Redis.from_url(own_valkey.url) as own,
    ):
        own.set("only-here", "x")
        assert shared.get("only-here") is None
