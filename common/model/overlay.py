"""Settings that come from trivy-operator's ConfigMaps: what stands over the defaults. Pure values.

Never a secret: keys that may hold one are not read, and Secrets reach us as mounted files alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.model.canonical import content_hash


class Entry(msgspec.Struct, frozen=True):
    """One setting's text, and where it comes from."""

    name: str
    text: str
    source: str  # ConfigMap and key, in words


class BadKey(msgspec.Struct, frozen=True):
    """What is wrong in a ConfigMap, where, and what to do about it."""

    source: str
    said: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.source} {self.said}; {self.remedy}"


class Overlay(msgspec.Struct, frozen=True):
    """What the ConfigMaps say, as the watcher that leads publishes it."""

    entries: tuple[Entry, ...] = ()
    faults: tuple[BadKey, ...] = ()
    kept: bool = False  # True: while there are faults, these are the entries of before
    notices: tuple[str, ...] = ()  # what has no effect, and why

    @property
    def digest(self) -> str:
        """Return the hash of what the entries say; where they come from does not count."""
        return content_hash({entry.name: entry.text for entry in self.entries})

    def digest_of(self, names: Iterable[str]) -> str:
        """Return the same of some settings alone."""
        chosen = frozenset(names)
        return Overlay(entries=tuple(each for each in self.entries if each.name in chosen)).digest

    @property
    def holds_meanwhile(self) -> str:
        """Say what counts while there are faults."""
        return (
            "the settings of before hold until then"
            if self.kept
            else "the keys that are wrong count as not set until then"
        )


EMPTY = Overlay()
_decoder = msgspec.json.Decoder(Overlay)


def encode_overlay(overlay: Overlay) -> bytes:
    """Return it as it is stored."""
    return msgspec.json.encode(overlay)


def decode_overlay(data: bytes) -> Overlay:
    """Return what was stored. Raises msgspec.MsgspecError, or UnicodeDecodeError, for garbage."""
    return _decoder.decode(data)
