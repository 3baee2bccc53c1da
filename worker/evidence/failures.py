"""What a failed Trivy run means: exit status and standard error to one domain error.

Pure, total: every text gives an error, an unknown one a transient error that says so. The part of
the run that failed is decided first, by Trivy's own words at the front of the message; only the
rules of that part are tried on the rest. Otherwise a registry could write "twirp error" into its
answer and open the match server's circuit for everybody.

Checked against texts recorded from Trivy 0.76.0 (`tests/golden/trivy/errors_corpus.json`).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence

from common.model.errors import (
    OutOfMemoryError,
    ScannerDiedError,
    ScanTimeoutError,
    SluiceError,
    TransientError,
    shorten,
)
from worker.evidence.failure_rules import PARTS, WORKER, Rule

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
_PANIC = re.compile(r"^(panic|fatal error|runtime): .*", re.MULTILINE)
_NO_MEMORY = re.compile(r"cannot allocate memory|out of memory")
_USER_INFO = re.compile(r"(?<=://)[^/\s@\"']+(?=@)")
_QUERY = re.compile(r"(?<=[^\s\"'?])\?[^\s\"']+")
# A URL, a path, a host with a port, a domain, an address; numbers such as 0.76.0 stay.
_NAMED = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"']+|[\w.@:~%+-]*/[\w.@:/~%+-]*|\[[0-9A-Fa-f:]+\](:\d+)?"
    r"|\b[A-Za-z][\w.-]*:\d+\b|\b([\w-]+\.)+[A-Za-z]{2,}\b"
    r"|\b\d+(\.\d+){3}(:\d+)?\b"
)
_DOTS = re.compile(r"…(\s*…)+")
_BEARER = re.compile(r"(?i)(authorization: *)?\b(bearer|basic) +[A-Za-z0-9+/._=-]{8,}")


def scrub(text: str) -> str:
    """Return `text` without what may be a credential: URL user info, queries, bearer tokens.

    Queries go as a whole: presigned storage URLs carry their signature there.
    """
    return _BEARER.sub("…", _QUERY.sub("?…", _USER_INFO.sub("…", text)))


def unnamed(text: str, names: Iterable[str]) -> str:
    """Return `text` without `names` and whatever else may be a registry's or a repository's name.

    What looks like an address or a path goes too: a registry's answer may name its token service,
    a mirror, or another repository.
    """
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "…", text)
    return _DOTS.sub("…", _NAMED.sub("…", text))


def classify(exit_code: int, stderr: str, *, killed_by_us: bool) -> SluiceError:
    """Return what a Trivy run that ended with `exit_code` (not 0) means. Never raises.

    `killed_by_us`: our own deadline or a client that left ended it, whatever else it says.
    """
    if killed_by_us:
        return ScanTimeoutError("the scan did not end before its deadline and was stopped")
    if exit_code in _KILLED:
        return OutOfMemoryError("Trivy was killed (signal 9), most likely by its memory limit")
    panic = _PANIC.search(stderr)
    if panic or exit_code < 0:
        return _crash(exit_code, panic.group(0) if panic else "no text")
    return _refusal(exit_code, _fatal_text(stderr))


def _crash(exit_code: int, line: str) -> SluiceError:
    if _NO_MEMORY.search(line):
        return OutOfMemoryError(f"Trivy reached its memory limit: {shorten(line)}")
    # A damaged database makes bbolt panic; the image is innocent, the next run may be elsewhere.
    return ScannerDiedError(f"Trivy crashed (exit status {exit_code}): {shorten(scrub(line))}")


def _refusal(exit_code: int, text: str) -> SluiceError:
    part, rules = _part_of(text)
    for rule in rules:
        if rule.pattern.search(part):
            return rule.error(f"{rule.what}: {_detail(part)}", reason=rule.reason)
    return TransientError(
        f"Trivy failed (exit status {exit_code}) for an unknown cause: {_detail(text)}",
        reason="ScanFailed",
    )


def _part_of(text: str) -> tuple[str, Sequence[Rule]]:
    """Return what follows the words that name the failed part, and that part's rules.

    The leftmost words count: Trivy writes front to back, and what a registry or a file name in a
    layer adds stands behind.
    """
    found = [(text.find(mark), mark, rules) for mark, rules in PARTS if mark in text]
    if not found:
        return text, WORKER
    at, mark, rules = min(found, key=lambda one: one[0])
    return text[at + len(mark) :], rules


def _fatal_text(stderr: str) -> str:
    """Return the text from the FATAL line on; without one the last lines."""
    _, found, fatal = stderr.rpartition("\tFATAL\t")
    if found:
        return fatal
    return stderr.removeprefix("FATAL\t") if stderr.startswith("FATAL\t") else stderr[-2000:]


def _detail(text: str) -> str:
    """Return the last link of Trivy's chain of causes, without credentials."""
    for lead in (
        "pipeline error: ",
        "scan failed: ",
        "initialize container image: ",
        "run error: ",
    ):
        text = text.rpartition(lead)[2]
    return shorten(scrub(text))
