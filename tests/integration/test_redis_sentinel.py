"""Redis behind Sentinels: who is followed, who is left, and what is said when nobody is found."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.model.redis_address import parse_redis_url
from common.state.connect import Client, connect
from common.state.control import Control
from common.state.names import Names
from common.state.sentinel import primary_of
from sandbox.certificates import make
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.sentinel import SERVICE, Sentinels
from tests.deployments import PASSWORD, acl_words, program_of
from tests.fixtures_sandbox import lacking
from tests.waiting import eventually

pytestmark = pytest.mark.integration

NAMES = ("DNS:localhost", "IP:127.0.0.1")
WATCHERS_PASSWORD = "w-secret"  # noqa: S105 # a test's


@pytest.fixture
def ground() -> Iterator[tuple[Place, Stack]]:
    """Give a place and a stack of the test's own."""
    with Place() as place, Stack() as stack:
        yield place, stack


def program(server: str) -> Path:
    """Return a server's program, or skip loudly."""
    try:
        return program_of(server)
    except PreconditionError as error:
        lacking(error)


def watched(pair: Sentinels, tmp_path: Path, **files: str) -> Client:
    """Return the product's client of a pair whose servers ask for `PASSWORD`."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return connect(parse_redis_url(pair.url), password_file=str(file), **files)


def run_id(client: Client) -> str:
    """Return which server answers; nothing while none does."""
    try:
        return Control(client, Names("x")).run_id()
    except SluiceError:
        return ""


def test_a_former_primary_that_was_not_told_is_left(
    ground: tuple[Place, Stack], tmp_path: Path
) -> None:
    """What it takes is lost when it learns that it follows: 8 s and more after a switch by hand.

    Here it never learns: Sentinel's password is changed there, and our connection stands.
    """
    pair = Sentinels(*ground, program=program("valkey8"), password=PASSWORD).start()
    former, successor = pair.first, pair.replicas[0]
    for server in (former, successor):
        with pair.admin(server) as admin:
            admin.execute_command(*acl_words())
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    address = parse_redis_url(pair.url.replace("//", "//sluice@"))
    with connect(address, password_file=str(file)) as client, pair.admin(former) as admin:
        assert run_id(client) == admin.info("server")["run_id"]
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">another")
        pair.demote()
        pair.await_failover(former)
        admin.client_kill_filter(user="default", skipme=True)
        with pair.admin(successor) as other:
            expected = other.info("server")["run_id"]
        assert eventually(lambda: run_id(client) == expected)
        assert admin.info("replication")["role"] == "master"  # it believes so to this moment


def test_work_goes_on_while_no_sentinel_answers(
    ground: tuple[Place, Stack], tmp_path: Path
) -> None:
    """They are asked every second; a primary that stands is as good without them."""
    with Stack() as watching:
        pair = Sentinels(ground[0], watching, program=program("valkey8"), password=PASSWORD)
        pair.start()
        with watched(pair, tmp_path) as client:
            first = run_id(client)
            assert first
            for process in pair.watching:
                process.kill()
            pool: Any = client.connection_pool
            pool._look_at_s = float("-inf")
            assert run_id(client) == first


def test_a_sentinel_that_is_dead_is_passed_over(
    ground: tuple[Place, Stack], tmp_path: Path
) -> None:
    """One of three is always being upgraded."""
    pair = Sentinels(*ground, program=program("valkey8"), password=PASSWORD, watchers=2).start()
    pair.watching[0].kill()
    with watched(pair, tmp_path) as client:
        assert run_id(client)


def test_what_every_sentinel_said_is_told(ground: tuple[Place, Stack], tmp_path: Path) -> None:
    """`No master found` has four causes, and four people to call."""
    pair = Sentinels(
        *ground,
        program=program("valkey8"),
        password=PASSWORD,
        watchers_password=WATCHERS_PASSWORD,
    ).start()
    port = pair.ports[0]
    with (
        watched(pair, tmp_path) as client,
        pytest.raises(SourceUnavailableError, match="SLUICE_REDIS_SENTINEL_PASSWORD_FILE"),
    ):
        Control(client, Names("x")).run_id()
    file = tmp_path / "watchers"
    file.write_text(WATCHERS_PASSWORD + "\n")
    with watched(pair, tmp_path, sentinel_password_file=str(file)) as client:
        assert run_id(client)
    wrong = parse_redis_url(pair.url.replace(f"/{SERVICE}/", "/other/"))
    with (
        connect(wrong, sentinel_password_file=str(file)) as client,
        pytest.raises(SourceUnavailableError, match=f"127.0.0.1:{port}: knows only {SERVICE}"),
    ):
        Control(client, Names("x")).run_id()
    file.unlink()
    with (
        watched(pair, tmp_path, sentinel_password_file=str(file)) as client,
        pytest.raises(SourceUnavailableError, match=r"SENTINEL_PASSWORD_FILE: cannot read .*watch"),
    ):
        Control(client, Names("x")).run_id()
    pair.watching[0].kill()
    with (
        watched(pair, tmp_path) as client,
        pytest.raises(SourceUnavailableError, match=f"127.0.0.1:{port}: .*refused"),
    ):
        Control(client, Names("x")).run_id()


def test_sentinels_servers_and_clients_all_speak_tls(
    ground: tuple[Place, Stack], tmp_path: Path
) -> None:
    """`rediss+sentinel://`: no hop in clear, and a failover all the same."""
    (tmp_path / "tls").mkdir()
    made = make(tmp_path / "tls", names=NAMES)
    pair = Sentinels(
        *ground, program=program("redis7"), password=PASSWORD, certificates=made
    ).start()
    assert pair.url.startswith("rediss+sentinel://")
    with watched(pair, tmp_path, ca_file=str(made.ca)) as client:
        first = run_id(client)
        assert first
        former = pair.primary()
        former.kill()
        pair.await_failover(former)
        assert eventually(lambda: run_id(client) not in ("", first))
    with (
        watched(pair, tmp_path) as client,
        pytest.raises(SourceUnavailableError, match="certificate"),
    ):
        Control(client, Names("x")).run_id()


class Asked:
    """A Sentinel of a unit test: dead, or with an answer that two threads wait for together."""

    def __init__(self, port: int, *, meet: threading.Barrier | None = None) -> None:
        self.connection_pool = Redis(host="sentinel", port=port).connection_pool
        self._meet = meet

    def sentinel_masters(self) -> dict[str, dict[str, Any]]:
        """Answer once two threads ask at once, or one has asked alone for a moment."""
        if self._meet is None:
            raise RedisConnectionError("dead")
        with contextlib.suppress(threading.BrokenBarrierError):
            self._meet.wait(0.3)
        state = {"is_master": True, "is_sdown": False, "is_odown": False, "ip": "a", "port": 1}
        return {"main": {**state, "num-other-sentinels": 0}}


def test_threads_that_ask_at_once_lose_no_sentinel() -> None:
    """redis-py swaps entries of its list: the dead one's place is taken, and it is gone.

    It may be the only one that lives an hour later.
    """
    address = parse_redis_url("redis+sentinel://s1:1,s2:2/main")
    with contextlib.closing(primary_of(address, {}, {})) as client:
        pool: Any = client.connection_pool
        meet = threading.Barrier(2)
        pool.sentinel_manager.sentinels = [Asked(1), Asked(2, meet=meet)]
        threads = [threading.Thread(target=pool.get_master_address) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ports = {
            each.connection_pool.connection_kwargs["port"]
            for each in pool.sentinel_manager.sentinels
        }
    assert ports == {1, 2}
