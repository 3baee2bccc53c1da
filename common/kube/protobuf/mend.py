"""Text that is no UTF-8, as the JSON of the same object has it: U+FFFD in the place of each byte.

The API server checks neither annotations nor images for UTF-8 where a client sends protobuf, and
our parser refuses the whole object for one such byte. It is read as JSON readers see it instead:
Go's encoder writes one U+FFFD a byte. Pure; only objects that did not parse come here.
"""

from __future__ import annotations

import re

from common.kube.protobuf.schema import MESSAGES, TEXT_MAP, Field, Fields

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LOST = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of a byte that is no UTF-8
_ENTRY: Fields = {"key": Field(1, "string"), "value": Field(2, "string")}
_PLAIN = frozenset({"bytes", "bool", "int32", "int64"})


def mended(message: str, data: bytes) -> bytes:
    """Return the bytes of a message of the schema with all its text in UTF-8.

    Raises ValueError for bytes that are no message.
    """
    return _mended(MESSAGES[message], data)


def _mended(fields: Fields, data: bytes) -> bytes:
    types = {field.number: field.type for field in fields.values()}
    kept: list[bytes] = []
    at = 0
    while at < len(data):
        tag, start = _varint(data, at)
        wire = tag & 7
        if wire != _BYTES:
            end = _varint(data, start)[1] if wire == _VARINT else start + _width(wire)
            kept.append(data[at:end])
        else:
            size, begin = _varint(data, start)
            end = begin + size
            part = _part(types.get(tag >> 3, "bytes"), data[begin:end])
            kept += (data[at:start], _length(len(part)), part)
        if end > len(data):
            raise ValueError("a message ends in the middle of a field")
        at = end
    return b"".join(kept)


def _part(type_: str, data: bytes) -> bytes:
    if type_ in _PLAIN:
        return data
    if type_ == "string":
        return _LOST.sub("\ufffd", data.decode(errors="surrogateescape")).encode()
    return _mended(_ENTRY if type_ == TEXT_MAP else MESSAGES[type_], data)


def _width(wire: int) -> int:
    if wire not in _WIDTHS:
        raise ValueError(f"no wire type of ours: {wire}")
    return _WIDTHS[wire]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and where what follows begins."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return number, at
    raise ValueError("a number without an end")


def _length(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
