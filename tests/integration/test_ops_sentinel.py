"""A Redis behind Sentinel, and one behind TLS: the two addresses that no laptop has."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from common.model.errors import SluiceError
from common.model.redis_address import RedisAddress, parse_redis_url
from common.ops.embedded import find_server
from common.ops.ports import free_ports
from common.ops.process import Child, ChildSpec, ToFile
from common.state.connect import connect, redis_errors
from sandbox.certificates import Certificates, make
from sandbox.valkey import Valkey

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
PASSWORD = "q9hunter2z7"  # noqa: S105 # a test's


def pings(port: int) -> bool:
    """Return whether a server answers on the port, even if only to ask for a password."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64)[:1] in (b"+", b"-")
    except OSError:
        return False


def server(folder: Path, name: str, port: int, *words: str) -> Child:
    """Start a Redis or a Sentinel on a port of loopback and wait until it answers."""
    home = folder / name
    home.mkdir()
    child = Child(
        ChildSpec(
            name=name,
            argv=(find_server(), *words, "--bind", "127.0.0.1", "--dir", str(home)),
            output=ToFile(path=str(home / "log")),
            ready=lambda: pings(port),
            ready_s=DEADLINE_S,
        )
    )
    try:
        child.wait_ready()
    except SluiceError:
        child.stop()
        raise
    return child


def eventually(holds: Callable[[], bool]) -> None:
    """Block until it holds; errors on the way are part of a failover."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / 0.1)):
        try:
            if holds():
                return
        except (SluiceError, RedisError):
            pass
        pause.wait(0.1)
    raise AssertionError("did not hold in time")


@pytest.fixture
def failover(tmp_path: Path) -> Iterator[tuple[RedisAddress, Child]]:
    """Give the address of a watched pair, and its primary, which may be killed."""
    first, second, watch = free_ports(3)
    secret = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", "")
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor main 127.0.0.1 {first} 1\n"
        f"sentinel auth-pass main {PASSWORD}\n"
        "sentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 5000\n",
        encoding="utf-8",
    )
    with (
        server(tmp_path, "first", first, "--port", str(first), *secret) as primary,
        server(tmp_path, "second", second, "--port", str(second), *secret,
               "--replicaof", "127.0.0.1", str(first)),
        server(tmp_path, "watch", watch, str(config), "--port", str(watch), "--sentinel"),
    ):  # fmt: skip
        url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{watch}/main/0"
        with Redis(port=watch) as sentinel:
            eventually(lambda: len(sentinel.sentinel_slaves("main")) == 1)
        with Redis(port=first, password=PASSWORD) as admin:
            eventually(lambda: admin.info("replication")["connected_slaves"] == 1)
        yield parse_redis_url(url), primary


def test_work_goes_on_after_the_primary_dies(failover: tuple[RedisAddress, Child]) -> None:
    """The client that a worker holds finds the new primary by itself."""
    address, primary = failover
    with connect(address) as client:
        with redis_errors(address):
            client.set("k", "before")
            assert client.wait(1, 5000) == 1
        primary.stop()

        def writes() -> bool:
            with redis_errors(address):
                return bool(client.set("k2", "after")) and client.get("k") == b"before"

        eventually(writes)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a certificate authority and a certificate of it for `localhost`."""
    return make(tmp_path, names=("DNS:localhost",))


class TlsFront(socketserver.ThreadingTCPServer):
    """Speaks TLS in front of a server that does not: the wheel's Valkey is built without it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificates: Certificates, path: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.path = path
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates.server_certificate, certificates.server_key)


class _Relay(socketserver.BaseRequestHandler):
    """One connection: a thread per direction, until either side ends."""

    server: TlsFront

    def handle(self) -> None:
        """Relay bytes both ways."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as behind:
            behind.connect(self.server.path)
            with self.server.context.wrap_socket(self.request, server_side=True) as front:
                back = threading.Thread(target=_copy, args=(behind, front), daemon=True)
                back.start()
                _copy(front, behind)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tls(certificates: Certificates, valkey: Valkey) -> Iterator[RedisAddress]:
    """Give the address of a Valkey behind TLS."""
    path = parse_redis_url(valkey.socket_url).path
    with TlsFront(certificates, path) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.05,))
        thread.start()
        port = front.server_address[1]
        yield RedisAddress(scheme="rediss", hosts=(("localhost", port),))
        front.shutdown()
        thread.join()


def test_an_authority_that_is_named_is_trusted(
    tls: RedisAddress, certificates: Certificates
) -> None:
    """SLUICE_REDIS_CA_FILE is how a private authority is named."""
    with connect(tls, ca_file=str(certificates.ca)) as client:
        assert client.ping()


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: RedisAddress) -> None:
    """Otherwise TLS protects against nobody who matters."""
    with (
        connect(tls) as client,
        pytest.raises(SluiceError, match="certificate"),
        redis_errors(tls),
    ):
        client.ping()


def test_a_certificate_of_another_host_is_refused(
    tls: RedisAddress, certificates: Certificates
) -> None:
    """Any tenant of the same authority could stand in the way."""
    elsewhere = RedisAddress(scheme="rediss", hosts=(("127.0.0.1", tls.hosts[0][1]),))
    with (
        connect(elsewhere, ca_file=str(certificates.ca)) as client,
        pytest.raises(SluiceError, match="certificate"),
        redis_errors(elsewhere),
    ):
        client.ping()
