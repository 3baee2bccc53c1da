r"""Patterns of namespaces and images, as Go's `filepath.Match` reads them for trivy-operator.

`*` any run of characters but `/`, `?` one such character, `[a-z]` and `[^a-z]` a class (the caret
negates, `!` does not), `\` takes the next character literally. The whole text must match.
Pure, total: a malformed pattern is an answer, not an exception.
"""

from __future__ import annotations

import functools
import re

# Patterns come from one setting; the bound only guards against a caller that makes them up.
_CACHED_PATTERNS = 1024


class _MalformedError(Exception):
    """The pattern ends inside a class or after a backslash, or a class is empty."""


def matches(pattern: str, text: str) -> bool:
    """Return whether `pattern` matches all of `text`; a malformed one matches nothing.

    trivy-operator includes a namespace when a pattern is malformed; so does "matches nothing".
    """
    compiled = _compile(pattern)
    return compiled is not None and compiled.fullmatch(text) is not None


def is_glob(pattern: str) -> bool:
    """Return whether the pattern can match another text than itself."""
    return any(char in pattern for char in "*?[\\")


def is_malformed(pattern: str) -> bool:
    """Return whether Go would answer ErrBadPattern."""
    return _compile(pattern) is None


@functools.lru_cache(maxsize=_CACHED_PATTERNS)
def _compile(pattern: str) -> re.Pattern[str] | None:
    parts: list[str] = []
    at = 0
    try:
        while at < len(pattern):
            part, at = _next_part(pattern, at)
            parts.append(part)
    except _MalformedError:
        return None
    return re.compile("".join(parts), re.DOTALL)


def _next_part(pattern: str, at: int) -> tuple[str, int]:
    """Return the regular expression for the element at `at`, and where the next one begins."""
    match pattern[at]:
        case "*":
            return "[^/]*", at + 1
        case "?":
            return "[^/]", at + 1
        case "[":
            return _class(pattern, at + 1)
        case "\\":
            if at + 1 == len(pattern):
                raise _MalformedError
            return re.escape(pattern[at + 1]), at + 2
        case literal:
            return re.escape(literal), at + 1


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Read a class whose opening bracket was read; Go wants at least one range in it."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    read = 0
    while not (read and pattern.startswith("]", at)):
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        read += 1
        if low <= high:  # Go accepts a range that runs backwards; nothing lies in it
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return (r"[\s\S]" if negated else r"(?!)"), at + 1
    return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """Return one end of a range; `-` and `]` must be escaped, and something must follow."""
    if at >= len(pattern) or pattern[at] in "-]":
        raise _MalformedError
    if pattern[at] == "\\":
        at += 1
    if at + 1 >= len(pattern):
        raise _MalformedError
    return pattern[at], at + 1
