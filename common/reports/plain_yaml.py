"""Writes plain values as YAML that people can read: block style, no anchors, keys as they come.

Covers what definitions and values files hold (maps, lists, strings, whole numbers, booleans); it is
no YAML library and reads nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson

# Safe as it is: starts with a letter, none of YAML's signs in it, no word that means a value.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./()'-]*[A-Za-z0-9)]|[A-Za-z]")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_documents(values: Iterable[Mapping[str, object]]) -> str:
    """Return the values as one stream, each document opened by `---`.

    Raises TypeError for a value that is none of the kinds above.
    """
    return "".join(f"---\n{''.join(_lines(value, indent=0))}" for value in values)


def to_text(value: object, *, indent: int = 0) -> str:
    """Return a map or list that is not empty as lines, each moved in by `indent` spaces.

    Raises TypeError for a value that is none of the kinds above.
    """
    return "".join(_lines(value, indent=indent))


def _lines(value: object, *, indent: int) -> Iterator[str]:
    """Yield the lines of a map or list that is not empty."""
    pad = " " * indent
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _entry(f"{pad}{_text(str(name))}:", below, indent=indent + 2)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for below in value:
            if _is_block(below):
                first, *rest = _lines(below, indent=indent + 2)
                yield f"{pad}- {first[indent + 2 :]}"
                yield from rest
            else:
                yield f"{pad}- {_scalar(below)}\n"


def _entry(head: str, value: object, *, indent: int) -> Iterator[str]:
    """Yield `head` with a scalar beside it, or with a block below it."""
    if _is_block(value):
        yield f"{head}\n"
        yield from _lines(value, indent=indent)
    elif isinstance(value, str) and _is_page(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}\n"
        for line in value.splitlines():
            yield f"{' ' * indent}{line}\n" if line else "\n"
    else:
        yield f"{head} {_scalar(value)}\n"


def _is_block(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) > 0


def _is_page(text: str) -> bool:
    """Return whether a text reads best, and comes back as it is, line by line."""
    return (
        "\n" in text.strip()
        and text in (text.strip(), f"{text.strip()}\n")
        and all(char.isprintable() or char in "\n\t" for char in text)
    )


def _scalar(value: object) -> str:
    """Return a scalar, or the empty map or list, on one line."""
    match value:
        case str():
            return _text(value)
        case bool() | int() | {} | []:
            return orjson.dumps(value).decode()
        case _:
            raise TypeError(f"cannot write {type(value).__name__} as YAML here")


def _text(text: str) -> str:
    """Return a string as it is where that is safe, else quoted as JSON, which YAML reads."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = orjson.dumps(text).decode()
    if quoted.isprintable():
        return quoted
    # A terminal would drop what it cannot show, and a reader would miss it.
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
