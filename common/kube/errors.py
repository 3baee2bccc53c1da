"""What the API server's answers mean to us: statuses become domain errors, here and nowhere else.

    ApiError                        carries `code`: the HTTP status, or that of an ERROR event
    ├── NotFoundError               404, or the namespace is terminating   a GoneError
    ├── KindMissingError            404 for a kind that is not served      a TransientError
    ├── VersionConflictError        409                                    a ConflictError
    │   └── AlreadyExistsError      409 AlreadyExists
    ├── DeniedError                 401 and 403                            a TransientError
    ├── ThrottledError              429                                    an ApiThrottledError
    ├── UnavailableError            5xx                                    a SourceUnavailableError
    ├── ExpiredError                410: the version or page is too old    a TransientError
    ├── OversizeError               413, or etcd's limit                   a TooLargeError
    └── InvalidError                400, 422 and every other 4xx           a TerminalError
        └── NotAcceptableError      406, 415: ask for another encoding

    SourceUnavailableError          no answer at all: there is no status
    ├── IdleStreamError             a stream was silent for too long
    └── TornStreamError             a stream broke before its end

Callers that do not care for codes catch the classes of `common.model.errors`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from common.kube.envelopes import Status
from common.model.errors import (
    ApiThrottledError,
    ConflictError,
    GoneError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TooLargeError,
    TransientError,
    shorten,
)

# etcd refuses what the API server let through; it arrives as a 500 that no retry can help.
_ETCD_LIMITS = ("request is too large", "trying to send message larger than max")
_NAMESPACE_ENDS = "NamespaceTerminating"
_PROTOBUF = b"k8s\x00"  # how all of Kubernetes' protobuf begins
# Without a definition the path does not exist; while it is being removed, the resource does not.
_KIND_MISSING = ("404 page not found", "the server could not find the requested resource")


class ApiError(SluiceError):
    """The API server answered, and not with success."""

    code = 0


class NotFoundError(ApiError, GoneError):
    """The object, its namespace or its kind does not exist, or its namespace is going away."""

    reason = "NotFound"


class KindMissingError(ApiError, TransientError):
    """The kind itself is not served: its definition was never installed, or was deleted."""

    reason = "DefinitionMissing"


class VersionConflictError(ApiError, ConflictError):
    """Somebody wrote in between, or a precondition does not hold."""


class AlreadyExistsError(VersionConflictError):
    """The name is taken."""

    reason = "AlreadyExists"


class DeniedError(ApiError, TransientError):
    """The API server does not know us (401) or does not let us (403).

    That says nothing about the object: tokens rotate, rights are granted late. So it is tried
    again soon, unlike a registry's refusal, which only another secret heals.
    """


class ThrottledError(ApiError, ApiThrottledError):
    """The API server asks us to slow down."""


class UnavailableError(ApiError, SourceUnavailableError):
    """The API server answered that it cannot answer."""


class ExpiredError(ApiError, TransientError):
    """The version or the page is older than what the server remembers: list again."""

    reason = "Expired"


class OversizeError(ApiError, TooLargeError):
    """The object passes the limit of the API server or of etcd."""


class InvalidError(ApiError, TerminalError):
    """The request is wrong; sending it again changes nothing."""

    reason = "Invalid"


class NotAcceptableError(InvalidError):
    """The server does not speak the encoding that was asked for."""

    reason = "NotAcceptable"


class IdleStreamError(SourceUnavailableError):
    """No byte came for longer than a living server is silent."""

    reason = "IdleStream"


class TornStreamError(SourceUnavailableError):
    """The connection broke before the body's end."""

    reason = "TornStream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What was asked, for messages: never headers, never a query."""

    verb: str
    path: str

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


_decoder = msgspec.json.Decoder(Status)


def decode_status(body: bytes) -> Status:
    """Return the Status in `body`; an empty one, with the text as its message, if there is none.

    A request that accepts protobuf alone is refused in protobuf.
    """
    if body.startswith(_PROTOBUF):
        # Only who asks for protobuf pays for its library: 3 MB.
        from common.kube.protobuf.envelope import decode_status as decode  # noqa: PLC0415

        return decode(body)
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Status(message=body[:1024].decode(errors="replace"))


def api_error(
    call: Call, code: int, status: Status, *, retry_after_s: float | None = None
) -> ApiError:
    """Return the error that answer `code` with `status` means. Total: every code has a class.

    `retry_after_s` is the header's; the status' own `retryAfterSeconds` is used where it is absent.
    """
    said = shorten(status.message) or status.reason or "no message"
    error = _class_of(code, status)(f"{call}: {code} {said}")
    error.code = code
    if isinstance(error, TransientError):
        error.retry_after_s = retry_after_s if retry_after_s is not None else status.retry_after_s
    if isinstance(error, DeniedError):
        error.reason = "Unauthorized" if code == 401 else "Forbidden"  # noqa: PLR2004 - HTTP's own name
    return error


_CLASSES: dict[int, type[ApiError]] = {
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    406: NotAcceptableError,
    409: VersionConflictError,
    410: ExpiredError,
    413: OversizeError,
    415: NotAcceptableError,
    429: ThrottledError,
}


def _class_of(code: int, status: Status) -> type[ApiError]:
    """Choose the class for an HTTP status; the reason decides where one code means two things."""
    if any(limit in status.message for limit in _ETCD_LIMITS):
        return OversizeError
    if code == 404 and status.message.strip() in _KIND_MISSING:  # noqa: PLR2004 - HTTP's own name
        return KindMissingError
    if code == 403 and _NAMESPACE_ENDS in status.causes:  # noqa: PLR2004 - HTTP's own name
        return NotFoundError
    if code == 409 and status.reason == "AlreadyExists":  # noqa: PLR2004 - HTTP's own name
        return AlreadyExistsError
    other = InvalidError if 400 <= code < 500 else UnavailableError  # noqa: PLR2004 - HTTP's classes
    return _CLASSES.get(code, other)
