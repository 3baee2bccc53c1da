"""JSON objects as the API server would send them in protobuf, for fakes and generated objects.

It writes with the product's own partial schema, so it proves nothing about field numbers: a test
against the `.proto` files and one against a real API server do. What the schema does not know is
left out, and a field that nobody knows is added to every message at the top.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from common.kube.protobuf.messages import MAGIC, message_class
from common.kube.protobuf.schema import MESSAGES, TEXT_MAP

Object = Mapping[str, Any]

# Field 999, three bytes long: a parser must carry on past what a newer server may say.
UNKNOWN_FIELD = b"\xba\x3e\x03abc"
_SCALARS = frozenset({"string", "bytes", "bool", "int32", "int64"})


def encode(kind: str, found: Object) -> bytes:
    """Return an object without its envelope."""
    return _bytes(_filled(kind, found)) + UNKNOWN_FIELD


def wrap(kind: str, raw: bytes) -> bytes:
    """Return an object in its envelope."""
    unknown = message_class("Unknown")()
    _set(unknown, "typeMeta", _filled("TypeMeta", {"kind": kind}))
    unknown.raw = raw  # type: ignore[attr-defined] # made at run time
    return MAGIC + _bytes(unknown)


def wrapped(kind: str, found: Object) -> bytes:
    """Return a whole object."""
    return wrap(kind, encode(kind, found))


def event(type_: str, found: bytes) -> bytes:
    """Return a watch event with a wrapped object in it, without its length."""
    return _bytes(_filled("WatchEvent", {"type": type_, "object": {"raw": found}}))


def framed(data: bytes) -> bytes:
    """Return an event with its length, as it stands in a stream."""
    return len(data).to_bytes(4, "big") + data


def page(kind: str, body: Object) -> bytes:
    """Return a list whose items are of that kind."""
    items = [encode(kind, each) for each in body.get("items") or ()]
    raw = _filled("AnyList", {"metadata": body.get("metadata") or {}, "items": items})
    return wrap(f"{kind}List", _bytes(raw) + UNKNOWN_FIELD)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _filled(name: str, found: Object) -> Any:
    message = message_class(name)()
    for field_name, field in MESSAGES[name].items():
        value = found if field.type == "EphemeralContainerCommon" else found.get(field_name)
        if value is None:
            continue
        if field.type == TEXT_MAP:
            getattr(message, field_name).update(value)
        elif field.repeated:
            getattr(message, field_name).extend(_value(field.type, each) for each in value)
        else:
            _set(message, field_name, _value(field.type, value))
    return message


def _set(message: Any, name: str, value: Any) -> None:
    if hasattr(value, "SerializeToString"):
        getattr(message, name).CopyFrom(value)
        getattr(message, name).SetInParent()  # an empty message is there all the same
    else:
        setattr(message, name, value)


def _value(type_: str, value: Any) -> Any:
    if type_ in _SCALARS:
        return value
    if type_ == "Time":
        return _filled("Time", {"seconds": int(datetime.fromisoformat(value).timestamp())})
    return _filled(type_, value)
