"""A failed Trivy run becomes the one domain error that says what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import (
    BadReferenceError,
    DamagedImageError,
    ImageNotFoundError,
    LayerCacheMissingError,
    NameResolutionError,
    NoPlatformError,
    OutOfMemoryError,
    RateLimitedError,
    ScannerDiedError,
    ScanTimeoutError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TransferDamagedError,
    TransientError,
    UnauthorizedError,
)
from worker.evidence.failure_rules import PARTS, WORKER
from worker.evidence.failures import classify, scrub

CORPUS = json.loads(
    (Path(__file__).parents[1] / "golden/trivy/errors_corpus.json").read_text(encoding="utf-8")
)

WANTED: dict[str, tuple[type[SluiceError], str]] = {
    "tag not found": (ImageNotFoundError, "ImageNotFound"),
    "digest not found": (ImageNotFoundError, "ImageNotFound"),
    "404 html": (ImageNotFoundError, "ImageNotFound"),
    "layer blob 404": (ImageNotFoundError, "ImageNotFound"),
    "platform missing": (NoPlatformError, "NoPlatform"),
    "bad reference": (BadReferenceError, "BadReference"),
    "401 no credentials": (UnauthorizedError, "Unauthorized"),
    "401 wrong password": (UnauthorizedError, "Unauthorized"),
    "403": (UnauthorizedError, "Unauthorized"),
    "429 manifest": (RateLimitedError, "RateLimited"),
    "429 layer": (RateLimitedError, "RateLimited"),
    "500": (SourceUnavailableError, "RegistryUnavailable"),
    "502": (SourceUnavailableError, "RegistryUnavailable"),
    "503": (SourceUnavailableError, "RegistryUnavailable"),
    "504": (SourceUnavailableError, "RegistryUnavailable"),
    "layer 500": (SourceUnavailableError, "RegistryUnavailable"),
    "connection refused": (SourceUnavailableError, "RegistryUnavailable"),
    "no such host": (NameResolutionError, "NameResolution"),
    "connection reset": (SourceUnavailableError, "RegistryUnavailable"),
    "truncated layer": (TransferDamagedError, "TransferDamaged"),
    "corrupt layer (checksum)": (TransferDamagedError, "TransferDamaged"),
    "config blob bad json": (TransferDamagedError, "TransferDamaged"),
    "config blob 404": (ImageNotFoundError, "ImageNotFound"),
    "config blob cut off": (TransferDamagedError, "TransferDamaged"),
    "no DB": (SourceUnavailableError, "DatabaseUnusable"),
    "no DB, no network": (SourceUnavailableError, "DatabaseDownloadFailed"),
    "DB schema 1": (SourceUnavailableError, "DatabaseUnusable"),
    "DB schema 3": (SourceUnavailableError, "DatabaseUnusable"),
    "DB garbage": (SourceUnavailableError, "DatabaseUnusable"),
    "DB truncated (panic)": (ScannerDiedError, "ScannerDied"),
    "fs cache locked": (TransientError, "CacheLocked"),
    "fs cache garbage": (TransientError, "CacheDamaged"),
    "redis down": (SourceUnavailableError, "LayerCacheUnavailable"),
    "jar without Java DB": (SourceUnavailableError, "JavaDatabaseMissing"),
    "server down": (SourceUnavailableError, "MatchServerUnavailable"),
    "server bad token": (SourceUnavailableError, "MatchServerRefused"),
    "garbage tar": (DamagedImageError, "DamagedImage"),
    "empty tar": (DamagedImageError, "DamagedImage"),
    "truncated tar": (DamagedImageError, "DamagedImage"),
    "tar without manifest.json": (DamagedImageError, "DamagedImage"),
    "layer not a tar": (DamagedImageError, "DamagedImage"),
    "missing tar": (ImageNotFoundError, "ImageNotFound"),
    "max-image-size": (TerminalError, "ImageTooLarge"),
    "timeout 1ms": (ScanTimeoutError, "ScanTimeout"),
    "bad flag": (TerminalError, "ScannerMisconfigured"),
    "bad value": (TerminalError, "ScannerMisconfigured"),
    "missing vex file": (TerminalError, "ScannerMisconfigured"),
    "db artifact as image": (DamagedImageError, "NotAnImage"),
    "output unwritable": (TransientError, "ScratchFull"),
    "config: path missing": (TransientError, "ScanFailed"),
}

FATAL = "2026-11-25T00:00:00Z\tFATAL\tFatal error\trun error: image scan error: scan error: "


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: str(case["name"]))
def test_every_recorded_failure_has_its_class(case: dict[str, object]) -> None:
    """The class decides between a retry, a probe and a circuit: a wrong one burns pull limits."""
    error = classify(int(str(case["exit_code"])), str(case["stderr"]), killed_by_us=False)
    assert (type(error), error.reason) == WANTED[str(case["name"])]


def test_the_table_of_wanted_classes_covers_the_corpus() -> None:
    """A recorded failure without an expectation would be tested by nothing."""
    assert {case["name"] for case in CORPUS} == set(WANTED)


def test_every_rule_is_met_by_a_recorded_text_or_named_here() -> None:
    """A rule that no text ever reached is a guess that looks like knowledge."""
    unseen_reasons = {"CertificateRefused", "LayerCacheMissing", "MatchFailed"}
    met = {reason for _, reason in WANTED.values()}
    reasons = {rule.reason for _, rules in [*PARTS, ("", WORKER)] for rule in rules}
    assert reasons - met == unseen_reasons


def test_trap_29_a_scanner_killed_by_its_memory_limit_is_out_of_memory() -> None:
    """Trap 29. Killed by signal 9 or by its own limit, Trivy says nothing useful: class it."""
    go_text = "fatal error: runtime: cannot allocate memory\n\nruntime stack:\n"
    for error in (
        classify(-9, "", killed_by_us=False),
        classify(137, "", killed_by_us=False),
        classify(2, go_text, killed_by_us=False),
        classify(2, "fatal error: out of memory allocating heap arena map", killed_by_us=False),
    ):
        assert isinstance(error, OutOfMemoryError)
        assert error.reason == "OutOfMemory"


def test_our_own_deadline_wins_over_whatever_the_dying_scanner_wrote() -> None:
    """A scanner that we stopped says `context canceled`, or nothing, or is killed by 9."""
    for exit_code, text in ((-9, ""), (1, FATAL + "context canceled"), (-15, "panic: x")):
        error = classify(exit_code, text, killed_by_us=True)
        assert type(error) is ScanTimeoutError


def test_other_signals_are_crashes() -> None:
    """A segmentation fault is the scanner's fault, not a lack of memory."""
    error = classify(-11, "", killed_by_us=False)
    assert type(error) is ScannerDiedError


def test_a_registry_cannot_open_the_match_servers_circuit() -> None:
    """Its answer is foreign text: only the registry's rules may read it."""
    text = FATAL + "remote error: GET https://r.example/v2/: UNKNOWN: twirp error unavailable"
    assert classify(1, text, killed_by_us=False).reason == "RegistryUnavailable"


def test_a_file_name_in_a_layer_cannot_open_its_registrys_circuit() -> None:
    """The text behind `walk error` holds names that the image's author chose."""
    text = FATAL + "walk error: failed to process remote error: TOOMANYREQUESTS: flate: corrupt"
    assert type(classify(1, text, killed_by_us=False)) is DamagedImageError


def test_a_package_name_cannot_open_the_match_servers_circuit() -> None:
    """Three images whose packages have names that are no UTF-8 stopped those of everybody else."""
    text = (
        "scan failed: failed analysis: failed to store layer: sha256:00 in cache: unable to store "
        "cache on the server: backoff: permanent error (last error: twirp error internal: failed "
        "to marshal proto request: string field contains invalid UTF-8)"
    )
    assert type(classify(1, FATAL + text, killed_by_us=False)) is DamagedImageError


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "unavailable: Error from intermediary with HTTP status code 503",
            "MatchServerUnavailable",
        ),
        (
            'internal: failed to do request: Post "http://127.0.0.1:1/": EOF',
            "MatchServerUnavailable",
        ),
        ("internal: match server unreachable", "MatchServerUnavailable"),
        ("internal: failed scan, test: failed to detect", "MatchFailed"),
        ("invalid_argument: the layer is odd", "MatchFailed"),
    ],
)
def test_only_a_server_that_does_not_answer_is_called_away(said: str, reason: str) -> None:
    """One that answers may have failed of this image alone; its circuit is everybody's."""
    text = f"{FATAL}scan failed: backoff: permanent error (last error: twirp error {said})"
    error = classify(1, text, killed_by_us=False)
    assert error.reason == reason
    assert isinstance(error, SourceUnavailableError) == (reason == "MatchServerUnavailable")


def test_lost_layers_ask_for_a_new_inventory() -> None:
    """The match server's cache is a cache: losing it must not park a thousand images."""
    text = FATAL + "scan failed: twirp error internal: layer cache missing: sha256:00"
    assert type(classify(1, text, killed_by_us=False)) is LayerCacheMissingError


def test_an_unknown_certificate_waits_for_a_change() -> None:
    """Retrying against a certificate that nobody trusts helps nobody."""
    text = FATAL + 'remote error: Get "https://r.example/v2/": tls: x509: unknown authority'
    error = classify(1, text, killed_by_us=False)
    assert (type(error), error.reason) == (TerminalError, "CertificateRefused")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://bob:s3cr3t-word@r.example/v2/x: UNKNOWN: no", "s3cr3t-word"),
        ("GET https://s3.example/blob?X-Amz-Signature=abcdef0123: UNKNOWN: no", "abcdef0123"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x1 refused", "eyJhbGciOiJIUzI1NiJ9"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA== refused", "dXNlcjpwYXNzd29yZA"),
    ],
)
def test_no_credential_reaches_a_message(text: str, secret: str) -> None:
    """Messages end in logs, Events and Redis, where a password must never be."""
    assert secret not in scrub(text)
    assert secret not in str(classify(1, FATAL + "remote error: " + text, killed_by_us=False))


def test_messages_name_the_cause_and_stay_short() -> None:
    """The chain of Go's wrappers hides the one clause that helps."""
    text = FATAL + "remote error: GET http://r/v2/a/manifests/x: MANIFEST_UNKNOWN: " + "x" * 5000
    message = str(classify(1, text, killed_by_us=False))
    assert message.startswith("the registry does not know it: GET http://r/v2/a/manifests/x")
    assert len(message) < 320


@given(
    exit_code=st.integers(-64, 255).filter(bool),
    stderr=st.text(max_size=400),
    killed=st.booleans(),
)
def test_every_text_gives_an_error(exit_code: int, stderr: str, *, killed: bool) -> None:
    """A crash here would charge the worker for what the scanner did."""
    error = classify(exit_code, stderr, killed_by_us=killed)
    assert isinstance(error, SluiceError)
    assert len(str(error)) < 400
