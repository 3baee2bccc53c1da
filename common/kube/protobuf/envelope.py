r"""What Kubernetes wraps its objects in: a magic number, a note of the kind, watch events, lists.

    object      k8s\0 + Unknown(typeMeta, raw)
    event       WatchEvent(type, RawExtension(raw = object)), after four bytes of length
    page        object, whose raw is a list: ListMeta and the items, which are not wrapped again

Every function but the last raises MisfitError for bytes that are none of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from common.kube.envelopes import ListMeta, Status, StatusCause, StatusDetails
from common.kube.protobuf.messages import MisfitError, contents, message_class, parse
from common.kube.wire import ObjectMeta

_EVENT = message_class("WatchEvent")
_UNKNOWN = message_class("Unknown")
_LIST = message_class("AnyList")
_NAMED = message_class("Named")
_STATUS = message_class("Status")


class Contents(NamedTuple):
    """What was wrapped."""

    kind: str
    raw: bytes


def open_event(frame: bytes) -> tuple[str, bytes]:
    """Return the type of a watch event, and the object in it, still wrapped."""
    event = parse(_EVENT, frame)
    if not event.type or not event.HasField("object"):
        raise MisfitError("no type or no object in a watch event")
    return event.type, event.object.raw


def unwrap(data: bytes) -> Contents:
    """Return what is in an object's envelope."""
    unknown = parse(_UNKNOWN, contents(data))
    return Contents(unknown.typeMeta.kind, unknown.raw)


def open_list(raw: bytes) -> tuple[ListMeta, Sequence[bytes]]:
    """Return a page's metadata and its items, each still as bytes."""
    page = parse(_LIST, raw)
    meta = ListMeta(
        resource_version=page.metadata.resourceVersion,
        continue_token=getattr(page.metadata, "continue"),
    )
    return meta, page.items


def read_name(raw: bytes) -> ObjectMeta:
    """Return name, namespace, uid and version of an object of any kind, and nothing else of it."""
    meta = parse(_NAMED, raw).metadata
    return ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resourceVersion,
    )


def read_status(raw: bytes) -> Status:
    """Return a Status, which the server sends instead of an object."""
    status = parse(_STATUS, raw)
    details = status.details
    return Status(
        code=status.code,
        reason=status.reason,
        message=status.message,
        details=StatusDetails(
            retry_after_seconds=details.retryAfterSeconds,
            causes=tuple(StatusCause(reason=each.reason) for each in details.causes) or None,
        ),
    )


def decode_status(body: bytes) -> Status:
    """Return the Status in an answer that is not success. Total: an unreadable one says so."""
    try:
        return read_status(unwrap(body).raw)
    except MisfitError:
        return Status(message="a status in protobuf that cannot be read")
