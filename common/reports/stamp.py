"""The stamp: what a report's annotations say about it, so that comparing never fetches a body.

Two annotations. `kube-sluice/content-hash` is `v1:` and the hash of the body as built;
`kube-sluice/stamp` is JSON, wire format v1: what the body was made from, the epoch, the
`metadata.generation` that the write was to give, and what metrics show. A reader ignores fields
that it does not know, so that an older worker still reads a newer epoch and stands back.
Pure, total.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec

from common.model.bounded import EPOCH_LIMIT, TAKEN_UP_EPOCH_LIMIT
from common.model.image import Os
from common.model.key import ImageKey

CONTENT_HASH_ANNOTATION = "kube-sluice/content-hash"
STAMP_ANNOTATION = "kube-sluice/stamp"

# What a hash of another form begins with: it equals no hash that a body has.
UNREADABLE = "?"

_HASH_VERSION = "v1"
_HASH = re.compile(r"v1:([0-9a-f]{32})")


class StampInput(msgspec.Struct, frozen=True, kw_only=True):
    """One image content that went into the report; the fields of its key."""

    digest: str
    platform: str
    options: str

    @classmethod
    def of(cls, key: ImageKey) -> StampInput:
        """Return the input of an image key."""
        return cls(digest=key.digest, platform=key.platform, options=key.options)


class StampArtifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image as the report names it; labels of the findings metrics."""

    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about a stored report without reading its body."""

    content_hash: str  # as `body_hash` gives it; of another form: `?` and the text, equal to none
    epoch: int
    generation: int  # predicted `metadata.generation`; another one: somebody edited the report
    inputs: tuple[StampInput, ...] = ()  # the primary's first
    summary: dict[str, int] = {}  # the report's own summary: criticalCount, componentsCount, …
    artifact: StampArtifact = StampArtifact()
    os: Os = Os()
    covered: bool = True
    db_version: str = ""  # of the vulnerability database at the last write of body or stamp


# Beyond these it is not ours: numbers go on to msgpack (64 bits), to Lua and metrics (2 ** 53).
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Epoch: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=EPOCH_LIMIT)]


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON of `kube-sluice/stamp`."""

    v: _Count
    epoch: _Epoch
    generation: _Count
    inputs: tuple[StampInput, ...] = ()
    summary: dict[str, _Count] = {}
    artifact: StampArtifact | None = None  # None: all empty
    os: Os | None = None  # None: none recognised
    covered: bool = True
    db: str = ""


_decoder = msgspec.json.Decoder(_Wire)


def render(stamp: Stamp) -> dict[str, str]:
    """Return the two annotations."""
    wire = _Wire(
        v=1,
        epoch=stamp.epoch,
        generation=stamp.generation,
        inputs=stamp.inputs,
        summary=stamp.summary,
        artifact=None if stamp.artifact == StampArtifact() else stamp.artifact,
        os=None if stamp.os == Os() else stamp.os,
        covered=stamp.covered,
        db=stamp.db_version,
    )
    return {
        CONTENT_HASH_ANNOTATION: f"{_HASH_VERSION}:{stamp.content_hash}",
        STAMP_ANNOTATION: msgspec.json.encode(wire, order="sorted").decode(),
    }


def is_newer(epoch: int, published: int) -> bool:
    """Return whether a stamp's epoch is a later one than ours, whose reports we leave alone.

    One that a stamp may not raise ours to never becomes ours: such a report would stay for ever.
    """
    return published < epoch <= TAKEN_UP_EPOCH_LIMIT


def parse(annotations: Mapping[str, str]) -> Stamp | None:
    """Return the stamp, or None where there is none that can be read: then the body is not ours."""
    hashed, text = annotations.get(CONTENT_HASH_ANNOTATION), annotations.get(STAMP_ANNOTATION)
    if hashed is None or text is None:
        return None
    try:
        wire = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last: nested without end
        return None
    known = _HASH.fullmatch(hashed)
    return Stamp(
        content_hash=known[1] if known else f"{UNREADABLE}{hashed}",
        epoch=wire.epoch,
        generation=wire.generation,
        inputs=wire.inputs,
        summary=wire.summary,
        artifact=wire.artifact or StampArtifact(),
        os=wire.os or Os(),
        covered=wire.covered,
        db_version=wire.db,
    )
