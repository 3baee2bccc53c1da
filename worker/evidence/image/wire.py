"""What a scan worker and the scanner process say to each other. Wire format v2.

A frame is four bytes of length, big-endian, and that much JSON. One connection carries one job and
one answer; a closed connection ends the job. Errors travel as the name of their class.
"""

from __future__ import annotations

import socket
from typing import TypeAlias

import msgspec

from common.model import errors
from common.model.bounded import UNREADABLE
from common.model.errors import ScannerDiedError, SluiceError, TerminalError, TransientError
from common.model.evidence import EVIDENCE_LIMIT_BYTES
from common.model.image import Inventory
from worker.evidence.image.access import Access
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.parts import ImageParts
from worker.evidence.image.told import Told

# A Secret's limit, and so a docker config's, and three documents of a registry's limit, in base64.
JOB_LIMIT_BYTES = 24 * 1024 * 1024
ANSWER_LIMIT_BYTES = EVIDENCE_LIMIT_BYTES
_HEAD = 4


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job/v2"):
    """A job on its way to the scanner. Never print it: it holds credentials."""

    reference: str
    access: Access
    platform: str
    options: ScanOptions
    server_url: str
    deadline_s: float
    docker_config: bytes | None = None
    alone: bool = False
    parts: ImageParts | None = None  # None: Trivy pulls by itself
    max_bytes: int = 0
    canary: bool = False  # tell Trivy's own findings too
    java: JavaOrigin | None = None  # None: as the scanner's own settings say


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The inventory."""

    inventory: Inventory
    seconds: float
    told: tuple[Told, ...] = ()  # for a canary
    proven: tuple[str, ...] = ()  # digests of layers that unpack to what the image says


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A domain error."""

    error: str  # class name
    reason: str
    message: str
    retry_after_s: float | None = None


Answer: TypeAlias = Done | Failed

_JOB = msgspec.json.Decoder(Job)
_ANSWER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Done | Failed)
_ERRORS = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, SluiceError)
}


def failed(error: SluiceError) -> Failed:
    """Return the error as it travels."""
    wait_s = error.retry_after_s if isinstance(error, TransientError) else None
    known = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _ERRORS)
    return Failed(error=known, reason=error.reason, message=str(error), retry_after_s=wait_s)


def raised(answer: Failed) -> SluiceError:
    """Return the error as it is raised here; a class that we do not know is transient."""
    cls = _ERRORS.get(answer.error, TransientError)
    if issubclass(cls, TransientError):
        return cls(answer.message, reason=answer.reason, retry_after_s=answer.retry_after_s)
    return cls(answer.message, reason=answer.reason)


def decode_job(body: bytes) -> Job:
    """Return the job; raises `msgspec.DecodeError` for anything else."""
    return _JOB.decode(body)


def decode_answer(body: bytes) -> Answer:
    """Return the answer; raises ScannerDiedError when the other side speaks another version."""
    try:
        return _ANSWER.decode(body)
    except UNREADABLE as exc:
        raise ScannerDiedError(
            f"the scanner's answer cannot be read ({exc}); run worker and scanner from one release"
        ) from exc


def answer_frame(answer: Answer) -> bytes:
    """Return the answer as it is sent; a refusal in its place where nobody would read so much."""
    body = msgspec.json.encode(answer)
    if len(body) <= ANSWER_LIMIT_BYTES:
        return _framed(body)
    limit_mb = ANSWER_LIMIT_BYTES // (1024 * 1024)
    error = TerminalError(
        f"what was found in it takes {len(body)} bytes; no more than {limit_mb} MB are kept",
        reason="EvidenceTooLarge",
    )
    return _framed(msgspec.json.encode(failed(error)))


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(_HEAD, "big") + body


def send_frame(connection: socket.socket, value: Job | Answer) -> None:
    """Send one frame; raises OSError when the other side is gone."""
    connection.sendall(_framed(msgspec.json.encode(value)))


def receive_frame(connection: socket.socket, limit_bytes: int) -> bytes:
    """Return one frame's body.

    Raises EOFError when the other side closed or asks for more than the limit, OSError (a timeout
    is one) when the connection broke.
    """
    size = int.from_bytes(_receive(connection, _HEAD), "big")
    if size > limit_bytes:
        raise EOFError(f"a frame of {size} bytes; the limit is {limit_bytes}")
    return _receive(connection, size)


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other side closed the connection")
        parts += part
    return bytes(parts)
