"""As much of image records as pages tell, read without building the rest.

A whole SBOM takes ten times its size as objects; pages are drawn by the watcher, which is small. So
nothing is built of what is not told, one record is unpacked at a time, and one that is larger than
16 MB (20,000 packages or findings) is told to be too large.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from redis import Redis

from common.model.brief import Brief, BriefFinding, BriefInventory, Called
from common.model.image import Failure
from common.model.key import ImageKey
from common.state.names import Names
from common.state.readable import UNREADABLE, inflate, text_of
from common.state.scripts import Scripts

_MOST_BYTES = 16 * 1024 * 1024

T = TypeVar("T")


class _Use(msgspec.Struct, frozen=True):
    reference: str = ""


class _Match(msgspec.Struct, frozen=True):
    findings: tuple[BriefFinding, ...]


_use = msgspec.json.Decoder(_Use)
_match = msgspec.json.Decoder(_Match)
_inventory = msgspec.json.Decoder(BriefInventory)
_failure = msgspec.json.Decoder(Failure)


class BriefTable:
    """Reads image records for pages. Thread-safe."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._own = names.own
        self._unpacking = threading.Lock()

    def called(self, keys: Sequence[ImageKey]) -> list[Called]:
        """Return how many workloads use each image, and what they call it; one round trip."""
        with self._scripts.pipeline() as pipe:
            for key in keys:
                pipe.hgetall(self._own(f"users:{key}"))
            found = pipe.execute(raise_on_error=False)
        return [_called([*uses.values()] if isinstance(uses, dict) else []) for uses in found]

    def findings(
        self, keys: Sequence[ImageKey], vulnerability: str
    ) -> list[Sequence[BriefFinding] | None]:
        """Return what is known of one vulnerability in each image; one round trip.

        Most images do not have it, and are told by a look for its name: nothing of theirs is
        built. None: what is on record cannot be read, or is too large.
        """
        name = f'"{vulnerability}"'.encode()
        with self._scripts.pipeline() as pipe:
            for key in keys:
                pipe.hget(self._own(f"image:{key}"), "match")
            stored = pipe.execute(raise_on_error=False)
        return [self._having(part, name, vulnerability) for part in stored]

    def _having(
        self, stored: object, name: bytes, vulnerability: str
    ) -> Sequence[BriefFinding] | None:
        if stored is None:
            return ()
        if not isinstance(stored, bytes):
            return None
        with self._unpacking:
            content = _read(lambda: inflate(stored, _MOST_BYTES))
            if content is None or name not in content:
                return None if content is None else ()
            match = _read(lambda: _match.decode(content))
        if match is None:
            return None
        return [each for each in match.findings if each.vulnerability_id == vulnerability]

    def brief(self, key: ImageKey) -> Brief:
        """Return what a page tells of one image."""
        with self._scripts.reading() as redis:
            found = redis.hmget(self._own(f"image:{key}"), ["inv", "match", "fail", "ver", "db"])
        inventory, match, failure, verified, database = found
        with self._unpacking:
            taken = _part(inventory, _inventory.decode)
            matched = _part(match, _match.decode)
        at = _read(lambda: float(verified)) if verified else None
        return Brief(
            inventory=taken,
            findings=matched.findings if matched is not None else None,
            failure=_read(lambda: _failure.decode(failure)) if failure else None,
            verified_at=at,
            database=text_of(database),
            unread=bool((inventory and taken is None) or (match and matched is None)),
        )


def _part(stored: bytes | None, decode: Callable[[bytes], T]) -> T | None:
    return _read(lambda: decode(inflate(stored, _MOST_BYTES))) if stored else None


def _read(decode: Callable[[], T]) -> T | None:
    """Return what can be read; None for a newer version's, what is by hand, or too large."""
    with contextlib.suppress(*UNREADABLE, zlib.error):
        return decode()
    return None


def _called(uses: Iterable[bytes]) -> Called:
    names: set[str] = set()
    number = 0
    for use in uses:
        number += 1
        with contextlib.suppress(*UNREADABLE):  # a newer version's, or by hand
            names.add(_use.decode(use).reference)
    return Called(users=number, references=tuple(sorted(names - {""})))
