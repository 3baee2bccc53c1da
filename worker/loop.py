"""claim → reconcile → complete: one thread that works one pool until it is told to stop.

Promise: a claim ends exactly once, as an outcome, a release, or by its lease. A change is never
lost to a worker that dies, is cut off, or loses a reply; at worst a key runs once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from common.model.errors import PreconditionError, SluiceError, TransientError
from common.model.image import Failure
from common.model.key import image_of
from common.queue.contract import Claim, Failed, Finished, ImageUpdate, Outcome
from common.queue.policy import unknown
from worker.batch import Batch, batch_for
from worker.lease import Lease
from worker.outage import Outage
from worker.ports import Ports, Queue, described

Reconcile: TypeAlias = Callable[[Claim], Outcome | Finished]
# Told what a loop has claimed, in the thread that will run it.
Ahead: TypeAlias = Callable[[Sequence[Claim]], None]

# Completions of runs shorter than this travel together; a longer run is reported at once, and the
# key after it is marked as running, so that a crash has a name. 5 ms is far below what a waiter
# notices and far above a round trip.
FLUSH_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How one loop works."""

    worker: str  # unique among all loops of all processes
    batch: int = 64  # claims at a time, at most (`batch_for`); the scan pool takes one
    idle_s: float = 2.0  # the longest sleep without a look, and so the longest drain when idle


def nothing(_claims: Sequence[Claim]) -> None:
    """Have no use for knowing what comes next."""


class Loop:
    """Works one pool in the calling thread."""

    def __init__(  # noqa: PLR0913 # the composition root names each part once
        self,
        queue: Queue,
        pool: str,
        reconcile: Reconcile,
        *,
        lease: Lease,
        settings: LoopSettings,
        ports: Ports,
        ahead: Ahead = nothing,
    ) -> None:
        self._queue = queue
        self._pool = pool
        self._reconcile = reconcile
        self._ahead = ahead
        self._lease = lease
        self._settings = settings
        self._ports = ports
        self._stopping = threading.Event()
        self._log = structlog.get_logger("worker.loop").bind(pool=pool, worker=settings.worker)
        self._outage = Outage(self._stopping, ports.monotonic_s, self._log)
        self._batch = Batch()
        self._mean_s: float | None = None  # of recent runs; None: nobody knows yet
        self._compare_at_s = float("-inf")  # when to compare Redis' record of our claims again

    def stop(self) -> None:
        """Ask the loop to end: it finishes the running key and gives back the others."""
        self._stopping.set()

    @property
    def name(self) -> str:
        """The worker's name in Redis, logs and facts."""
        return self._settings.worker

    def run(self) -> None:
        """Work until `stop`; Redis may come and go meanwhile."""
        claims: list[Claim] = []
        while claims or not self._stopping.is_set():
            if claims:
                claims = self._work(claims)
            elif not self._ports.may_work():
                self._stand_back()
            else:
                claims = self._claim() or self._idle()

    def _claim(self) -> list[Claim]:
        """Claim, holding nothing; what is on record for us all the same is given back first."""
        worker = self._settings.worker
        while True:
            try:
                self._compare()
                began_s = self._ports.monotonic_s()
                claims = self._queue.claim(
                    self._pool, worker, limit=self._limit(), lease_s=self._lease.length_s
                )
            except SluiceError as error:
                self._doubt()
                if not self._outage.again(error):
                    return []
                continue
            self._outage.over()
            self._note_claims(claims, began_s)
            return claims

    def _note_claims(self, claims: Sequence[Claim], began_s: float) -> None:
        """Note what a call that began then has claimed: it renewed the lease."""
        self._lease.renewed(began_s)
        if claims:
            self._ports.hooks.claimed(self._pool, len(claims))

    def _compare(self) -> None:
        """Once a lease, give back what is on record for us: it is nothing that we hold.

        It is a claim whose reply was lost, or one whose end was, because Redis' log lost its tail.
        Nobody else can free it: we live, and so does its lease.
        """
        now_s = self._ports.monotonic_s()
        if now_s >= self._compare_at_s:
            self._queue.recover(self._settings.worker, ())
            self._compare_at_s = now_s + self._lease.length_s

    def _doubt(self) -> None:
        """Compare before the next claim: Redis was away, or does not know what we know."""
        self._compare_at_s = float("-inf")

    def _limit(self) -> int:
        if self._pool == "scan" or self._mean_s is None:
            return 1
        return batch_for(self._mean_s, self._settings.batch)

    def _stand_back(self) -> None:
        """Wait until our generation is published, and leave the wake-ups to whose it is."""
        self._log.warning(
            "standing back: another generation is published; settings or version of this worker "
            "are not the watcher's"
        )
        while not self._ports.may_work() and not self._stopping.wait(self._settings.idle_s):
            pass

    def _idle(self) -> list[Claim]:
        """Sleep until work may be there; return no claims."""
        if not self._stopping.is_set():
            try:
                self._queue.wait(self._pool, self._settings.idle_s)
            except SluiceError as error:
                self._doubt()
                self._outage.again(error)
        return []

    def _work(self, claims: list[Claim]) -> list[Claim]:
        """Run a batch, and return the next one, if it came with the last report.

        A lease that ends, or an end that is refused, makes the rest others'.
        """
        self._ahead(claims)
        batch = self._batch = Batch(claims)
        while batch.rest:
            if self._stopping.is_set() or not self._ports.may_work():
                self._report(batch)
                self._release(batch.take_rest())
                return []
            if batch.refused or not self._lease.held():
                self._report(batch)
                self._log.warning("claims lost", keys=len(batch.take_rest()))
                self._give_back()
                return []
            self._step(batch)
        return self._report(batch, last=True)

    def _step(self, batch: Batch) -> None:
        """Run one claim; unless it was the last, report when it was slow, or old results wait."""
        began_s = self._ports.monotonic_s()
        claim = batch.begin(began_s)
        finished = self._run(claim)
        now_s = self._ports.monotonic_s()
        batch.end(claim, finished)
        took_s = now_s - began_s
        self._mean_s = took_s if self._mean_s is None else (3 * self._mean_s + took_s) / 4
        self._note(claim, finished.outcome, took_s)
        if batch.rest and (batch.marked or now_s - batch.since_s >= FLUSH_S):
            self._report(batch, running=batch.rest[0] if took_s >= FLUSH_S else None)

    def relieve(self) -> None:
        """Let nothing wait for a run that takes long: report what ended, give back what is to come.

        For another thread, at each heartbeat. Raises what Redis' absence raises; then it has to be
        called again.
        """
        batch = self._batch
        with batch.lock:
            running = batch.stuck(self._ports.monotonic_s(), self._lease.length_s / 3)
            if running is None or not self._lease.held():
                return
            try:
                self._hand_on(batch, running)
                batch.resent, resent = bool(batch.runs), batch.resent
                valid = self._queue.complete(
                    self._settings.worker,
                    batch.runs,
                    batch.facts,
                    running=running,
                    resent=resent,
                )
            except SluiceError:
                self._doubt()
                raise
            batch.resent = resent
            self._reported(batch, valid, running=running)

    def _hand_on(self, batch: Batch, running: Claim) -> None:
        """Give back what was not begun; after a failure, whatever is on record and not ours."""
        worker, rest = self._settings.worker, batch.take_rest()
        owed, batch.owed = batch.owed, True
        if owed:
            self._queue.recover(worker, [running, *(claim for claim, _ in batch.runs)])
        elif rest:
            self._queue.release(worker, rest)
        batch.owed = False

    def _run(self, claim: Claim) -> Finished:
        """Reconcile; an exception becomes what its class's policy says."""
        try:
            result = self._reconcile(claim)
        except SluiceError as error:
            return Finished(outcome=self._decide(error, claim))
        except Exception as exc:  # noqa: BLE001 # a fault of one key must not end the loop
            self._log.exception("unforeseen", key=str(claim.key))
            return Finished(outcome=self._decide(unknown(exc), claim))
        return result if isinstance(result, Finished) else Finished(outcome=result)

    def _decide(self, error: SluiceError, claim: Claim) -> Failed:
        """Ask the judge; who waits for an image learns the reason from its record."""
        outcome = self._ports.judge(error, claim)
        if image_of(claim.key) is None:
            return outcome
        failure = Failure(
            reason=outcome.reason, message=outcome.message, at=0.0, attempts=claim.attempts + 1
        )
        return replace(outcome, image=ImageUpdate(failure=failure))

    def _report(
        self, batch: Batch, *, running: Claim | None = None, last: bool = False
    ) -> list[Claim]:
        """Complete what ended; repeat while Redis is away, until the stop.

        With the last of a batch the next ones are claimed in the same step, and returned.
        """
        claims: list[Claim] = []
        while batch.runs:
            began_s = self._ports.monotonic_s()
            # A call that is sent again claims nothing: the first one may have, so compare first.
            take = last and not batch.resent and self._goes_on(began_s)
            try:
                valid, claims = self._complete(batch, running=running, take=take)
            except TransientError as error:
                self._doubt()
                batch.resent = True
                if not self._outage.again(error):
                    self._log.warning("results lost; their leases will end", keys=len(batch.runs))
                    batch.forget()
            except Exception:  # noqa: BLE001 # a result that cannot be told must not end the loop
                self._log.exception("results refused; the keys run again", keys=len(batch.runs))
                self._give_back()
                batch.forget()
            else:
                self._outage.over()
                if take:
                    self._note_claims(claims, began_s)
                self._reported(batch, valid, running=running)
        return claims

    def _reported(self, batch: Batch, valid: Sequence[bool], *, running: Claim | None) -> None:
        """Note which ends Redis took."""
        batch.refused = not all(valid)
        if batch.refused:
            self._doubt()
        if batch.refused and not batch.resent:
            self._ports.hooks.refused(self._pool, valid.count(False))
        batch.forget()
        batch.marked = running is not None

    def _goes_on(self, now_s: float) -> bool:
        return not self._stopping.is_set() and self._ports.may_work() and now_s < self._compare_at_s

    def _complete(
        self, batch: Batch, *, running: Claim | None, take: bool
    ) -> tuple[list[bool], list[Claim]]:
        worker = self._settings.worker
        if not take:
            valid = self._queue.complete(
                worker, batch.runs, batch.facts, running=running, resent=batch.resent
            )
            return valid, []
        return self._queue.complete_and_claim(
            worker,
            batch.runs,
            batch.facts,
            pool=self._pool,
            limit=self._limit(),
            lease_s=self._lease.length_s,
        )

    def _release(self, claims: Sequence[Claim]) -> None:
        try:
            self._queue.release(self._settings.worker, claims)
        except SluiceError as error:
            self._log.warning(
                "not released; the lease will end", keys=len(claims), error=str(error)
            )

    def _give_back(self) -> None:
        """Whatever is still on record for us goes back at once."""
        try:
            self._queue.recover(self._settings.worker, ())
        except SluiceError as error:
            self._doubt()
            self._outage.again(error)

    def _note(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """One log line per reconcile."""
        kind = type(outcome).__name__.lower()
        reason = described(outcome)
        self._log.info(
            "reconciled",
            key=str(claim.key),
            reconcile_id=claim.token,
            outcome=kind,
            reason=reason,
            seconds=round(seconds, 4),
        )
        self._ports.hooks.finished(self._pool, outcome=kind, reason=reason, seconds=seconds)


def run_key() -> None:
    """Stand where a stock rq worker looks for the job's function: it cannot run our keys.

    Raises PreconditionError always; the queue repairs what that worker made of the key.
    """
    raise PreconditionError(
        "this queue needs kube-sluice's worker; stop the stock rq worker that took its key"
    )
