"""One HTTP exchange with a registry, over TLS wherever the registry is not local or excused."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import ipaddress
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import IO, TypeVar

from common.model.errors import NameResolutionError, SourceUnavailableError, TerminalError
from worker.evidence.image import registry_connection

_TIMEOUT_S = 20.0  # between two bytes: a registry that hangs must not hold a worker
_REFUSAL_BYTES = 16 * 1024
_BODY_LIMIT_BYTES = 4 * 1024 * 1024  # the largest manifest that registries accept
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\]|.*\.local(host)?)(:\d+)?")
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_MAX_WAIT_S = 3600.0  # Docker Hub has sent Unix times here: no more than an hour
# ValueError: an address that is none, in a redirection or as that of a token service.
_NO_ANSWER = (OSError, http.client.HTTPException, ValueError)
_CREDENTIAL_HEADER = "Authorization"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, whatever its status."""

    status: int
    headers: Message
    body: bytes
    elsewhere: bool = False  # the registry led us to whoever said it

    @property
    def retry_after_s(self) -> float | None:
        """The wait that the answer asks for; a date counts from the answer's own."""
        text = (self.headers.get("Retry-After") or "").strip()
        if text.isdecimal():
            return min(float(text), _MAX_WAIT_S)
        due, sent = _unix(text), _unix(self.headers.get("Date") or "")
        return None if due is None or sent is None else min(max(0.0, due - sent), _MAX_WAIT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An answer whose body is yet to be read. Close the body."""

    status: int
    headers: Message
    body: IO[bytes]
    elsewhere: bool = False  # the registry led us to whoever says it


def is_local(registry: str) -> bool:
    """Say whether the host is this very machine, or a name that no proxy knows."""
    return _LOCAL.fullmatch(registry) is not None


def may_be_plain(registry: str) -> bool:
    """Say whether plain HTTP to this host needs no permission.

    As go-containerregistry decides, and so Trivy: local ones, and addresses of private networks.
    """
    try:
        address = ipaddress.ip_address(registry.partition(":")[0])
    except ValueError:
        return is_local(registry)
    return is_local(registry) or any(address in network for network in _PRIVATE)


class RegistryHttp:
    """Sends requests to one registry. Thread-safe: a connection per request."""

    def __init__(self, host: str, *, plain: bool, verify: bool) -> None:
        """`plain`: HTTP may be tried; `verify`: somebody must vouch for the certificate."""
        self._host = host
        self._plain = plain or may_be_plain(host)
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        # A proxy never leads to this very machine.
        proxies = (urllib.request.ProxyHandler({}),) if is_local(host) else ()
        self._opener = urllib.request.build_opener(
            *registry_connection.handlers(context), _Redirects(), *proxies
        )
        self.scheme = ""  # known after the first exchange

    def exchange(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        """Ask the registry itself; raises what `fetch` raises."""
        return self._reached(lambda root: self.fetch(method, f"{root}{path}", headers))

    def open(self, path: str, headers: dict[str, str]) -> Opened:
        """Ask the registry for what may be large; raises what `fetch` raises.

        Reading the body raises OSError or HTTPException; whoever reads compares the size, for a
        broken connection may look like the end.
        """
        return self._reached(lambda root: self._open(f"{root}{path}", headers))

    def _reached(self, ask: Callable[[str], T]) -> T:
        """Ask over the first scheme that answers, from then on over no other."""
        schemes = [self.scheme] if self.scheme else ["https", "http"] if self._plain else ["https"]
        for scheme in schemes[:-1]:
            try:
                found = ask(f"{scheme}://{self._host}")
            except (SourceUnavailableError, TerminalError):
                continue  # it does not speak TLS
            self.scheme = scheme
            return found
        found = ask(f"{schemes[-1]}://{self._host}")
        self.scheme = schemes[-1]
        return found

    def _open(self, url: str, headers: dict[str, str]) -> Opened:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 # http(s) alone: callers build the URL
        try:
            answer = self._opener.open(request, timeout=_TIMEOUT_S)
            answer.unlimit()
            return Opened(status=answer.status, headers=answer.headers, body=answer)
        except urllib.error.HTTPError as exc:
            elsewhere = _host_of(exc.url) != _host_of(url)
            return Opened(status=exc.code, headers=exc.headers, body=exc, elsewhere=elsewhere)
        except _NO_ANSWER as exc:
            raise _unanswered(self._host, exc) from exc

    def fetch(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> Reply:
        """Send one request and return the answer, redirections followed.

        Raises SourceUnavailableError when none comes within a minute, TerminalError
        (`CertificateRefused`) when its certificate is not trusted.
        """
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 # http(s) alone: callers build the URL
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return Reply(
                    status=answer.status, headers=answer.headers, body=_body(answer, answer.headers)
                )
        except urllib.error.HTTPError as exc:
            with exc:
                return Reply(
                    status=exc.code,
                    headers=exc.headers,
                    body=_said(exc),
                    elsewhere=_host_of(exc.url) != _host_of(url),
                )
        except _NO_ANSWER as exc:
            raise _unanswered(self._host, exc) from exc


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections without changing the method or handing a credential on."""

    def redirect_request(  # noqa: PLR0913, PLR0917 # urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is None or following.type not in ("http", "https"):
            return None
        following.method = req.get_method()
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            following.remove_header(_CREDENTIAL_HEADER)
        if old.scheme == "https" and new.scheme != "https":
            return None
        return following


def _host_of(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _body(answer: IO[bytes], headers: Message) -> bytes:
    """Return the whole body; `read` with a limit would take a broken connection for its end."""
    content = answer.read(_BODY_LIMIT_BYTES + 1)
    if len(content) > _BODY_LIMIT_BYTES:
        raise TerminalError(
            f"the registry's answer is larger than {_BODY_LIMIT_BYTES} bytes",
            reason="ManifestTooLarge",
        )
    announced = headers.get("Content-Length") or ""
    if content and announced.isdecimal() and len(content) < int(announced):
        raise http.client.IncompleteRead(content, int(announced) - len(content))
    return content


def said(opened: Opened) -> Reply:
    """Return a refusal as far as it came."""
    content = b""
    with contextlib.suppress(OSError, http.client.HTTPException):
        content = opened.body.read(_REFUSAL_BYTES)
    return Reply(status=opened.status, headers=opened.headers, body=content)


def _said(refusal: urllib.error.HTTPError) -> bytes:
    """Return what a refusal says, as far as it came: its status is what counts."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return refusal.read(_BODY_LIMIT_BYTES)
    return b""


def _unanswered(host: str, exc: Exception) -> SourceUnavailableError | TerminalError:
    cause = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TerminalError(
            f"the certificate of {host} is not trusted: {cause.verify_message}",
            reason="CertificateRefused",
        )
    if isinstance(cause, socket.gaierror):
        return NameResolutionError(f"the name {host} means nothing to DNS: {cause.strerror}")
    return SourceUnavailableError(
        f"{host} does not answer: {type(cause).__name__}", reason="RegistryUnavailable"
    )


def _unix(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
