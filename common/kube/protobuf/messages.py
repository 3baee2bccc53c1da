"""The schema as message classes, built once at import: 2 ms for all of them.

The pool is our own: another library's idea of a Pod must not meet ours. The rules of edition 2023
fit proto2's bytes and are stricter where that helps: text that is not UTF-8 is an error when it is
parsed, where proto2 would hand out bytes in the place of text. It is mended then (`mend`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError, Message

from common.kube.protobuf.mend import mended
from common.kube.protobuf.schema import MESSAGES, TEXT_MAP, Field

# A message's attributes are made at run time, from the schema; only this package reads them.
Parsed: TypeAlias = Any

# False: there is no wheel with the C parser for this platform; the one in Python is 50 x slower
# than JSON, so that nobody should ask for protobuf there.
IS_NATIVE = api_implementation.Type() == "upb"

MAGIC = b"k8s\x00"

_PACKAGE = "kube_sluice"
_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Proto.TYPE_STRING,
    "bytes": _Proto.TYPE_BYTES,
    "bool": _Proto.TYPE_BOOL,
    "int32": _Proto.TYPE_INT32,
    "int64": _Proto.TYPE_INT64,
}


# The second: what the parser in Python says of text.
_REFUSED = (DecodeError, UnicodeDecodeError)


class MisfitError(ValueError):
    """The bytes do not hold what they should."""


def message_class(name: str) -> type[Message]:
    """Return the class of a message of the schema. Raises KeyError."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def parse(message: type[Message], data: bytes) -> Parsed:
    """Return the message in `data`; text that is no UTF-8 as JSON has it. Raises MisfitError."""
    try:
        return message.FromString(data)
    except _REFUSED as exc:
        # Not only for its text, perhaps: then it is refused again.
        try:
            return message.FromString(mended(message.DESCRIPTOR.name, data))
        except (*_REFUSED, ValueError):
            raise MisfitError(str(exc)) from exc


def contents(data: bytes) -> bytes:
    """Return what follows the magic number. Raises MisfitError where there is none."""
    if data[:4] != MAGIC:
        raise MisfitError("no protobuf of Kubernetes: it would begin with k8s")
    return data[4:]


def _describe() -> descriptor_pb2.FileDescriptorProto:
    """Return the whole schema as `protoc` would have."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}.proto",
        package=_PACKAGE,
        syntax="editions",
        edition=descriptor_pb2.EDITION_2023,
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, field in fields.items():
            if field.type == TEXT_MAP:
                _add_map(message, field_name, field.number)
            else:
                _add(message, field_name, field)
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, field: Field) -> None:
    label = _Proto.LABEL_REPEATED if field.repeated else _Proto.LABEL_OPTIONAL
    added = message.field.add(name=name, number=field.number, label=label)
    if field.type in _SCALARS:
        added.type = _SCALARS[field.type]
    else:
        added.type, added.type_name = _Proto.TYPE_MESSAGE, f".{_PACKAGE}.{field.type}"


def _add_map(message: descriptor_pb2.DescriptorProto, name: str, number: int) -> None:
    """Add a map: a repeated message of keys and values, whose name the parser asks for."""
    entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
    entry.options.map_entry = True
    _add(entry, "key", Field(1, "string"))
    _add(entry, "value", Field(2, "string"))
    _add(message, name, Field(number, f"{message.name}.{entry.name}", repeated=True))


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_describe())
