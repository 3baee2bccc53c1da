"""Reads the API server's audit log: who asked for what, independent of any client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    resource: str = ""
    subresource: str = ""


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 0


class _Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    stage: str
    verb: str
    user_agent: str = ""
    object_ref: _Object = _Object()
    response_status: _Status = _Status()


class AuditedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered."""

    verb: str  # get, list, watch, create, update, patch, delete, …
    resource: str  # "" for a path that is no object
    subresource: str
    code: int
    user_agent: str


def read_audit(log: Path) -> list[AuditedRequest]:
    """Return the requests of a log that is still written; a torn last line waits."""
    if not log.exists():
        return []
    whole = log.read_bytes().rpartition(b"\n")[0]
    return list(_requests(whole.splitlines()))


def _requests(lines: list[bytes]) -> Iterator[AuditedRequest]:
    """Yield each request once: a watch when it begins, anything else when it ends."""
    decode = msgspec.json.Decoder(_Event).decode
    for event in map(decode, lines):
        wanted = "ResponseStarted" if event.verb == "watch" else "ResponseComplete"
        if event.stage == wanted:
            yield AuditedRequest(
                verb=event.verb,
                resource=event.object_ref.resource,
                subresource=event.object_ref.subresource,
                code=event.response_status.code,
                user_agent=event.user_agent,
            )
