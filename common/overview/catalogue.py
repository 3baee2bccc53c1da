"""Every image with what is known of it, to be looked through a page at a time.

Read from Redis when somebody asks for images: 1,000 of them with 10,000 uses take 100 ms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from common.model.brief import Called
from common.model.image import ImageState
from common.model.key import ImageKey
from common.overview.ages import since
from common.overview.view import Document

_AT_ONCE = 200  # images in one call: a millisecond of Redis, and some 100 KB of uses
_REFERENCES = 10  # of one image in JSON; a digest has one or two names

# What an image is now, what needs somebody's eyes first.
STATES = ("failed", "failing", "missing", "waiting", "scanned")


class Images(Protocol):
    """The image table."""

    def keys(self) -> list[ImageKey]:
        """Return every image."""

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        """Return what is on record about each."""


class Briefs(Protocol):
    """The same records, as pages read them."""

    def called(self, keys: Sequence[ImageKey]) -> list[Called]:
        """Return what each is called."""


class Known(NamedTuple):
    """One image."""

    key: ImageKey
    state: str  # of `STATES`
    users: int
    references: tuple[str, ...]
    verified_at: float | None
    database: str

    @property
    def shown(self) -> str:
        """What it is called first, or its digest."""
        return self.references[0] if self.references else self.key.digest

    def document(self, *, now_s: float) -> Document:
        """Return what JSON shows."""
        return {
            "key": str(self.key),
            "digest": self.key.digest,
            "platform": self.key.platform,
            "options": self.key.options,
            "references": self.references[:_REFERENCES],
            "users": self.users,
            "state": self.state,
            "verified_age_s": since(self.verified_at, now_s=now_s),
            "database": self.database or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All images at one instant, in the order in which they need somebody's eyes."""

    images: Sequence[Known]

    def chosen(
        self, *, text: str = "", state: str = "", start: int = 0, limit: int
    ) -> tuple[Sequence[Known], Mapping[str, int]]:
        """Return a page of those that are meant; and how many would be, by state."""
        wanted = text.lower()
        near = [one for one in self.images if not wanted or _has(one, wanted)]
        found = [one for one in near if not state or one.state == state]
        return found[start : start + limit], dict(Counter(one.state for one in near))


def catalogue(images: Images, briefs: Briefs) -> Catalogue:
    """Return all images. Raises SluiceError."""
    return Catalogue(images=sorted(catalogue_of(images, briefs, images.keys()), key=_rank))


def catalogue_of(images: Images, briefs: Briefs, keys: Iterable[ImageKey]) -> list[Known]:
    """Return these images, each once, in the order given. Raises SluiceError."""
    distinct, found = list(dict.fromkeys(keys)), []
    for at in range(0, len(distinct), _AT_ONCE):
        part = distinct[at : at + _AT_ONCE]
        found += _known(images.states(part), briefs.called(part))
    return found


def state_of(image: ImageState) -> str:
    """Return what an image is now, of `STATES`."""
    if image.has_inventory and image.has_match:
        return "failing" if image.fails else "scanned"
    if image.fails:
        return "failed"
    return "waiting" if image.image_queued or image.match_queued else "missing"


def _known(states: Iterable[ImageState], called: Iterable[Called]) -> list[Known]:
    return [
        Known(
            key=state.key,
            state=state_of(state),
            users=names.users,
            references=names.references,
            verified_at=state.verified_at,
            database=state.database,
        )
        for state, names in zip(states, called, strict=True)
    ]


def _has(one: Known, wanted: str) -> bool:
    if wanted in one.key.digest:
        return True
    return any(wanted in reference.lower() for reference in one.references)


def _rank(one: Known) -> tuple[int, str, ImageKey]:
    return STATES.index(one.state), one.shown, one.key
