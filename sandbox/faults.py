"""What the registry's proxy may do instead of passing a request through, and to which requests."""

from __future__ import annotations

import base64
import fnmatch
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

_PATH = re.compile(r"^/v2/(?P<repository>.+?)/(?P<kind>manifests|blobs|tags|referrers)(/|$)")
_KINDS = {"manifests": "manifest", "blobs": "blob", "tags": "tags", "referrers": "referrers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request asks for."""

    repository: str  # "" for /v2/ and anything that is no repository
    kind: str  # manifest, blob, tags, referrers or other


def target_of(path: str) -> Target:
    """Sort a request's path as the distribution specification lays it out. Pure, total."""
    found = _PATH.match(path.partition("?")[0])
    if found is None:
        return Target(repository="", kind="other")
    return Target(repository=found["repository"], kind=_KINDS[found["kind"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer with a status and nothing else, as an overloaded or refusing registry does."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    spared: str = ""  # shell pattern of user agents that do not meet it, such as `containerd/*`

    def spares(self, agent: str) -> bool:
        """Say whether it lets this user agent pass."""
        return bool(self.spared) and fnmatch.fnmatchcase(agent, self.spared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """Refuse with a status, and repeat in the text what credential was brought, in every form.

    So do relays and debug pages that print the headers of a request. One that brings none passes,
    or is asked for one where `asks`.
    """

    status: int
    asks: bool = True

    @staticmethod
    def text(authorization: str) -> str:
        """Return what the refusal says."""
        word = authorization.rpartition(" ")[2]
        try:
            pair = base64.b64decode(word, validate=True).decode()
        except ValueError:
            pair = word
        return f"denied {authorization} alias {word} for {pair} that is {pair.partition(':')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Answer 401 unless the request brings these credentials (HTTP Basic)."""

    username: str
    password: str

    def admits(self, authorization: str | None) -> bool:
        """Say whether the Authorization header's value is right."""
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return authorization == f"Basic {token}"


@dataclass(frozen=True, slots=True)
class Hang:
    """Answer nothing until the rule ends or the proxy stops; then cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Announce the whole body, send its first bytes, and cut the connection."""

    after_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Pass through, but not before `delay_s` seconds, as a distant registry does."""

    delay_s: float


Fault = Answer | Echo | Login | Hang | Cut | Slow


class Rule:
    """A fault for requests that match, so many times. As a `with` block it ends with the block."""

    def __init__(
        self, fault: Fault, *, times: int | None, repository: str, kind: str, method: str
    ) -> None:
        """Take shell patterns; `times` None means until `end`."""
        self.fault = fault
        self.hits = 0
        self.ended = threading.Event()
        self._times = times
        self._patterns = (repository, kind, method)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Let requests pass again; those that hang are cut."""
        self.ended.set()

    def takes(
        self, method: str, target: Target, authorization: str | None, *, agent: str = ""
    ) -> bool:
        """Say whether this request meets the fault, and count it if so."""
        values = (target.repository, target.kind, method)
        if not all(map(fnmatch.fnmatchcase, values, self._patterns)):
            return False
        if isinstance(self.fault, Login) and self.fault.admits(authorization):
            return False
        if isinstance(self.fault, Answer) and self.fault.spares(agent):
            return False
        if isinstance(self.fault, Echo) and not (authorization or self.fault.asks):
            return False
        with self._lock:
            if self.ended.is_set() or (self._times is not None and self.hits >= self._times):
                return False
            self.hits += 1
            return True
