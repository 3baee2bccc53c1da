"""Which layers of images are known, and which image's run is analysing one: each once, by one run.

A run leases all layers that it will analyse in one step, or none: then it ends, and is woken when
the run ends that holds what it needs. Manifests are kept for that time, so that nobody reads them
twice; configurations never are, for they hold the image's environment.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from redis import Redis

from common.model.errors import DamagedImageError
from common.model.key import ImageKey
from common.state.names import DOCUMENTS_TTL_S, LAYER_TTL_S, Names
from common.state.readable import UNREADABLE, inflate
from common.state.scripts import Scripts

# Docker stops at 127. A manifest that names more than this was made to keep Redis busy.
MOST_LAYERS = 1_000
_DOCUMENTS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """Nobody else analyses one of the layers until the run ends."""

    contents: Mapping[str, str]  # by digest, what a layer is known to unpack to


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Another run holds at least one of the layers; its end wakes the key."""

    by: str  # wire form of that run's image


Lease: TypeAlias = Leased | Held


class LayerTable:
    """The layers of one cluster. Thread-safe."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._own = names.own

    def lease(
        self, key: ImageKey, token: int, digests: Sequence[str], *, lost: bool = False
    ) -> Lease:
        """Lease those of the layers that nobody has analysed; all of them or none.

        `token` is of the claim that runs `key`: the leases end with it, if not by `done` or `free`.
        `lost`: the match server lost the image's layers, so none counts as analysed.
        Raises DamagedImageError for more layers than any image has.
        """
        distinct = list(dict.fromkeys(digests))
        if len(distinct) > MOST_LAYERS:
            raise DamagedImageError(
                f"the manifest names {len(distinct)} layers; the limit is {MOST_LAYERS}"
            )
        holder, *rest = self._run("lease", key, token, distinct, lost=lost, keep_s=LAYER_TTL_S)
        if holder:
            return Held(by=holder.decode())
        known = zip(distinct, rest[0], strict=True)
        return Leased(contents={digest: one.decode() for digest, one in known if one})

    def done(self, key: ImageKey, token: int, contents: Mapping[str, str]) -> None:
        """Say that the match server has the layers; wake who waits for one of them.

        `contents`: by digest, what the layer was seen to unpack to; empty where nobody looked.
        """
        self._run(
            "done",
            key,
            token,
            list(contents),
            contents=list(contents.values()),
            keep_s=LAYER_TTL_S,
        )

    def free(self, key: ImageKey, token: int, digests: Sequence[str]) -> None:
        """End the run's leases of the layers; wake who waits for one of them."""
        self._run("free", key, token, list(digests))

    def documents(self, key: ImageKey) -> tuple[bytes, ...]:
        """Return what an earlier run of the image read; empty: nothing, or it is too long ago."""
        with self._scripts.reading() as redis:
            found = redis.get(self._own(f"documents:{key}"))
        with contextlib.suppress(zlib.error, *UNREADABLE):
            if found is not None:
                return msgspec.msgpack.decode(inflate(found), type=tuple[bytes, ...])
        return ()

    def keep(self, key: ImageKey, documents: Sequence[bytes]) -> None:
        """Keep indexes and manifest of an image until it is analysed, for an hour at most."""
        packed = zlib.compress(msgspec.msgpack.encode(documents), 1)
        if len(packed) <= _DOCUMENTS_BYTES:
            with self._scripts.reading() as redis:
                redis.set(self._own(f"documents:{key}"), packed, ex=DOCUMENTS_TTL_S)

    def _run(
        self, op: str, key: ImageKey, token: int, digests: Sequence[str], **more: object
    ) -> Any:  # noqa: ANN401 # whatever the script's header says
        payload = {
            "op": op,
            "key": str(key),
            "token": str(token),
            "options": key.options,
            "digests": digests,
            **more,
        }
        return self._scripts.run("layers", payload, repeatable=True)
