"""Makes an image's findings true under the database in use, without ever touching a registry.

A database update asks for thousands of these at once, milliseconds each: what a loop has claimed is
read and matched in slices, by one look at the records and one look at the server's version.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from common.model.errors import (
    DatabaseNotReadyError,
    LayerCacheMissingError,
    SluiceError,
)
from common.model.facts import Fact
from common.model.image import Match
from common.model.key import ImageKey, MatchKey
from common.queue.contract import Claim, Failed, Finished, Handed, ImageUpdate, Settled, Waiting
from common.state.images import Stock
from worker.batch import batch_for
from worker.evidence.image.match import BatchMatcher

# As many at once as keep a server of a few cores busy; one more image costs a slice little.
_LEAST = 4
_MOST = 32


class Stocks(Protocol):
    """The image table."""

    def stocks(self, keys: Sequence[ImageKey]) -> list[Stock]:
        """Return what is to be matched."""


_Result: TypeAlias = tuple[Stock, Match | SluiceError | None]  # None: nothing is to be matched


class _Slices(threading.local):
    """What one loop was told to expect, and what is known of it already."""

    def __init__(self) -> None:
        self.ahead: tuple[Claim, ...] = ()
        self.results: dict[int, _Result] = {}  # by token
        self.mean_s = 0.0  # of one match, lately

    def take(self, claim: Claim) -> tuple[Claim, ...]:
        """Return the claim and those that follow it, about as many as last a moment."""
        tokens = [one.token for one in self.ahead]
        if claim.token not in tokens:
            return (claim,)
        at = tokens.index(claim.token)
        return self.ahead[at : at + max(_LEAST, batch_for(self.mean_s, _MOST))]


@dataclass(frozen=True, slots=True, kw_only=True)
class RematchReconciler:
    """Reconciles match keys. Thread-safe as far as its ports are.

    A failure stays with the key: the image's record still holds what was true under the database
    before, and reports say which one that was.
    """

    records: Stocks
    matcher: BatchMatcher
    decide: Callable[[SluiceError, Claim], Failed]
    epoch: Callable[[], int]
    _slices: _Slices = field(default_factory=_Slices)

    def ahead(self, claims: Sequence[Claim]) -> None:
        """Say which runs come next in this thread; any of them may not come."""
        self._slices.ahead = tuple(claims)
        self._slices.results = {}

    def __call__(self, claim: Claim) -> Finished:
        """Run one claim to its end."""
        key = claim.key
        if not isinstance(key, MatchKey):
            raise TypeError(f"not a match key: {key}")
        try:
            stock, found = self._result(claim)
        except DatabaseNotReadyError:
            return Finished(outcome=Waiting(on="cluster/database"))  # it queues every image
        except SluiceError as error:
            return Finished(outcome=self.decide(error, claim))
        match found:
            case None:
                return Finished(outcome=self._rest("Unused" if stock.layers else "NoInventory"))
            case LayerCacheMissingError():
                # The match server lost its volume. The image's own run finds that out too, and
                # analyses the layers again; what is on record stays until it has.
                return Finished(outcome=Handed(to=key.image, reason=found.reason))
            case SluiceError():
                return Finished(outcome=self.decide(found, claim))
            case _:
                return self._matched(key, stock, found)

    def _result(self, claim: Claim) -> _Result:
        """Return the claim's result; match a slice of what comes next if it is not known yet."""
        slices = self._slices
        if claim.token not in slices.results:
            claims, began_s = slices.take(claim), time.monotonic()
            slices.results = self._matches(claims)
            slices.mean_s = (time.monotonic() - began_s) / len(claims)
        return slices.results.pop(claim.token)

    def _matches(self, claims: Sequence[Claim]) -> dict[int, _Result]:
        """Read and match; what is wrong with the server is raised, and concerns the first alone."""
        keys = [claim.key.image for claim in claims if isinstance(claim.key, MatchKey)]
        stocks = self.records.stocks(keys)
        wanted = [stock.layers for stock in stocks if stock.layers is not None and stock.used]
        found = iter(self.matcher.match_many(wanted) if wanted else ())
        return {
            claim.token: (stock, next(found) if stock.layers is not None and stock.used else None)
            for claim, stock in zip(claims, stocks, strict=True)
        }

    def _matched(self, key: MatchKey, stock: Stock, found: Match) -> Finished:
        data = {
            "db_version": found.db_version,
            "findings": len(found.findings),
            "changed": stock.findings_hash != found.findings_hash,
        }
        fact = Fact(kind="matched", key=str(key.image), data=data)
        update = ImageUpdate(match=found, of=stock.inventory_hash)
        outcome = Settled(fingerprint="", epoch=self.epoch(), outcome="Converged", image=update)
        return Finished(outcome=outcome, facts=(fact,))

    def _rest(self, why: str) -> Settled:
        return Settled(fingerprint="", epoch=self.epoch(), outcome=f"Rest:{why}")
