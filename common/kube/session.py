"""The one door to the API server: bytes out, bytes in, statuses turned into domain errors.

A thin, thread-safe layer over the official client's connection pool. Requests are not retried here
(the error's class decides elsewhere), with one exception: after a 401, or when the server's
certificate is not trusted, the configuration is loaded again, once, and the request is repeated,
because nothing was done.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import structlog
import urllib3
from kubernetes.client.api_client import ApiClient
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from common.kube import connect
from common.kube.errors import Call, DeniedError, api_error, decode_status
from common.kube.negotiate import JSON
from common.kube.retry_after import parse_retry_after
from common.kube.stream import Stream
from common.model.errors import PreconditionError, SourceUnavailableError, shorten

_log = structlog.get_logger()

USER_AGENT = "kube-sluice"
_CONNECT_S = 5.0
# A watch's headers come at once and a list's when etcd has answered; a server that is silent for
# longer is not there. Bounds how long a stop can wait for a request that is just being opened.
_HEADERS_S = 30.0
# A plugin or a token file is asked again at most this often, however many threads see a 401.
_RENEW_EVERY_S = 10.0
_STATUS_BYTES = 64 * 1024  # more of a failure's body is not read
_UNAUTHORIZED = 401

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outgoing:
    """One request before authentication."""

    call: Call
    query: Query
    headers: Mapping[str, str]
    body: bytes | None
    read_s: float  # the longest silence before and within the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A successful answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Api(Protocol):
    """Whoever sends single requests to an API server."""

    def request(  # noqa: PLR0913 - these are the parts that a request has
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = JSON,
        timeout_s: float = 30.0,
    ) -> Reply:
        """Send one request and return the whole answer; see `Session.request`."""


class Session:
    """An authenticated connection pool to one API server. Threads may share it."""

    def __init__(self, connector: connect.Connector) -> None:
        self._connector = connector
        self._lock = threading.Lock()  # plugins and token files are not safe to read in parallel
        self._client = connector.connect()
        self._renewed_at = float("-inf")
        if not self._client.configuration.verify_ssl:
            # The kubeconfig says so; a warning for every request would say it again.
            urllib3.disable_warnings(InsecureRequestWarning)

    @classmethod
    def from_kubeconfig(cls, path: str | None = None, context: str | None = None) -> Session:
        """Open what a kubeconfig names. Raises PreconditionError."""
        return cls(connect.kubeconfig(path, context))

    @classmethod
    def in_cluster(cls) -> Session:
        """Open with the pod's service account. Raises PreconditionError."""
        return cls(connect.in_cluster())

    @classmethod
    def auto(cls, path: str | None = None, context: str | None = None) -> Session:
        """Open what kubectl would. Raises PreconditionError."""
        return cls(connect.auto(path, context))

    @property
    def host(self) -> str:
        """The server's URL."""
        return str(self._client.configuration.host)

    @property
    def context(self) -> str:
        """The kubeconfig context's name, or `in-cluster`."""
        return self._connector.context

    def close(self) -> None:
        """Close idle connections; open streams end when their readers do."""
        self._client.close()  # type: ignore[no-untyped-call] # ships no types

    def request(  # noqa: PLR0913 - these are the parts that a request has
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = JSON,
        timeout_s: float = 30.0,
    ) -> Reply:
        """Send one request and return the whole answer.

        `timeout_s` bounds each silence, not the sum. Raises an ApiError for every status but 2xx,
        SourceUnavailableError when no answer comes.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type or JSON
        call = Call(verb=method, path=path)
        response = self._open(
            _Outgoing(call=call, query=query, headers=headers, body=body, read_s=timeout_s)
        )
        try:
            data = response.read()
        except (HTTPError, OSError) as exc:
            response.close()
            raise SourceUnavailableError(f"{call}: {shorten(str(exc))}") from exc
        response.release_conn()
        return Reply(status=response.status, headers=dict(response.headers), body=data)

    def stream(
        self, path: str, *, query: Query = (), accept: str = JSON, idle_timeout_s: float
    ) -> Stream:
        """Open a GET whose body is read as it comes; use the result in a `with`.

        Raises as `request` does; reading raises IdleStreamError after `idle_timeout_s` of silence.
        """
        call = Call(verb="GET", path=path)
        outgoing = _Outgoing(
            call=call, query=query, headers={"Accept": accept}, body=None, read_s=_HEADERS_S
        )
        return Stream(self._open(outgoing), call, idle_timeout_s=idle_timeout_s)

    def _open(self, outgoing: _Outgoing) -> urllib3.BaseHTTPResponse:
        """Send the request, once more as loaded afresh if refused; return a 2xx answer."""
        client = self._client
        try:
            return self._send(client, outgoing)
        except DeniedError as exc:
            if exc.code != _UNAUTHORIZED or not self._renew(client):
                raise
        except SourceUnavailableError as exc:
            # The cluster may have another CA by now, and our files may say so.
            if not _is_untrusted(exc) or not self._renew(client):
                raise
        return self._send(self._client, outgoing)

    def _send(self, client: ApiClient, outgoing: _Outgoing) -> urllib3.BaseHTTPResponse:
        """Send the request once; return a 2xx answer whose body is not read yet."""
        call = outgoing.call
        headers = {**outgoing.headers, "User-Agent": USER_AGENT}
        with self._lock:
            client.update_params_for_auth(headers, [], ["BearerToken"], call.path, call.verb, None)
        url = f"{client.configuration.host}{call.path}"
        try:
            response = client.rest_client.pool_manager.request(
                call.verb,
                f"{url}?{urlencode(outgoing.query)}" if outgoing.query else url,
                body=outgoing.body,
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=outgoing.read_s),
                preload_content=False,
            )
            if 200 <= response.status < 300:  # noqa: PLR2004 - HTTP's class of successes
                return response
            data = response.read(_STATUS_BYTES)
        except (HTTPError, OSError) as exc:
            raise SourceUnavailableError(f"{call}: {shorten(str(exc))}") from exc
        response.close()
        wait_s = parse_retry_after(response.headers.get("Retry-After"), now=time.time())
        raise api_error(call, response.status, decode_status(data), retry_after_s=wait_s)

    def _renew(self, stale: ApiClient) -> bool:
        """Load the credentials again, unless a thread just did; return whether they are new."""
        with self._lock:
            if self._client is not stale:
                return True
            if time.monotonic() - self._renewed_at < _RENEW_EVERY_S:
                return False
            self._renewed_at = time.monotonic()
            try:
                self._client = self._connector.connect()
            except PreconditionError as exc:
                # A file that is being rewritten, or a plugin that fails just now: the fault stands,
                # which is waited out, where this error would say that waiting is of no use.
                _log.warning("credentials cannot be loaded again", error=str(exc))
                return False
        stale.close()  # type: ignore[no-untyped-call] # ships no types
        return True


def _is_untrusted(error: SourceUnavailableError) -> bool:
    """Return whether nothing that we loaded vouches for the server's certificate."""
    cause = error.__cause__  # urllib3 keeps what it wraps as an argument
    return isinstance(cause, SSLError) and any(
        isinstance(one, ssl.SSLCertVerificationError) for one in cause.args
    )
