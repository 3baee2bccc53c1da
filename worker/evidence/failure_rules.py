"""The texts by which Trivy says what went wrong, one table per part of a run.

Pure data. Order matters: the first rule that is found wins, so the precise ones stand first. Every
row is met by a text recorded from Trivy 0.76.0 or named in its source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.model.errors import (
    BadReferenceError,
    DamagedImageError,
    ImageNotFoundError,
    LayerCacheMissingError,
    NameResolutionError,
    NoPlatformError,
    RateLimitedError,
    ScanTimeoutError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TransferDamagedError,
    TransientError,
    UnauthorizedError,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `pattern` is found the run failed for `reason`; `what` opens the message."""

    pattern: re.Pattern[str]
    error: Callable[..., SluiceError]
    reason: str
    what: str


def _rule(pattern: str, error: Callable[..., SluiceError], reason: str, what: str) -> Rule:
    return Rule(re.compile(pattern, re.DOTALL), error, reason, what)


_CONNECTION = (
    r"connection refused|connection reset|broken pipe|i/o timeout"
    r"|TLS handshake timeout|network is unreachable|no route to host|http2: |use of closed network"
)

_DNS = r"no such host|server misbehaving|Temporary failure in name resolution"

_LARGE_FILE = "it holds a file of more than SLUICE_SCRATCH_MB"

# The registry answered, or did not.
REGISTRY: Sequence[Rule] = (
    _rule(
        _DNS,
        NameResolutionError,
        "NameResolution",
        "the registry's name means nothing to DNS",
    ),
    _rule(
        r"TOOMANYREQUESTS|toomanyrequests|status code 429",
        RateLimitedError,
        "RateLimited",
        "the registry asks us to slow down",
    ),
    _rule(
        r"UNAUTHORIZED|DENIED|status code 40[13]|no basic auth credentials",
        UnauthorizedError,
        "Unauthorized",
        "the registry refuses our credentials",
    ),
    _rule(
        r"no child with platform",
        NoPlatformError,
        "NoPlatform",
        "the index holds no image for the platform",
    ),
    _rule(
        r"MANIFEST_UNKNOWN|NAME_UNKNOWN|BLOB_UNKNOWN|status code 404",
        ImageNotFoundError,
        "ImageNotFound",
        "the registry does not know it",
    ),
    _rule(
        r"unsupported artifact type|unsupported MediaType|OCI artifact must be",
        DamagedImageError,
        "NotAnImage",
        "it is an artifact, not an image",
    ),
    _rule(
        r"x509: |certificate",
        TerminalError,
        "CertificateRefused",
        "the registry's certificate is not trusted",
    ),
    _rule(
        r"error verifying sha256|unexpected EOF",
        TransferDamagedError,
        "TransferDamaged",
        "its content arrived damaged",
    ),
    _rule(
        rf"UNAVAILABLE|UNKNOWN: |status code 5\d\d|EOF|context deadline exceeded|{_CONNECTION}",
        SourceUnavailableError,
        "RegistryUnavailable",
        "the registry does not answer",
    ),
)

# The image's configuration was being read: fetched like anything else, then parsed.
CONFIGURATION: Sequence[Rule] = (
    *REGISTRY,
    # Trivy does not check the bytes against the digest: a proxy's page in HTML reads the same as a
    # configuration that is broken at the source.
    _rule(
        r"invalid character|cannot unmarshal",
        TransferDamagedError,
        "TransferDamaged",
        "its configuration is not JSON",
    ),
)

# A layer was being read. Damage in transit and damage at the source look the same, so it is tried
# again a few times; text that only broken content produces is final.
LAYER: Sequence[Rule] = (
    _rule(
        r"error verifying sha256|unexpected EOF",
        TransferDamagedError,
        "TransferDamaged",
        "a layer arrived damaged",
    ),
    _rule(
        r"Java DB update failed|Unable to initialize the Java DB",
        SourceUnavailableError,
        "JavaDatabaseMissing",
        "it holds a jar and the scanner has no Java database",
    ),
    _rule(
        r"no space left on device|disk quota",
        TransientError,
        "ScratchFull",
        "the scanner's scratch space is full",
    ),
    _rule(r"file too large\s*$", TerminalError, "ImageTooLarge", _LARGE_FILE),
    _rule(
        rf"{_CONNECTION}|{_DNS}",
        SourceUnavailableError,
        "RegistryUnavailable",
        "the registry broke off while a layer was read",
    ),
    _rule(
        r"context deadline exceeded|context canceled", ScanTimeoutError, "ScanTimeout", "cut short"
    ),
    _rule(
        r"archive/tar|invalid tar header|gzip: |flate: |zstd|invalid character|bzip2",
        DamagedImageError,
        "DamagedImage",
        "a layer is not a tar archive",
    ),
)

# Everything that is neither the registry's nor the image's doing, and archives on disk.
WORKER: Sequence[Rule] = (
    _rule(
        r"flag error:|unknown flag:|unknown command|accepts \d+ arg",
        TerminalError,
        "ScannerMisconfigured",
        "Trivy does not accept its options",
    ),
    _rule(
        r"old DB schema|DB schema doesn't match|--skip-db-update cannot be specified"
        r"|error in vulnerability DB initialization",
        SourceUnavailableError,
        "DatabaseUnusable",
        "the vulnerability database is missing or damaged",
    ),
    _rule(
        r"failed to download vulnerability DB",
        SourceUnavailableError,
        "DatabaseDownloadFailed",
        "the vulnerability database cannot be downloaded",
    ),
    _rule(
        r"Java DB update failed|Unable to initialize the Java DB|failed to download Java DB",
        SourceUnavailableError,
        "JavaDatabaseMissing",
        "the Java database cannot be used",
    ),
    _rule(
        r"(cache|database) may be in use by another process",
        TransientError,
        "CacheLocked",
        "another Trivy holds the layer cache",
    ),
    _rule(r"unable to open cache DB", TransientError, "CacheDamaged", "the layer cache is damaged"),
    _rule(
        r"Redis cache|redis: connection",
        SourceUnavailableError,
        "LayerCacheUnavailable",
        "the layer cache does not answer",
    ),
    _rule(
        r"twirp error unauthenticated",
        SourceUnavailableError,
        "MatchServerRefused",
        "the match server refuses our token",
    ),
    _rule(
        r"layer cache missing",
        LayerCacheMissingError,
        "LayerCacheMissing",
        "the match server lost the layers",
    ),
    # Before it is sent, so the server is innocent; and other images must not wait for it.
    _rule(
        r"failed to marshal proto request",
        DamagedImageError,
        "DamagedImage",
        "a name in it is no text, so Trivy cannot tell the match server what it found",
    ),
    _rule(
        r"twirp error (unavailable|bad_route)|failed to do request|match server unreachable",
        SourceUnavailableError,
        "MatchServerUnavailable",
        "the match server does not answer",
    ),
    # It answered: what it failed of may be this image's own.
    _rule(r"twirp error", TransientError, "MatchFailed", "the match server failed on it"),
    _rule(r"VEX error", TerminalError, "ScannerMisconfigured", "the VEX document cannot be read"),
    _rule(
        r"could not parse reference|failed to parse the image name",
        BadReferenceError,
        "BadReference",
        "not an image reference",
    ),
    _rule(
        r"exceeds maximum allowed size",
        TerminalError,
        "ImageTooLarge",
        "it is larger than the scanner may unpack",
    ),
    _rule(
        r"no such file or directory.*as an OCI|open .*: no such file or directory.*OCI",
        ImageNotFoundError,
        "ImageNotFound",
        "no such archive",
    ),
    _rule(
        r"unable to open \S+ as a Docker image",
        DamagedImageError,
        "DamagedImage",
        "its content is not an image",
    ),
    _rule(
        r"context deadline exceeded|context canceled", ScanTimeoutError, "ScanTimeout", "cut short"
    ),
    _rule(r"file too large\s*$", TerminalError, "ImageTooLarge", _LARGE_FILE),
    _rule(
        r"no space left on device|disk quota|unable to write results",
        TransientError,
        "ScratchFull",
        "the scanner's scratch space cannot be written",
    ),
)

# The words by which Trivy says which part failed; the first that is found decides.
PARTS: Sequence[tuple[str, Sequence[Rule]]] = (
    ("remote error: ", REGISTRY),
    ("failed to get the layer content", REGISTRY),
    ("unable to get the image ID: ", CONFIGURATION),
    ("walk error: ", LAYER),
    ("post analysis error: ", LAYER),
)
