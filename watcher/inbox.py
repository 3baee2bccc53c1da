"""Takes changes from the informers' queue in batches: a burst together, a lone one at once."""

from __future__ import annotations

import queue
from collections.abc import Callable

from watcher.stream.change import Change

# A batch ends with this many changes, at this age, or when nothing came for a while: a lone change
# must not wait for others, and a burst must not make a call of Redis for every change.
BATCH_CHANGES = 256
_BATCH_S = 0.05
_GAP_S = 0.005


def take_batch(
    inbox: queue.Queue[Change], *, wait_s: float, monotonic: Callable[[], float]
) -> list[Change]:
    """Return the changes of one batch, in order; empty when nothing comes for `wait_s`."""
    try:
        batch = [inbox.get(timeout=wait_s) if wait_s > 0 else inbox.get_nowait()]
    except queue.Empty:
        return []
    ends_at_s = monotonic() + _BATCH_S
    while len(batch) < BATCH_CHANGES:
        left_s = ends_at_s - monotonic()
        try:
            batch.append(inbox.get(timeout=min(_GAP_S, left_s)) if left_s > 0 else _last(inbox))
        except queue.Empty:
            break
    return batch


def _last(inbox: queue.Queue[Change]) -> Change:
    """Return a change that is there already; the batch is old, so nothing is waited for."""
    return inbox.get_nowait()
