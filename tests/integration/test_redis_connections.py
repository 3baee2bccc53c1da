"""How the product's client connects, and comes back: trust, rotation, silence, Sentinels."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.model.redis_address import RedisAddress, parse_redis_url
from common.queue.contract import Add
from common.queue.workqueue import WorkQueue
from common.state.connect import connect, redis_errors
from common.state.control import Control
from common.state.names import Names
from sandbox.certificates import Certificates, make
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.deployments import SERVERS, TlsFront, program_of
from tests.fixtures_sandbox import lacking
from tests.queue_values import workload

pytestmark = pytest.mark.integration

NAMES = ("DNS:localhost", "IP:127.0.0.1")


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


# --- TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Give a certificate authority and a certificate of it for `localhost`."""
    (tmp_path / "tls").mkdir()
    return make(tmp_path / "tls", names=("DNS:localhost",))


@pytest.fixture(params=SERVERS)
def tls(
    request: pytest.FixtureRequest, certificates: Certificates, ground: tuple[Place, Stack]
) -> RedisAddress:
    """Give the address of a Redis that speaks TLS, and of a Valkey behind something that does."""
    if request.param == "redis7":
        found = Valkey(*ground, program=program("redis7"), certificates=certificates).start()
        port = found.port
    else:
        behind = Valkey(*ground, program=program("valkey8")).start()
        front = TlsFront(certificates, parse_redis_url(behind.socket_url).path)
        port = ground[1].push(front).port
    return RedisAddress(scheme="rediss", hosts=(("localhost", port),))


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


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "No such file"), ("", "no PEM certificates"), ("hello", "no PEM certificates")],
    ids=["missing", "empty", "text"],
)
def test_a_file_without_certificates_is_named_before_anything_connects(
    tmp_path: Path, content: str | None, fault: str
) -> None:
    """`No such file or directory` while connecting to a port sends people to the network."""
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PreconditionError, match=rf"SLUICE_REDIS_CA_FILE.*ca\.crt: {fault}"):
        connect(RedisAddress(scheme="rediss", hosts=(("localhost", 1),)), ca_file=str(file))


def test_a_server_that_wants_client_certificates_is_told_apart(
    certificates: Certificates, ground: tuple[Place, Stack]
) -> None:
    """Redis' own default; `alert number 116` tells nobody which setting it is."""
    words = ("--tls-auth-clients", "yes")
    asking = Valkey(
        *ground, program=program("redis7"), options=words, certificates=certificates
    ).start()
    address = RedisAddress(scheme="rediss", hosts=(("localhost", asking.port),))
    with (
        connect(address, ca_file=str(certificates.ca)) as client,
        pytest.raises(SluiceError, match="tls-auth-clients no"),
        redis_errors(address),
    ):
        client.ping()


def test_a_rotated_authority_is_taken_up_by_the_next_connection(
    ground: tuple[Place, Stack], tmp_path: Path
) -> None:
    """cert-manager renews both; the mounted file changes, and no process is restarted."""
    old, new = tmp_path / "old", tmp_path / "new"
    mounted = tmp_path / "ca.crt"
    made = []
    for folder in (old, new):
        folder.mkdir()
        made.append(make(folder, names=NAMES))
    shutil.copy(made[0].ca, mounted)
    server = Valkey(*ground, program=program("redis7"), certificates=made[0]).start()
    with (
        connect(parse_redis_url(server.url), ca_file=str(mounted)) as client,
        Redis.from_url(server.socket_url) as admin,
    ):
        control = Control(client, Names("rotated"))
        assert control.request_sweep() == 1
        admin.config_set(
            *("tls-cert-file", str(made[1].server_certificate)),
            *("tls-key-file", str(made[1].server_key), "tls-ca-cert-file", str(made[1].ca)),
        )
        admin.client_kill_filter(skipme=True, _type="normal")
        with pytest.raises(SourceUnavailableError):  # the connection was cut
            control.request_sweep()
        with pytest.raises(SourceUnavailableError, match="certificate"):
            control.request_sweep()
        shutil.copy(made[1].ca, mounted)
        assert control.request_sweep() == 2


# --- a peer that falls silent


class Muffler(threading.Thread):
    """Passes bytes on in both directions, until it is told to swallow replies without a word.

    What it swallows of a connection is lost for good: it never speaks again.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.silent = threading.Event()
        self._behind = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self.start()

    def run(self) -> None:
        """Take connections; what was silenced stays so."""
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listener.accept()
                behind = socket.create_connection(self._behind)
                self._open += [front, behind]
                for passing in (
                    threading.Thread(target=self._ask, args=(front, behind), daemon=True),
                    threading.Thread(target=self._reply, args=(behind, front), daemon=True),
                ):
                    passing.start()

    def _ask(self, front: socket.socket, behind: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := front.recv(65_536):
                behind.sendall(data)

    def _reply(self, behind: socket.socket, front: socket.socket) -> None:
        muted = False
        with contextlib.suppress(OSError):
            while data := behind.recv(65_536):
                muted = muted or self.silent.is_set()
                if not muted:
                    front.sendall(data)

    def stop(self) -> None:
        """Close everything."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def muffled(valkey: Valkey) -> Iterator[Muffler]:
    """Give a way to the shared server that may fall silent."""
    muffler = Muffler(valkey.port)
    yield muffler
    muffler.stop()


def test_a_peer_that_falls_silent_is_given_up_and_the_next_try_connects_anew(
    muffled: Muffler, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall that forgot the connection drops packets: no reset, no reply, for ever."""
    monkeypatch.setattr("common.state.connect.REPLY_S", 0.3)
    with connect(parse_redis_url(f"redis://127.0.0.1:{muffled.port}")) as client:
        queue = WorkQueue(client, names)
        assert queue.claim("reconcile", "w1", limit=1, lease_s=60) == []  # the script is known
        queue.add([Add(key=workload("web"))])
        muffled.silent.set()
        with pytest.raises(SourceUnavailableError, match="TimeoutError"):
            queue.claim("reconcile", "w1", limit=1, lease_s=60)
        muffled.silent.clear()
        assert queue.recover("w1", []) == 1  # it arrived, and only its reply was lost
        assert len(queue.claim("reconcile", "w1", limit=1, lease_s=60)) == 1


def test_a_connection_that_slept_is_tried_before_it_is_used(
    muffled: Muffler, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that is sent into a dead line may arrive there unheard; a PING is no loss."""
    monkeypatch.setattr("common.state.connect.REPLY_S", 0.3)
    monkeypatch.setattr("common.state.connect._HEALTH_CHECK_S", 1e-9)
    with connect(parse_redis_url(f"redis://127.0.0.1:{muffled.port}")) as client:
        queue = WorkQueue(client, names)
        assert queue.claim("reconcile", "w1", limit=1, lease_s=60) == []  # the script is known
        queue.add([Add(key=workload("web"))])
        muffled.silent.set()
        with pytest.raises(SourceUnavailableError):
            queue.claim("reconcile", "w1", limit=1, lease_s=60)
        muffled.silent.clear()
        assert queue.totals()["reconcile"].running == 0


def test_idle_connections_stay_known_to_firewalls(valkey: Valkey) -> None:
    """Load balancers forget a connection after minutes of silence; the kernel breaks it first."""
    with connect(parse_redis_url(valkey.url)) as client:
        pool: Any = client.connection_pool
        connection = pool.get_connection()
        sock = connection._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):  # elsewhere the system's own hours
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        pool.release(connection)
