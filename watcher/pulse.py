"""Time and chance, as the watcher's running parts are given them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Where seconds and dice come from."""

    monotonic: Callable[[], float]  # seconds; only differences mean something
    draw: Callable[[], float]  # in [0, 1)
