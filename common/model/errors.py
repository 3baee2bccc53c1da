"""Every error that the product raises on purpose, sorted by what to do about it.

    SluiceError
    ├── TransientError            worth another try; the class's policy says when
    │   ├── RateLimitedError      a registry asks us to slow down (carries retry_after_s)
    │   │   └── ApiThrottledError the API server asks us to slow down
    │   ├── NotBegunError         nothing failed: it was put off, at nobody's charge
    │   │   ├── BudgetSpentError  our own budget for a registry is used up: it was not asked
    │   │   └── NoRoomError       the scanner's disk has no room for the image now
    │   ├── DatabaseNotReadyError no vulnerability database was ever announced
    │   ├── SourceUnavailableError  registry, API server, match server or Redis does not answer
    │   │   ├── NameResolutionError   its name means nothing to DNS
    │   │   └── CircuitOpenError      it failed for others a moment ago: it was not asked at all
    │   ├── ConflictError         somebody wrote in between: read again, plan again
    │   ├── TransferDamagedError  content arrived damaged: in transit, or at the source
    │   ├── ScanTimeoutError      our own deadline ended the scanner
    │   ├── ScannerDiedError      the scanner was killed or crashed
    │   │   └── OutOfMemoryError  its memory limit ended it
    │   └── LayerCacheMissingError  the match server lost the layers: take stock again
    ├── TerminalError             no retry helps until something outside changes
    │   ├── BadReferenceError     not an image reference
    │   ├── ImageNotFoundError    the registry does not know it
    │   ├── UnauthorizedError     the registry or the API server refuses our credentials
    │   ├── NoPlatformError       the index holds no image for the platform
    │   ├── DamagedImageError     the content is not an image
    │   └── TooLargeError         the API server refuses the size
    ├── GoneError                 the object vanished: drop the result, rest
    ├── StaleFenceError           another watcher leads: stop writing
    ├── DefectError               a part of ours ended that never ends: start the process again
    └── PreconditionError         something the user must arrange first (exit status 3)
        └── SettingsError         the environment says something that does not parse

`reason` is stable CamelCase text: it stands in facts, metrics, Events and docs. No message may hold
a secret or more than 256 characters of foreign text (`shorten`).
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model.hiding import without_user_info

# Foreign text in our messages: enough for the line that names the cause, too short for a body.
FOREIGN_LIMIT = 256


def shorten(text: str) -> str:
    """Return `text` on one line, cut to 256 characters, as UTF-8 can have it.

    Users and passwords before a host go first, while they are whole. A program's file names and
    JSON may hold halves of a surrogate pair, which nothing can store.
    """
    line = " ".join(without_user_info(text).encode(errors="replace").decode().split())
    return line if len(line) <= FOREIGN_LIMIT else line[: FOREIGN_LIMIT - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """What is known of the source that an error blames, after the error was counted there."""

    source: str  # registry/<host>, match-server/<url>, api-server or redis
    failures: int  # in a row, of all keys
    wait_s: float  # until the source may be asked again; 0: its circuit is closed
    spared: bool  # True: the source is at fault, so the key's own budget is not charged


class SluiceError(Exception):
    """Base of all; never raised itself."""

    reason = "Unknown"
    source = ""  # who was asked when it happened, as in SourceFault; empty: nobody in particular
    subject = ""  # what was asked for, where several keys ask for the same; empty: the key's own
    fault: SourceFault | None = None  # None: nobody counted it against a source
    whose = ""  # the namespace whose names (registries, repositories) the message may hold

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        # Whatever it quotes (a setting, an image's name) may be an address with a password in it.
        super().__init__(without_user_info(message))
        if reason is not None:
            self.reason = reason


class TransientError(SluiceError):
    """Worth another try; the class's policy says when."""

    reason = "Transient"

    def __init__(
        self, message: str, *, reason: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s  # None: the source did not say


class RateLimitedError(TransientError):
    """A registry asks us to slow down."""

    reason = "RateLimited"


class ApiThrottledError(RateLimitedError):
    """The API server asks us to slow down."""

    reason = "ApiThrottled"


class SourceUnavailableError(TransientError):
    """A registry, API server, match server or Redis does not answer."""

    reason = "SourceUnavailable"


class NameResolutionError(SourceUnavailableError):
    """A source's name means nothing to DNS."""

    reason = "NameResolution"


class CircuitOpenError(SourceUnavailableError):
    """A source failed for others a moment ago, so it was not asked at all."""

    reason = "CircuitOpen"


class NotBegunError(TransientError):
    """Nothing failed: it was put off, and no attempt is counted."""

    @property
    def wait_s(self) -> float:
        """Until it is worth asking again."""
        return self.retry_after_s or 0.0


class BudgetSpentError(NotBegunError):
    """A registry was asked for as many images as the settings allow: nobody is at fault."""

    reason = "RegistryBudget"


class NoRoomError(NotBegunError):
    """The scanner's disk has no room for the image now, so it was not unpacked."""

    reason = "ScratchFull"


class DatabaseNotReadyError(TransientError):
    """No vulnerability database was ever announced; announcing one queues every image."""

    reason = "DatabaseNotReady"


class ConflictError(TransientError):
    """Somebody wrote in between: read again, plan again."""

    reason = "Conflict"


class TransferDamagedError(TransientError):
    """Content arrived damaged: in transit, or it is so at the source."""

    reason = "TransferDamaged"


class ScanTimeoutError(TransientError):
    """Our own deadline ended the scanner."""

    reason = "ScanTimeout"


class ScannerDiedError(TransientError):
    """The scanner was killed or crashed."""

    reason = "ScannerDied"


class OutOfMemoryError(ScannerDiedError):
    """The scanner's memory limit ended it."""

    reason = "OutOfMemory"


class LayerCacheMissingError(TransientError):
    """The match server lost the image's layers: take stock again."""

    reason = "LayerCacheMissing"


class TerminalError(SluiceError):
    """No retry helps until something outside changes."""

    reason = "Terminal"


class BadReferenceError(TerminalError):
    """Not an image reference."""

    reason = "BadReference"


class ImageNotFoundError(TerminalError):
    """The registry does not know the image."""

    reason = "ImageNotFound"


class UnauthorizedError(TerminalError):
    """Our credentials are refused."""

    reason = "Unauthorized"


class NoPlatformError(TerminalError):
    """The index holds no image for the platform."""

    reason = "NoPlatform"


class DamagedImageError(TerminalError):
    """The content is not an image."""

    reason = "DamagedImage"


class TooLargeError(TerminalError):
    """The API server refuses the size."""

    reason = "TooLarge"


class GoneError(SluiceError):
    """The object vanished: drop the result and rest."""

    reason = "Gone"


class StaleFenceError(SluiceError):
    """Another watcher took a higher fence: this one must stop writing."""

    reason = "StaleFence"


class DefectError(SluiceError):
    """A part of ours ended that never ends: start the process again."""

    reason = "Defect"


class PreconditionError(SluiceError):
    """Something the user must arrange first; commands end with exit status 3."""

    reason = "Precondition"


class SettingsError(PreconditionError):
    """The environment says something that does not parse; the message lists every fault."""

    reason = "Settings"
