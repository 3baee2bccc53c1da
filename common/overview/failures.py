"""Which keys fail, with reason and next try: a look at the parked keys and at the backoffs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from common.model.image import ImageUse
from common.model.key import ImageKey, image_of
from common.queue.contract import Entry

# Enough to see what is wrong, few enough for a refresh every two seconds: each costs round trips.
LOOKED_AT = 20


class Queue(Protocol):
    """The work queue."""

    def ls(self, state: str, limit: int) -> list[Entry]:
        """Return the keys of a state, next ones first."""


class Uses(Protocol):
    """The image table."""

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return who uses an image."""


def failures(
    queue: Queue,
    images: Uses,
    *,
    state: Literal["parked", "delayed"],
    limit: int,
    now_s: float,
) -> list[dict[str, Any]]:
    """Return the first `limit` keys of a state that failed, as `status --json` shows them.

    What is delayed for another reason (it waits for a kubelet) is no failure.
    """
    entries = [entry for entry in queue.ls(state, limit) if entry.failed]
    return [_failure(entry, _uses(entry, images), now_s) for entry in entries]


def _uses(entry: Entry, images: Uses) -> list[ImageUse]:
    image = image_of(entry.key)
    return images.uses(image) if image is not None else []


def _failure(entry: Entry, uses: Sequence[ImageUse], now_s: float) -> dict[str, Any]:
    shown = {
        "key": str(entry.key),
        "state": entry.state,
        "reason": entry.reason,
        "message": entry.message,
        "attempts": entry.attempts,
        "class": entry.error_class,
        "source": entry.source,
        "due_in_s": round(max(0.0, entry.due_s - now_s), 3) if entry.due_s else None,
    }
    if image_of(entry.key) is not None:
        shown["reference"] = uses[0].reference if uses else ""
        shown["users"] = len(uses)
    return shown
