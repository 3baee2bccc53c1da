"""What trivy-operator's ConfigMaps say: published by the watcher that leads, followed by workers.

One reads them, so that all work with the same, and nobody else needs a right to them. It is also
what holds on while they say something wrong.
"""

from __future__ import annotations

from redis import Redis
from redis.exceptions import ResponseError

from common.model.errors import StaleFenceError
from common.model.overlay import Overlay, decode_overlay, encode_overlay
from common.state.names import Names
from common.state.readable import UNREADABLE, text_of
from common.state.scripts import Scripts


class OverlayTable:
    """One row. What somebody else wrote there counts as none."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("overlay")

    def publish(self, overlay: Overlay, *, fence: int) -> None:
        """Store it; raises StaleFenceError when another watcher leads."""
        payload = {
            "key": self._name,
            "digest": overlay.digest,
            "overlay": encode_overlay(overlay).decode(),
            "fence": fence,
        }
        if not self._scripts.run("overlay", payload, repeatable=True):
            raise StaleFenceError(f"fence {fence} is not the highest any more: another one leads")

    def digest(self) -> str:
        """Return the digest of what is published; empty: nothing is."""
        return text_of(self._field("digest"))

    def current(self) -> Overlay | None:
        """Return what is published; None: nothing is, or nothing that can be read."""
        data = self._field("overlay")
        try:
            return decode_overlay(data) if data is not None else None
        except UNREADABLE:
            return None

    def _field(self, name: str) -> bytes | None:
        with self._scripts.reading() as redis:
            try:
                found: bytes | None = redis.hget(self._name, name)
            except ResponseError as exc:
                if "WRONGTYPE" in str(exc):
                    return None
                raise
        return found
