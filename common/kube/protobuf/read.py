"""Reads objects of every kind that the schema knows: bytes to the structs of `common.kube.wire`."""

from __future__ import annotations

from collections.abc import Callable

from common.kube.protobuf.messages import MisfitError, Parsed, contents, message_class, parse
from common.kube.protobuf.objects import BUILDERS, Readable
from common.kube.protobuf.watched import WatchedPods


class Reader:
    """Reads objects of one kind."""

    def __init__(self, kind: str) -> None:
        """Raise KeyError for a kind that the schema does not know."""
        self._build = BUILDERS[kind]
        self._build_wrapped = WatchedPods().build if kind == "Pod" else self._build
        self._message = message_class(kind)
        self._wrapped = message_class(f"Wrapped{kind}")

    def read(self, raw: bytes) -> Readable:
        """Return an object. Raises MisfitError, also for a time that no calendar has."""
        return _built(self._build, parse(self._message, raw))

    def read_wrapped(self, data: bytes) -> Readable:
        """Return an object from its envelope. Raises MisfitError as `read` does."""
        return _built(self._build_wrapped, parse(self._wrapped, contents(data)).raw)


def _built(build: Callable[[Parsed], Readable], message: Parsed) -> Readable:
    try:
        return build(message)
    except (ValueError, OverflowError, OSError) as exc:  # what `fromtimestamp` raises
        raise MisfitError(str(exc)) from exc


def has_schema(kind: str) -> bool:
    """Return whether objects of that kind can be read."""
    return kind in BUILDERS
