"""Events on users' objects, as `kubectl describe` shows them: few, short, counted.

The same reason and message about the same object is one Event, named by their hash, whose count
grows; it lives for the server's event TTL (an hour by default) after its last repetition. Each
repetition costs at most two requests, so a storm of failures makes no storm of Events.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from common.kube.errors import AlreadyExistsError, NotFoundError, VersionConflictError
from common.kube.negotiate import METADATA
from common.kube.paths import CORE, object_path
from common.kube.resources import FIELD_MANAGER, MERGE_PATCH, OWNED
from common.kube.session import Api
from common.kube.wire import ObjectMeta, Wire

# The API server's limits: of an Event's message, and of an object's name.
MESSAGE_LIMIT = 1024
_NAME_LIMIT = 253
_HASH_DIGITS = 16


class _Counted(Wire, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    count: int = 0


_decoder = msgspec.json.Decoder(_Counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str  # empty: cluster-scoped, its Events stand in `default`
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What to say. Foreign text in `message` must be shortened and free of secrets already."""

    subject: Subject
    reason: str  # CamelCase
    message: str
    type: Literal["Normal", "Warning"] = "Warning"

    @property
    def namespace(self) -> str:
        """Where the Event object stands."""
        return self.subject.namespace or "default"

    @property
    def name(self) -> str:
        """The Event object's name: the same for the same words about the same object."""
        about = self.subject
        words = f"{about.kind}\n{about.uid}\n{self.type}\n{self.reason}\n{self.text}"
        digits = hashlib.sha256(words.encode()).hexdigest()[:_HASH_DIGITS]
        stem = about.name[: _NAME_LIMIT - 1 - _HASH_DIGITS].rstrip("-.")  # a part ends in a letter
        return f"{stem}.{digits}"

    @property
    def text(self) -> str:
        """The message within the server's limit."""
        return self.message[: MESSAGE_LIMIT - 1] + "…" if self._too_long else self.message

    @property
    def _too_long(self) -> bool:
        return len(self.message) > MESSAGE_LIMIT


def event_body(event: Event, *, now: datetime) -> dict[str, Any]:
    """Return the Event object to create. Pure."""
    subject = event.subject
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": event.namespace, "name": event.name},
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.text,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": _stamp(now),
        "lastTimestamp": _stamp(now),
        "count": 1,
    }


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Events:
    """Emits Events. Thread-safe; raises an ApiError or SourceUnavailableError."""

    def __init__(self, session: Api) -> None:
        self._session = session

    def emit(self, event: Event, *, now: datetime) -> None:
        """Say it: create the Event, or raise the count of the one that says the same.

        An Event is a courtesy: one that loses a race to another writer is dropped.
        Raises NotFoundError if the namespace is gone.
        """
        body = msgspec.json.encode(event_body(event, now=now))
        path = object_path(CORE, "events", namespace=event.namespace)
        try:
            self._session.request("POST", path, query=OWNED, body=body, accept=METADATA)
        except AlreadyExistsError:
            self._repeat(event, now)

    def _repeat(self, event: Event, now: datetime) -> None:
        path = object_path(CORE, "events", namespace=event.namespace, name=event.name)
        try:
            seen = _decoder.decode(self._session.request("GET", path).body)
            patch = {
                "metadata": {"resourceVersion": seen.metadata.resource_version},
                "count": seen.count + 1,
                "lastTimestamp": _stamp(now),
            }
            self._session.request(
                "PATCH",
                path,
                query=OWNED,
                body=msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                accept=METADATA,
            )
        except (NotFoundError, VersionConflictError):
            return  # it ran out, or somebody else counted: the next repetition says it again
