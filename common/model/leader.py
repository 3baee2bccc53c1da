"""The watcher that leads, as it is known from its signs of life. Pure values."""

from __future__ import annotations

from typing import NamedTuple


class Leader(NamedTuple):
    """The watcher that led last."""

    holder: str
    since_s: float  # how long ago its term began
    heard_s: float  # how long ago it was heard last
