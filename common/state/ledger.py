"""The ledger: facts in a bounded stream, and how many of each kind there were."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import orjson
from redis import Redis

from common.model.counts import details_counted, facts_counted
from common.model.facts import Fact, decode_fact
from common.model.key import ImageKey, match_key, try_key
from common.state.names import Names
from common.state.readable import count_of, text_of
from common.state.scripts import Scripts

_PAGE = 1000
_ENTRY = re.compile("[0-9]{1,20}(-[0-9]{1,20})?")
_LAST = 2**64 - 1  # of each half of an entry's id


def packed(facts: Sequence[Fact]) -> list[tuple[str, str, str]]:
    """Return facts as the scripts take them."""
    return [(fact.kind, fact.key, orjson.dumps(dict(fact.data)).decode()) for fact in facts]


def numbers(found: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return the hash `counts` as it is read."""
    return {text_of(field): count_of(number) for field, number in found.items()}


class Ledger:
    """Reads facts, and appends those that no state change carries."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._stream = names.own("ledger")
        self._counts = names.own("counts")

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts with their counters. Redis' clock gives the time; `Fact.at` is ignored."""
        if facts:
            self._scripts.run("append", {"facts": packed(facts)})

    def counts(self) -> dict[str, int]:
        """Return the number of facts of every kind since Redis was last flushed; 0 included."""
        return facts_counted(self._counted())

    def details(self) -> dict[str, dict[str, int]]:
        """Return what is counted beside the facts (`common.model.counts`), 0 included."""
        return details_counted(self._counted())

    def _counted(self) -> dict[str, int]:
        with self._scripts.reading() as redis:
            return numbers(redis.hgetall(self._counts))

    def tail(self, limit: int, before: str | None = None) -> list[tuple[str, Fact]]:
        """Return the newest facts, newest last, each with its id; `before` pages backwards."""
        return self.part(limit, before)[0]

    def part(self, limit: int, before: str | None = None) -> tuple[list[tuple[str, Fact]], str]:
        """Return them with where those before begin; empty: there are none.

        What cannot be read is left out, and ends nothing. A `before` that no entry has is none.
        """
        newest = f"({before}" if before and _is_entry(before) else "+"
        with self._scripts.reading() as redis:
            entries = redis.xrevrange(self._stream, max=newest, count=limit)
        found = ((entry, _readable(entry, fields)) for entry, fields in reversed(entries))
        facts = [(entry.decode(), fact) for entry, fact in found if fact is not None]
        return facts, entries[-1][0].decode() if len(entries) >= limit else ""

    def history(self, key: str, limit: int) -> list[Fact]:
        """Return the newest facts of a key, newest last. Reads back through the whole stream."""
        return [fact for fact in self.story(key, limit) if fact.kind != "circuit"]

    def story(self, key: str, limit: int, *, reach: int | None = None) -> list[Fact]:
        """Return the newest `limit` facts of a key, and what all circuits did since the first.

        In their order, newest last; what an image's matches did is part of its story. Reads back
        through the newest `reach` facts of all keys, or (None) through the whole stream.
        """
        found: list[Fact] = []
        wanted, missing = _tellers(key), limit
        for entry, fields in islice(self._backwards(), reach):
            ours = fields.get(b"key") in wanted
            if (ours or fields.get(b"kind") == b"circuit") and (fact := _readable(entry, fields)):
                found.append(fact)
                missing -= ours
            if missing == 0:
                break
        return found[::-1]

    def _backwards(self) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        newest = "+"
        while True:
            with self._scripts.reading() as redis:
                page = redis.xrevrange(self._stream, max=newest, count=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            newest = f"({page[-1][0].decode()}"


def _is_entry(text: str) -> bool:
    """Whether a stream may have an entry of this id."""
    if _ENTRY.fullmatch(text) is None:
        return False
    parts = [int(part) for part in text.split("-")]
    return any(parts) and max(parts) <= _LAST


def _tellers(text: str) -> frozenset[bytes]:
    """Return the keys whose facts are about the object."""
    key = try_key(text)
    keys = (text, str(match_key(key))) if isinstance(key, ImageKey) else (text,)
    return frozenset(key.encode() for key in keys)


def _readable(entry: bytes, fields: dict[bytes, bytes]) -> Fact | None:
    """Return the fact; None for one of a newer version, which must not hide all the others."""
    try:
        return decode_fact(entry, fields)
    except (ValueError, KeyError):
        return None
