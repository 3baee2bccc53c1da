"""One `trivy server` process on one database: started, known to be the right one, stopped."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from common.model.bounded import UNREADABLE
from common.model.errors import PreconditionError
from common.ops.match_token import TokenFile
from common.ops.ports import free_ports
from common.ops.process import Child, ChildSpec, Forward, status_text
from common.ops.trivy_program import Trivy
from worker.evidence.image.trivy_cli import child_environment, server_argv
from worker.evidence.image.twirp import ServerVersion
from worker.evidence.image.vulnerability_database import Database

_log = structlog.get_logger()

_READY_S = 30.0  # 0.1 s with a warm disk
_STOP_S = 10.0  # it answers what it has begun
_ASK_S = 2.0
_VERSION = msgspec.json.Decoder(ServerVersion)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchProcessConfig:
    """Where the server listens and how it is reached."""

    trivy: Trivy
    host: str  # empty: every interface
    port: int  # see `free_port`
    advertised_url: str  # how others reach it; empty: by loopback
    environment: Mapping[str, str]
    home: Path  # its HOME and TMPDIR
    token: TokenFile = field(default=TokenFile(path=None))  # drawn where there is none yet

    @property
    def listen(self) -> str:
        """The address as Trivy takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """How others reach the server."""
        return self.advertised_url or f"http://127.0.0.1:{self.port}"


class MatchProcess:
    """At most one server at a time, always on the same port.

    It dies with the thread that started it: start and stop it from a thread that lives on.
    """

    def __init__(self, config: MatchProcessConfig) -> None:
        self._config = config
        self._child: Child | None = None
        self._token: str | None = None  # the one that the server asks for

    def start(self, database: Database) -> None:
        """Start the server and return when it serves `database`.

        Raises SourceUnavailableError, with the server's last words, when it does not come up;
        PreconditionError when the program cannot be started, or no token be had.
        """
        config = self._config
        config.home.mkdir(parents=True, exist_ok=True)
        self._token = config.token.read_or_draw()
        token = {"TRIVY_TOKEN": self._token} if self._token else {}
        spec = ChildSpec(
            name="trivy-server",
            argv=server_argv(config.trivy, database.folder, listen=config.listen),
            env=child_environment(config.environment, config.home, more=token),
            cwd=str(config.home),
            output=Forward(line=_server_line),
            secrets=tuple(token.values()),
            ready=lambda: self._serves(database),
            ready_s=_READY_S,
            stop_s=_STOP_S,
        )
        child = Child(spec)
        try:
            child.wait_ready()
        except BaseException:
            child.stop()
            raise
        self._child = child

    def stop(self) -> None:
        """Stop the server; it may finish what it has begun."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def end(self) -> str | None:
        """Return how the server ended by itself, in words, or None while it runs."""
        if self._child is None:
            return "it was not started"
        status = self._child.poll()
        return None if status is None else status_text(status) + self._child.last_words()

    def outdated(self) -> bool:
        """Whether the token was changed since the server was started with one."""
        try:
            return self._child is not None and self._config.token.read() != self._token
        except PreconditionError as exc:
            _log.warning("token unreadable", error=str(exc))
            return False

    def _serves(self, database: Database) -> bool:
        """Say whether the server on our port has this very database open."""
        host = self._config.host or "127.0.0.1"
        connection = http.client.HTTPConnection(host, self._config.port, timeout=_ASK_S)
        try:
            connection.request("GET", "/version")
            version = _VERSION.decode(connection.getresponse().read())
        except (OSError, http.client.HTTPException, *UNREADABLE):
            return False
        finally:
            connection.close()
        return version.database is not None and version.database.updated_at == database.version


def free_port(host: str, port: int) -> int:
    """Return `port`, or one that is free on `host` now where it is 0.

    The server keeps the number over swaps, so that its address never changes.
    """
    return port or free_ports(1, host=host)[0]


def _server_line(_name: str, text: str) -> None:
    _log.debug("trivy server", line=text)
