"""Counts what runs did besides ending, between a reconciler and its loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common.model.facts import Fact
from common.queue.contract import Claim, Finished


class Counters(Protocol):
    """Whoever counts facts."""

    def count(self, facts: tuple[Fact, ...]) -> None:
        """Count them."""


def counted(
    reconcile: Callable[[Claim], Finished], counters: Counters
) -> Callable[[Claim], Finished]:
    """Return `reconcile`, with the facts of every run counted."""

    def run(claim: Claim) -> Finished:
        finished = reconcile(claim)
        counters.count(tuple(finished.facts))
        return finished

    return run
