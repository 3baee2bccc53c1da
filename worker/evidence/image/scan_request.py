"""The keys in a Trivy client's `Scan` request: what the match server needs to match again later.

Pure. Trivy's client speaks protobuf; only three fields of `trivy.scanner.v1.ScanRequest` matter:
1 target, 2 artifact_id, 3 blob_ids. Replaying them finds the same as the client did, without the
image, its registry or a process.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model.errors import TransientError

_TARGET, _ARTIFACT_ID, _BLOB_ID = 1, 2, 3
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_SHIFT = 63  # a varint holds 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one inventory told the match server."""

    target: str
    artifact_id: str
    blob_ids: tuple[str, ...]


def parse_scan_request(body: bytes) -> Recording:
    """Return the keys in a `ScanRequest`; unknown fields are skipped.

    Raises TransientError when `body` is not one: Trivy's protocol changed.
    """
    target, artifact_id, blob_ids = "", "", []
    try:
        at = 0
        while at < len(body):
            tag, at = _varint(body, at)
            field, value, at = _value(body, at, tag=tag)
            if field == _TARGET:
                target = value.decode()
            elif field == _ARTIFACT_ID:
                artifact_id = value.decode()
            elif field == _BLOB_ID:
                blob_ids.append(value.decode())
    except (IndexError, ValueError) as exc:
        raise _unreadable() from exc
    if not artifact_id:
        raise _unreadable()
    return Recording(target=target, artifact_id=artifact_id, blob_ids=tuple(blob_ids))


def _unreadable() -> TransientError:
    return TransientError(
        "Trivy's scan request cannot be read; is it Trivy 0.70 or newer?",
        reason="ScanRequestUnreadable",
    )


def _value(body: bytes, at: int, *, tag: int) -> tuple[int, bytes, int]:
    """Return field number, bytes (empty unless length-delimited) and the next position."""
    field, wire = tag >> 3, tag & 7
    if wire == _VARINT:
        _, at = _varint(body, at)
        return field, b"", at
    if wire in (_FIXED_64, _FIXED_32):
        return field, b"", at + (8 if wire == _FIXED_64 else 4)
    if wire != _BYTES:
        raise ValueError(f"wire type {wire}")
    size, at = _varint(body, at)
    if at + size > len(body):
        raise ValueError("cut short")
    return field, body[at : at + size], at + size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the high bit says that more follows
            return number, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise ValueError("varint too long")
