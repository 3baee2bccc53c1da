"""Image records, and who uses them: looked up and registered for in one step.

Inventory and match are compressed JSON; the failure stands beside them, so that a refresh that
fails takes nothing away.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog
from redis import Redis

from common.model.image import (
    Failure,
    ImageRecord,
    ImageState,
    ImageUse,
    Inventory,
    Layers,
    Match,
)
from common.model.key import ImageKey, RowKey, WorkloadKey
from common.state.names import IDENTITY_TTL_S, Names
from common.state.readable import UNREADABLE, inflate, key_of, text_of
from common.state.scripts import Scripts
from common.state.settled import SettledRow, decode_settled
from common.state.stored_bom import numbered, spelled

# zlib's levels, by a Debian of 719 packages and 300 findings, 680 and 205 KB of JSON. The inventory
# is packed once in its life: 67 KB at level 1 (3 ms), 58 at 4 (3.3 ms), 50 at 6 (5.4 ms), 49 at 9
# (18 ms), all before its references were numbered. The match comes with each database, thousands at
# a time: 29 KB at level 1 (0.7 ms), 25 at 4 (1.1 ms), 23 at 6 (1.9 ms). Unpacking takes 1 ms.
_INVENTORY_LEVEL, _MATCH_LEVEL = 6, 4

_inventory = msgspec.json.Decoder(Inventory)
_match = msgspec.json.Decoder(Match)
_layers = msgspec.json.Decoder(Layers)  # reads it out of an inventory too
_failure = msgspec.json.Decoder(Failure)
_use = msgspec.json.Decoder(ImageUse)

# Of a record: each part, and the hash that tells whether it changed.
_FIELDS = (("inv", "ih", "layers"), ("match", "fh", "db", "seen", "ver"), ("fail",))

T = TypeVar("T")
_log = structlog.get_logger()


def pack(part: Inventory | Match) -> bytes:
    """Return the stored form of an inventory or a match."""
    if isinstance(part, Match):
        return zlib.compress(msgspec.json.encode(part), _MATCH_LEVEL)
    if part.sbom is not None:
        part = msgspec.structs.replace(part, sbom=numbered(part.sbom))
    return zlib.compress(msgspec.json.encode(part), _INVENTORY_LEVEL)


def _unpack_inventory(stored: bytes) -> Inventory:
    part = _inventory.decode(inflate(stored))
    if part.sbom is None:
        return part
    return msgspec.structs.replace(part, sbom=spelled(part.sbom))


def unpack_record(
    inventory: bytes, match: bytes, failure: bytes, verified: bytes = b""
) -> ImageRecord:
    """Return the record of its stored parts; empty: absent, and so is what cannot be read.

    A newer version's, before a rollback, or by hand: the next run of the image writes it anew.
    """
    return ImageRecord(
        inventory=_part(lambda: _unpack_inventory(inventory), inventory),
        match=_part(lambda: _match.decode(inflate(match)), match),
        failure=_part(lambda: _failure.decode(failure), failure),
        verified_at=_time(verified),
    )


def _time(stored: bytes) -> float | None:
    """Return Unix seconds; None for what is absent or no time."""
    try:
        at = float(stored)
    except ValueError:
        return None
    return at if math.isfinite(at) else None


def _part(decode: Callable[[], T], data: bytes) -> T | None:
    if data:
        with contextlib.suppress(*UNREADABLE, zlib.error):
            return decode()
    return None


def _unreadable(record: ImageRecord, parts: Sequence[bytes]) -> list[str]:
    """Return the fields of the record that hold what cannot be read, with the hashes of it."""
    readable = (record.inventory, record.match, record.failure)
    bad = [at for at, part in enumerate(readable) if parts[at] and part is None]
    return [name for at in bad for name in _FIELDS[at]]


class Looked(NamedTuple):
    """What a look-up found."""

    record: ImageRecord
    key: ImageKey  # under which it stands


def distinct_images(
    found: Iterable[tuple[ImageKey, Looked]],
) -> dict[ImageKey, tuple[ImageKey, ImageRecord]]:
    """Return by where it stands what was found under each key; of several keys, under the first."""
    distinct: dict[ImageKey, tuple[ImageKey, ImageRecord]] = {}
    for key, looked in found:
        distinct.setdefault(looked.key, (key, looked.record))
    return distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What a match needs to know about an image: a hundredth of its record."""

    layers: Layers | None  # None: no inventory
    inventory_hash: str
    findings_hash: str  # of the stored match; empty: there is none
    used: bool  # whether any workload uses it


class ImageTable:
    """What is known about images, and which workload uses which."""

    def __init__(self, redis: Redis, names: Names, *, details: Collection[str] = ()) -> None:
        """`details`: which of `DETAILS` a look-up needs; a match that lacks one is made again."""
        self._scripts = Scripts(redis, names)
        self._own = names.own
        self._details = frozenset(details)

    def lookup(self, use: ImageUse, keys: Sequence[ImageKey]) -> list[ImageRecord]:
        """Return a record per key and register `use.workload` as its user, atomically.

        A key without a complete record is added to the queue (fresh), and the workload is woken
        when its run ends. With a failure on record, that happens only when this use differs from
        the workload's last one: another reference or pull secret may succeed.
        """
        return [found.record for found in self.lookup_uses([(use, key) for key in keys])]

    def lookup_uses(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        """Look up images that one workload names in different ways; see `lookup`.

        A key that names the same image as another one (see `identities`) is used under that one,
        which is told. Raises ValueError when the uses are of several workloads.
        """
        return self._lookup(uses, quiet=False)

    def follow(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        """Look up images and be woken when they land or change, without asking for any of them.

        For who cannot pull: the workloads that run an image do, and they ask for it.
        """
        return self._lookup(uses, quiet=True)

    def _lookup(self, uses: Sequence[tuple[ImageUse, ImageKey]], *, quiet: bool) -> list[Looked]:
        if not uses:
            return []
        workloads = {use.workload for use, _ in uses}
        if len(workloads) != 1:
            raise ValueError(f"one workload a look-up, not {len(workloads)}")
        # A workload is one user of an image, however many containers run it: the first counts,
        # and the record comes once. A Pod may have a thousand of them.
        first: dict[ImageKey, ImageUse] = {}
        for use, key in uses:
            first.setdefault(key, use)
        payload = {
            "workload": workloads.pop(),
            "keys": [str(key) for key in first],
            "uses": [msgspec.json.encode(use).decode() for use in first.values()],
            "quiet": quiet,
            "keep_s": IDENTITY_TTL_S,
        }
        asked = list(first)
        found = self._looked(asked, self._scripts.run("lookup", payload, repeatable=True))
        forgotten = [
            self._forget(one.key, fields)
            for one, parts in found
            if (fields := self._of_no_use(one.record, parts))
        ]
        if forgotten:  # once more: now those images are queued, and the workload waits for them
            found = self._looked(asked, self._scripts.run("lookup", payload, repeatable=True))
        known = dict(zip(asked, (one for one, _ in found), strict=True))
        return [known[key] for _, key in uses]

    def _of_no_use(self, record: ImageRecord, parts: Sequence[bytes]) -> list[str]:
        """Return the fields of the record that hold what cannot be used, with their hashes."""
        match = record.match
        thin = match is not None and not self._details.isdisjoint(match.lacks)
        return _unreadable(record, parts) or (list(_FIELDS[1]) if thin else [])

    @staticmethod
    def _looked(
        asked: Sequence[ImageKey], answer: Iterable[Sequence[bytes]]
    ) -> list[tuple[Looked, Sequence[bytes]]]:
        """Return what the script answered, and its parts."""
        found: list[tuple[Looked, Sequence[bytes]]] = []
        for key, (*parts, text) in zip(asked, answer, strict=True):
            home = key_of(text)
            at = home if isinstance(home, ImageKey) else key
            found.append((Looked(record=unpack_record(*parts), key=at), parts))
        return found

    def _forget(self, key: ImageKey, fields: Sequence[str]) -> ImageKey:
        """Delete what cannot be used, or the script would take the record for complete.

        It is another version's, or by hand, or a match from before a setting asked for more. The
        image's next run makes it anew, without a pull where the layers are known.
        """
        _log.warning("forgets what it cannot use", image=str(key), fields=fields)
        with self._scripts.reading() as redis:
            redis.hdel(self._own(f"image:{key}"), *fields)
        return key

    def get(self, key: ImageKey) -> ImageRecord:
        """Return what is known, which may be nothing."""
        with self._scripts.reading() as redis:
            parts = redis.hmget(self._own(f"image:{key}"), ["inv", "match", "fail", "ver"])
        return unpack_record(*(part or b"" for part in parts))

    def stocks(self, keys: Sequence[ImageKey]) -> list[Stock]:
        """Return what is to be matched; one round trip, and one for each older version's record.

        What cannot be read counts as absent: it must not stop the others.
        """
        with self._scripts.pipeline() as pipe:
            for key in keys:
                pipe.hmget(self._own(f"image:{key}"), ["layers", "ih", "fh"])
                pipe.exists(self._own(f"users:{key}"))
            found = pipe.execute(raise_on_error=False)
        return [
            self._stock(key, fields if isinstance(fields, list) else [None] * 3, used=users == 1)
            for key, fields, users in zip(keys, found[0::2], found[1::2], strict=True)
        ]

    def _stock(self, key: ImageKey, fields: Sequence[bytes | None], *, used: bool) -> Stock:
        layers, inventory_hash, findings_hash = (field or b"" for field in fields)
        known = _part(lambda: _layers.decode(layers), layers)
        if known is None and inventory_hash:
            known = self._old_layers(key)
        return Stock(
            layers=known,
            inventory_hash=text_of(inventory_hash),
            findings_hash=text_of(findings_hash),
            used=used,
        )

    def _old_layers(self, key: ImageKey) -> Layers | None:
        """Return them out of an inventory that was stored without them."""
        with self._scripts.reading() as redis:
            stored = redis.hget(self._own(f"image:{key}"), "inv") or b""
        return _part(lambda: _layers.decode(inflate(stored)), stored)

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return how workloads name the image, ordered by workload."""
        with self._scripts.reading() as redis:
            found = redis.hgetall(self._own(f"users:{key}"))
        uses = []
        for workload in sorted(found):
            with contextlib.suppress(*UNREADABLE):  # a newer version's, or by hand
                uses.append(_use.decode(found[workload]))
        return uses

    def used_by(self, workload: WorkloadKey) -> list[ImageKey]:
        """Return the images that a workload uses, in the order of their keys; one round trip."""
        with self._scripts.reading() as redis:
            texts = redis.smembers(self._own(f"uses:{workload}"))
        return _image_keys(sorted(texts))

    def keys(self) -> list[ImageKey]:
        """Return every image that has a record or a user, the longest unused first."""
        with self._scripts.reading() as redis:
            texts = redis.zrange(self._own("images"), 0, -1)
        return _image_keys(texts)

    def walk(self, size: int) -> Iterator[ImageKey]:
        """Yield every image that has a record or a user, while others change; some of them twice.

        `size`: about as many as one call of Redis may read.
        """
        cursor = 0
        while True:
            with self._scripts.reading() as redis:
                cursor, found = redis.zscan(self._own("images"), cursor, count=size)
            yield from _image_keys(text for text, _ in found)
            if cursor == 0:
                return

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        """Return what is on record about each, and whether the queue holds it, at one instant."""
        found = self._scripts.run("images", {"keys": [str(key) for key in keys]}, repeatable=True)
        return [_state(key, parts) for key, parts in zip(keys, found, strict=True)]

    def verified(self, size: int = 500) -> Iterator[float | None]:
        """Yield when each image in use was verified, as in `ImageRecord`; `size`: as in `walk`."""
        keys = iter(dict.fromkeys(self.walk(size)))
        while part := list(islice(keys, size)):
            with self._scripts.pipeline() as pipe:
                for key in part:
                    pipe.exists(self._own(f"users:{key}"))
                    pipe.hget(self._own(f"image:{key}"), "ver")
                found = pipe.execute()
            for used, at in zip(found[0::2], found[1::2], strict=True):
                if used:
                    yield _time(at or b"")

    def release(self, workload: RowKey, keep: Collection[ImageKey] = ()) -> int:
        """End the workload's uses of all other images; return how many there were."""
        payload = {"workload": str(workload), "keep": [str(key) for key in keep]}
        return int(self._scripts.run("release", payload, repeatable=True))

    def await_settled(self, successor: RowKey, waiter: RowKey) -> SettledRow | None:
        """Return what `successor` settled if it converged; else wake `waiter` when its run ends."""
        payload = {"successor": str(successor), "waiter": str(waiter)}
        row = self._scripts.run("await", payload, repeatable=True)
        return decode_settled(row) if row else None


def _state(key: ImageKey, parts: Sequence[Any]) -> ImageState:
    used, inventory, match, fails, database, verified, image_queued, match_queued = parts
    return ImageState(
        key=key,
        used=bool(used),
        has_inventory=bool(inventory),
        has_match=bool(match),
        fails=bool(fails),
        database=database.decode(errors="replace"),
        verified_at=_time(verified),
        image_queued=bool(image_queued),
        match_queued=bool(match_queued),
    )


def _image_keys(texts: Iterable[bytes]) -> list[ImageKey]:
    keys = (key_of(text) for text in texts)
    return [key for key in keys if isinstance(key, ImageKey)]
