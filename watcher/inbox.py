"""Takes changes from the informers' queue in batches: a burst together, a lone one at once."""

from __future__ import annotations

import contextlib
import queue

from watcher.stream.change import Change

# A batch of this size is full; there may be more.
BATCH_CHANGES = 256


def take_batch(inbox: queue.Queue[Change], *, wait_s: float) -> list[Change]:
    """Return what is there, in order, 256 changes at most; empty when nothing comes for `wait_s`.

    Nothing is waited for after the first: who takes the next batch a while later finds a burst in
    it, and was not woken for every change.
    """
    batch: list[Change] = []
    with contextlib.suppress(queue.Empty):
        batch.append(inbox.get(timeout=wait_s) if wait_s > 0 else inbox.get_nowait())
        while len(batch) < BATCH_CHANGES:
            batch.append(inbox.get_nowait())
    return batch
