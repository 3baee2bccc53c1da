"""Which of the pools that a worker can be told to serve this version really serves. Pure.

`SLUICE_WORKER_POOLS` takes every name of the interface, so that one chart fits versions that serve
more; what is not served yet is told, not passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.model.errors import PreconditionError

SERVED = ("reconcile", "scan", "rematch", "match")


def served_pools(chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the pools of `chosen` that are served, in order.

    Raises PreconditionError, naming the remedy, when there is none: the process would sit idle.
    """
    served = tuple(pool for pool in chosen if pool in SERVED)
    if not served:
        known = ", ".join(chosen)
        said = f"is {known} alone, which nothing serves in this version" if chosen else "is empty"
        raise PreconditionError(
            f"SLUICE_WORKER_POOLS {said}; set it, or --pool, to one or more of {', '.join(SERVED)}"
        )
    return served


def queue_pools(chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the queue's own pools that a worker of those serves.

    Whoever scans matches too, so that no cluster is without: it has all that this needs.
    """
    wanted = {"rematch" if pool == "scan" else pool for pool in chosen} | set(chosen)
    return tuple(pool for pool in ("reconcile", "scan", "rematch") if pool in wanted)


def pool_warnings(chosen: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence for the log per pool that is known but not served."""
    return tuple(
        f"SLUICE_WORKER_POOLS has {pool}, which nothing serves in this version: this worker serves "
        "its other pools, and no key ever waits in that one"
        for pool in chosen
        if pool not in SERVED
    )
