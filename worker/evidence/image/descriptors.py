"""Waiting on file descriptors, however many a process holds (select() stops at 1024)."""

from __future__ import annotations

import select
from collections.abc import Sequence


def readable(descriptors: Sequence[int], timeout_s: float | None) -> set[int]:
    """Return which of them can be read, or were closed by the other side, within the time.

    None waits for ever; 0 only looks.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    timeout_ms = None if timeout_s is None else max(0.0, timeout_s) * 1000
    return {descriptor for descriptor, _ in poll.poll(timeout_ms)}
