"""HTTP to a Trivy server: kept-alive connections, patience over a restart, Twirp's errors.

Trivy's own client starts a 174 MB program per call; this one takes 2 ms. Thread-safe. Calls are
repeated when the connection breaks, so only calls that may be repeated belong here.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from common.model.bounded import UNREADABLE
from common.model.errors import (
    LayerCacheMissingError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TransientError,
    shorten,
)
from common.model.evidence import EVIDENCE_LIMIT_BYTES
from common.model.hiding import without
from worker.evidence.failures import scrub

# A database swap takes the server away for 0.1 s, a restart of its pod for longer than we wait.
RESTART_WAIT_S = 5.0
_RETRY_S = 0.05
UNAVAILABLE = "MatchServerUnavailable"  # the reason of an error about a server that is away
_TIMEOUT_S = 60.0  # the largest answer that was measured, 4108 findings, took 0.2 s
_MAX_IDLE = 32  # connections; more threads than that share no server anyway
_REFUSAL_BYTES = 16 * 1024
_OK = 200
_UNAUTHORIZED = 401
_GONE = (502, 503, 504)


class _TwirpFault(msgspec.Struct, frozen=True):
    code: str = ""
    msg: str = ""


class _Database(msgspec.Struct, frozen=True, rename={"updated_at": "UpdatedAt"}):
    updated_at: str = ""


class ServerVersion(
    msgspec.Struct, frozen=True, rename={"trivy": "Version", "database": "VulnerabilityDB"}
):
    """What `GET /version` says."""

    trivy: str = ""
    database: _Database | None = None


# The token, or whoever reads it anew for each call; None or an empty one: the server asks for none.
Token: TypeAlias = str | Callable[[], str | None] | None

_FAULT = msgspec.json.Decoder(_TwirpFault)
_VERSION = msgspec.json.Decoder(ServerVersion)


class TrivyServerClient:
    """Calls one server, or whichever one `url` names at the moment. Close it."""

    def __init__(self, url: str | Callable[[], str], *, token: Token = None) -> None:
        self._url = url
        self._token = token
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()

    def database_version(self) -> str:
        """Return `UpdatedAt` of the database that the server has open.

        Raises SourceUnavailableError when it does not answer or has none.
        """
        version = self.version()
        if version.database is None or not version.database.updated_at:
            raise self._fault("has no vulnerability database")
        return version.database.updated_at

    def version(self) -> ServerVersion:
        """Return what the server says of itself.

        Raises SourceUnavailableError when it does not answer.
        """
        try:
            return _VERSION.decode(self._call("GET", "/version", None))
        except UNREADABLE as exc:
            raise self._fault("does not speak Trivy's protocol") from exc

    def call(self, service: str, method: str, request: object) -> bytes:
        """Return the JSON answer to one Twirp call.

        Raises LayerCacheMissingError when the server lost the layers, SourceUnavailableError when
        it is not to be had, TransientError when it fails on this request, TerminalError when its
        answer is too large to be kept.
        """
        path = f"/twirp/trivy.{service}.v1.{service.capitalize()}/{method}"
        return self._call("POST", path, msgspec.json.encode(request))

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        give_up_at_s = time.monotonic() + RESTART_WAIT_S
        while True:
            url = self._url if isinstance(self._url, str) else self._url()
            connection = self._take(url)
            try:
                status, content = self._exchange(connection, method, path, body)
            except (OSError, http.client.HTTPException) as exc:
                connection.close()
                self.close()  # its siblings led to the same server
                if time.monotonic() >= give_up_at_s:
                    raise self._fault(f"does not answer ({type(exc).__name__})") from exc
                time.sleep(_RETRY_S)
                continue
            except BaseException:
                connection.close()
                raise
            self._give_back(url, connection)
            if status == _OK:
                return content
            raise self._refusal(status, content)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, bytes]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if token := self._shown():
            headers["Trivy-Token"] = token
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        content = reply.read(EVIDENCE_LIMIT_BYTES + 1)
        if len(content) > EVIDENCE_LIMIT_BYTES:
            limit_mb = EVIDENCE_LIMIT_BYTES // (1024 * 1024)
            raise TerminalError(
                f"the match server's answer has more than {limit_mb} MB: it has too many findings",
                reason="EvidenceTooLarge",
            )
        if reply.length:  # only a read without a limit says so
            raise http.client.IncompleteRead(content, reply.length)
        return reply.status, content

    def _shown(self) -> str | None:
        return self._token() if callable(self._token) else self._token

    def _take(self, url: str) -> http.client.HTTPConnection:
        """Return an idle connection to `url`, or a new one; those to other servers are closed."""
        with self._lock:
            idle, self._idle = self._idle, []
            own = [connection for to, connection in idle if to == url]
            self._idle = [(url, connection) for connection in own[:-1]]
        for to, connection in idle:
            if to != url:
                connection.close()
        if own:
            return own[-1]
        parts = urllib.parse.urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        return kind(parts.netloc, timeout=_TIMEOUT_S)

    def _give_back(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append((url, connection))
                return
        connection.close()

    def _refusal(self, status: int, content: bytes) -> SluiceError:
        try:
            fault = _FAULT.decode(content)
        except UNREADABLE:
            fault = _TwirpFault(msg=content[:_REFUSAL_BYTES].decode(errors="replace"))
        known = filter(None, [self._shown()])  # a relay in front of the server may repeat it
        text = shorten(scrub(without(fault.msg, known)))
        if "layer cache missing" in fault.msg:
            return LayerCacheMissingError(f"the match server lost the layers: {text}")
        if status == _UNAUTHORIZED:
            return self._fault(
                "refuses our token; matcher, worker and scanner need the same "
                "SLUICE_TRIVY_TOKEN_FILE",
                reason="MatchServerRefused",
            )
        if status in _GONE or fault.code in ("unavailable", "bad_route"):
            return self._fault(f"answers {status}: {text}")
        return TransientError(
            f"the match server failed ({status} {fault.code}): {text}", reason="MatchFailed"
        )

    @staticmethod
    def _fault(text: str, *, reason: str = UNAVAILABLE) -> SourceUnavailableError:
        return SourceUnavailableError(f"the match server {text}", reason=reason)
