r"""Path patterns as Trivy's ignore files have them (the Go library bmatcuk/doublestar).

`*` any run of characters but `/`, `?` one such character, `**` between slashes any number of
folders, `[a-z]`, `[^a-z]` and `[!a-z]` a class, `{a,b}` one of both, `\` takes the next character
literally. The whole path must match. Pure, total: a malformed pattern matches nothing.

Paths come from images, which may be hostile: as in the library, a later sign settles what an
earlier one took, so that only the last `**/` and the last `*` are tried at every place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

_REMEMBERED = 4096
# So many patterns may a pattern with alternatives stand for: `{a,b}` twenty times is a million.
_ALTERNATIVES = 1000
_ANY = "(?:.*)"
_ANY_FOLDERS = "(?:[^/]*/)*"
_STAR = "[^/]*"


def is_valid(pattern: str) -> bool:
    """Return whether the pattern is one."""
    return bool(_compiled(pattern))


def matches(pattern: str, path: str) -> bool:
    """Return whether `pattern` matches all of `path`."""
    return any(one.fullmatch(path) is not None for one in _compiled(pattern))


class _MalformedError(Exception):
    """A class or an alternative does not end, or the pattern ends after a backslash."""


@lru_cache(maxsize=_REMEMBERED)
def _compiled(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Return what the pattern stands for; nothing when it is malformed."""
    try:
        plain = _spread(pattern)
        return tuple(re.compile(_expression(one), re.DOTALL) for one in plain)
    except _MalformedError:
        return ()


def _spread(pattern: str) -> list[str]:
    """Return the patterns without braces that `pattern` stands for."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        one = todo.pop()
        place = _first_braces(one)
        if place is None:
            done.append(one)
            continue
        start, commas, end = place
        cuts = [start, *commas, end]
        todo.extend(
            one[:start] + one[left + 1 : right] + one[end + 1 :] for left, right in pairwise(cuts)
        )
        if len(todo) + len(done) > _ALTERNATIVES:
            raise _MalformedError
    return done


def _first_braces(pattern: str) -> tuple[int, list[int], int] | None:
    """Return where the first alternative begins, its commas, and where it ends; None: none."""
    depth, start, commas = 0, -1, list[int]()
    for at, char in _signs(pattern):
        if char == "{":
            start = at if not depth else start
            depth += 1
        elif char == "," and depth == 1:
            commas.append(at)
        elif char == "}":
            depth -= 1
            if not depth:
                return start, commas, at
            if depth < 0:
                raise _MalformedError
    if depth:
        raise _MalformedError
    return None


def _signs(pattern: str) -> Iterator[tuple[int, str]]:
    """Yield every character that stands for itself, with its place: no escaped one, no class."""
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
            if at == len(pattern):
                raise _MalformedError
        elif pattern[at] == "[":
            at = _class_end(pattern, at)
        else:
            yield at, pattern[at]
        at += 1


def _class_end(pattern: str, at: int) -> int:
    """Return where the class that opens at `at` closes; it must not be empty."""
    at += 1
    if pattern[at : at + 1] in {"^", "!"}:
        at += 1
    if pattern[at : at + 1] in {"", "]"}:
        raise _MalformedError
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "]":
            return at
        at += 1
    raise _MalformedError


def _expression(pattern: str) -> str:
    """Return the regular expression for a pattern without braces."""
    parts: list[str] = []
    at, fresh = 0, True  # fresh: at the beginning of a path's segment
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at) and fresh and pattern[at + 2 : at + 3] in {"", "/"}:
            slash = at + 2 < len(pattern)
            parts.append(_ANY_FOLDERS if slash else _ANY)
            at += 3 if slash else 2
            continue
        end = _class_end(pattern, at) if char == "[" else at
        if char == "\\":
            end = at + 1
            parts.append(re.escape(pattern[end]))
        elif char == "*":
            end = at + 1 if pattern.startswith("**", at) else at
            parts.append(_STAR)
        else:
            parts.append(_one(pattern, at, end))
        fresh = pattern[end] == "/"
        at = end + 1
    # `folder/**` is the folder itself too, and so is `folder/**/`.
    if parts[-2:] in (["/", _ANY], ["/", _ANY_FOLDERS]):
        parts[-2:] = [f"(?:/{parts[-1]})?"]
    *before, last = _split(parts, _ANY_FOLDERS)
    if not before:
        return _run(last, is_last=True)
    first, *others = (_run(one, is_last=False) for one in before)
    settled = "".join(_settled(_ANY_FOLDERS, one) for one in others)
    return f"{first}{settled}{_ANY_FOLDERS}{_run(last, is_last=True)}"


def _run(parts: list[str], *, is_last: bool) -> str:
    """Return the expression for what stands between two `**/`."""
    first, *stars = map("".join, _split(parts, _STAR))
    free = _STAR + stars.pop() if is_last and stars else ""
    return first + "".join(_settled(_STAR, one) for one in stars) + free


def _settled(sign: str, followed: str) -> str:
    """Return the expression for a sign and what follows it, at the first place that serves."""
    return f"(?>{sign}?{followed})"


def _split(parts: list[str], sign: str) -> list[list[str]]:
    """Return the parts between those that are `sign`."""
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == sign:
            runs.append([])
        else:
            runs[-1].append(part)
    return runs


def _one(pattern: str, at: int, end: int) -> str:
    if pattern[at] == "?":
        return "[^/]"
    if pattern[at] == "[":
        return _class(pattern[at + 1 : end])
    return re.escape(pattern[at])


def _class(inside: str) -> str:
    """Return the expression for a class; what stands in it was checked."""
    negated = inside[:1] in {"^", "!"}
    members = re.findall(r"\\?.", inside[1:] if negated else inside, re.DOTALL)
    ranges: list[str] = []
    while members:
        low = members.pop(0)[-1]
        high = low
        if len(members) > 1 and members[0] == "-":
            high = members[1][-1]
            del members[:2]
        if low <= high:  # nothing lies in a range that runs backwards
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return r"[\s\S]" if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"
