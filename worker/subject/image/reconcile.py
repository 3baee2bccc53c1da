"""Makes one image's record true: an inventory if there is none, then the match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from common.model.errors import (
    CircuitOpenError,
    DatabaseNotReadyError,
    LayerCacheMissingError,
    NotBegunError,
    SluiceError,
)
from common.model.facts import Fact
from common.model.image import Failure, ImageRecord, ImageUse, Inventory
from common.model.key import ImageKey
from common.queue.contract import (
    After,
    Claim,
    Failed,
    Finished,
    ImageUpdate,
    Outcome,
    Park,
    Retry,
    Settled,
    Waiting,
)
from common.state.layers import Held
from worker.evidence.failures import unnamed
from worker.evidence.image.match import Matcher
from worker.subject.image.once import Elsewhere, Run
from worker.subject.image.plan import (
    Analyse,
    Refresh,
    Rematch,
    Unused,
    attempts,
    has_new_names,
    is_told,
    names_of,
    needs_room,
    plan,
)
from worker.subject.image.pull import Pull, may_fare_better

# How long a run waits for another that analyses layers of its image, if its end wakes nobody: a
# worker that is killed and a Redis that forgets are the only ways to that.
_LAYER_WAIT_S = 30.0


class Records(Protocol):
    """The image table."""

    def get(self, key: ImageKey) -> ImageRecord:
        """Return what is known; an empty record when nothing is."""

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return how workloads name the image."""


@dataclass(slots=True)
class _Progress:
    """What one run has learned so far; a run that fails later must not lose it."""

    uses: tuple[ImageUse, ...] = ()  # that were known when it began
    inventory: Inventory | None = None  # a new one
    facts: list[Fact] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReconciler:
    """Reconciles image keys. Thread-safe as far as its ports are."""

    records: Records
    pull: Pull
    matcher: Matcher
    decide: Callable[[SluiceError, Claim], Failed]
    now_s: Callable[[], float]  # Unix seconds by Redis' clock
    epoch: Callable[[], int]
    is_due: Callable[[ImageKey, Inventory], bool]  # whether a newer Trivy's turn has come

    def __call__(self, claim: Claim) -> Finished:
        """Run one claim to its end; every end leaves a record that tells its reason."""
        key = claim.key
        if not isinstance(key, ImageKey):
            raise TypeError(f"not an image key: {key}")
        record = self.records.get(key)
        done = _Progress()
        try:
            return self._run(claim, key, record, done)
        except DatabaseNotReadyError:
            # Nothing is wrong with the image, and publishing a database queues every image.
            return Finished(outcome=Waiting(on="cluster/database"), facts=tuple(done.facts))
        except NotBegunError as error:
            later = After(delay_s=error.wait_s, reason=error.reason)
            return Finished(outcome=later, facts=tuple(done.facts))
        except SluiceError as error:
            if may_fare_better(error) and self._is_named_anew(key, done):
                again = After(delay_s=0.0, reason="NamedMeanwhile")
                return Finished(outcome=again, facts=tuple(done.facts))
            outcome = self._failed(claim, error, record, inventory=done.inventory)
            return Finished(outcome=outcome, facts=tuple(done.facts))

    def _run(self, claim: Claim, key: ImageKey, record: ImageRecord, done: _Progress) -> Finished:
        uses = self._pulling(key)
        done.uses = uses
        run = Run(key=key, token=claim.token, alone=needs_room(record))
        due = record.inventory is not None and self.is_due(key, record.inventory)
        chosen = plan(record, uses, due=due)
        update: ImageUpdate | Finished
        match chosen:
            case Unused():
                return Finished(outcome=self._settled("Rest:Unused", None))
            case Analyse(attempts=tries):
                update = self._analysed(run, tries, record, done)
            case Rematch(inventory=known):
                try:
                    update = self._match(key, known, record, done)
                except LayerCacheMissingError:
                    # The match server lost its volume: the layers must be analysed again.
                    update = self._analysed(replace(run, lost=True), attempts(uses), record, done)
            case Refresh():
                update = self._refreshed(claim, run, chosen, record, done)
            case _:
                assert_never(chosen)
        if isinstance(update, Finished):
            return update
        return Finished(outcome=self._settled("Converged", update), facts=tuple(done.facts))

    def _pulling(self, key: ImageKey) -> tuple[ImageUse, ...]:
        return tuple(use for use in self.records.uses(key) if use.pulls)

    def _is_named_anew(self, key: ImageKey, done: _Progress) -> bool:
        """Say whether somebody came while it ran who may be let in where nobody was.

        He saw a run under way, and waits for its end: a failure that was none of his.
        """
        return has_new_names(self._pulling(key), than=done.uses)

    def _analysed(
        self, run: Run, tries: tuple[ImageUse, ...], record: ImageRecord, done: _Progress
    ) -> ImageUpdate | Finished:
        """Return a new inventory with its match, or the end of a run that takes none."""
        inventory = self._analyse(run, tries, done)
        if not isinstance(inventory, Inventory):
            return self._put_off(inventory, done)
        return self._match(run.key, inventory, record, done)

    def _refreshed(
        self, claim: Claim, run: Run, chosen: Refresh, record: ImageRecord, done: _Progress
    ) -> ImageUpdate | Finished:
        """Do the same for an image that stays as it is known when that fails.

        The layers as another Trivy knows them: none counts as analysed.
        """
        try:
            inventory = self._analyse(replace(run, lost=True), chosen.attempts, done)
        except NotBegunError:
            raise  # nothing failed; its matches have a key of their own
        except SluiceError as fault:
            return self._not_refreshed(claim, fault, chosen.inventory, record, done)
        if not isinstance(inventory, Inventory):
            return self._put_off(inventory, done)
        return self._match(run.key, inventory, record, done)

    def _put_off(self, instead: Held | Elsewhere, done: _Progress) -> Finished:
        """Return the end of a run that takes no inventory.

        Either it comes back when another one has ended (the queue knows which, and wakes it), or
        there is nothing to do for it: who waits for it is woken, and led to the image's home.
        """
        outcome: Outcome
        match instead:
            case Held():
                outcome = After(delay_s=_LAYER_WAIT_S, reason="LayersLeased")
            case Elsewhere():
                outcome = self._settled("Rest:SameImage", None)
            case _:
                assert_never(instead)
        return Finished(outcome=outcome, facts=tuple(done.facts))

    def _not_refreshed(
        self,
        claim: Claim,
        fault: SluiceError,
        known: Inventory,
        record: ImageRecord,
        done: _Progress,
    ) -> Finished:
        """Keep what is known true, and come back; nobody's report tells of it.

        Findings that changed meanwhile must reach their reports, which only a run that settles
        does: then the refresh is left to whatever runs the key next.
        """
        key = claim.key
        assert isinstance(key, ImageKey)  # noqa: S101 # `__call__` has seen to it
        try:
            update = self._match(key, known, record, done)
        except LayerCacheMissingError:
            raise fault from None
        facts = tuple(done.facts)
        if facts[-1].data["changed"]:
            return Finished(outcome=self._settled("Converged", update), facts=facts)
        self._failure(claim, fault)  # takes the names out of it
        outcome = self.decide(fault, claim)
        if isinstance(outcome, Park):  # a parked image is one that reports call broken
            outcome = Retry(
                delay_s=outcome.probe_after_s,
                reason=outcome.reason,
                message=outcome.message,
                budget=outcome.budget,
            )
        return Finished(outcome=_storing(outcome, update), facts=facts)

    def _analyse(
        self, run: Run, tries: tuple[ImageUse, ...], done: _Progress
    ) -> Inventory | Held | Elsewhere:
        pulled = self.pull.analyse(run, tries)
        if isinstance(pulled, Held | Elsewhere):
            return pulled
        done.facts.append(pulled.fact)
        done.inventory = pulled.inventory
        return pulled.inventory

    def _match(
        self, key: ImageKey, inventory: Inventory, record: ImageRecord, done: _Progress
    ) -> ImageUpdate:
        found = self.matcher.match(inventory)
        before = record.match.findings_hash if record.match is not None else None
        data = {
            "db_version": found.db_version,
            "findings": len(found.findings),
            "changed": before != found.findings_hash,
        }
        done.facts.append(Fact(kind="matched", key=str(key), data=data))
        return ImageUpdate(inventory=done.inventory, match=found)

    def _settled(self, outcome: str, update: ImageUpdate | None) -> Settled:
        return Settled(fingerprint="", epoch=self.epoch(), outcome=outcome, image=update)

    def _failed(
        self,
        claim: Claim,
        error: SluiceError,
        record: ImageRecord,
        *,
        inventory: Inventory | None,
    ) -> Failed:
        """Store the reason with the record, so that every waiter can read it.

        An inventory that was taken before the first match failed is kept: no image is pulled twice.
        One that would replace another is not: what it changes would never reach the reports. Where
        an open circuit kept us from asking, the words of who was asked stay, and nobody is woken.
        """
        failure = self._failure(claim, error)
        told = is_told(error.reason, failed_for_s=claim.first_failed_ago_s)
        if isinstance(error, CircuitOpenError) and record.failure is not None:
            told = False
        update = ImageUpdate(
            inventory=inventory if record.match is None else None,
            failure=failure if told else None,
        )
        return _storing(self.decide(error, claim), update)

    def _failure(self, claim: Claim, error: SluiceError) -> Failure:
        """Return what users may read, and take the names out of `error`: facts tell it to all.

        The image is everybody's who runs it; under which name, and where from, is one tenant's.
        """
        detail = str(error)
        uses = self.records.uses(claim.key) if isinstance(claim.key, ImageKey) else ()
        error.args = (unnamed(detail, names_of(uses)),)
        return Failure(
            reason=error.reason,
            message=str(error),
            at=self.now_s(),
            attempts=claim.attempts + 1,
            detail=detail if error.whose else "",
            whose=error.whose,
        )


def _storing(outcome: Failed, update: ImageUpdate) -> Failed:
    """Return the outcome with what the record learns; what was known before stays."""
    return replace(outcome, image=update)
