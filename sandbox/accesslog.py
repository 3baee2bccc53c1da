"""The registry's access log: what was asked for, by whom, with what result.

Independent of the product: it is what the product's own counts are checked against.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sandbox.faults import target_of


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer."""

    at: float  # seconds since the epoch
    method: str
    path: str
    status: int  # 0: no answer, the connection was cut
    bytes: int  # of the answer's body; for HEAD 0
    user_agent: str
    fault: str = ""  # the name of the fault that answered; "" for the registry itself

    @property
    def repository(self) -> str:
        """The repository asked for; "" for /v2/."""
        return target_of(self.path).repository

    @property
    def kind(self) -> str:
        """Of what is asked for: manifest, blob, tags, referrers or other."""
        return target_of(self.path).kind


class AccessLog:
    """Every request in order of its answer, in memory and, a JSON line each, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def add(self, request: Request) -> None:
        """Append one request. Opens the file each time (30 µs): nothing is left to close."""
        with self._lock, self.path.open("ab") as file:
            self._requests.append(request)
            file.write(msgspec.json.encode(request) + b"\n")

    def mark(self) -> int:
        """Return a mark for `since`."""
        with self._lock:
            return len(self._requests)

    def since(self, mark: int = 0) -> list[Request]:
        """Return the requests answered after `mark` was made."""
        with self._lock:
            return self._requests[mark:]


def read_access_log(path: Path) -> list[Request]:
    """Return the requests of a log file that another process writes; a torn last line waits."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [msgspec.json.decode(line, type=Request) for line in whole.splitlines()]


def count(
    requests: Iterable[Request], *, repository: str | None = None, kind: str | None = None
) -> int:
    """Return how many requests ask for `repository` and `kind`; None stands for any."""
    return sum(
        (repository is None or request.repository == repository)
        and (kind is None or request.kind == kind)
        for request in requests
    )
