"""A worker process for a torture: `python -m tests.bench.torture_worker ORDER` (JSON).

The real host, loop, lease and queue; around them only what writes the diary. Two kinds of work:
plain runs that read what is wanted from the diary, and the product's own reconciler of workloads,
which writes reports to a real API server (`torture_reports`).
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec
from redis import Redis

from common.model.errors import SluiceError, SourceUnavailableError
from common.model.facts import Fact
from common.ops import logs
from common.ops.startup import stop_on_signals
from common.queue.contract import Claim, Finished, Outcome, Settled
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from tests.bench.torture_diary import Diary, Kind, pulse
from tests.queue_values import judged
from worker import host
from worker.ports import Ports


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    url: str
    cluster: str
    folder: str  # of the diary
    loops: int = 1
    lease_s: float = 1.0
    grace_s: float = 10.0
    run_s: float = 0.002  # the longest plain run; the shortest is half as long
    failing: float = 0.0  # share of plain runs of keys called `key-…` that fail once
    max_crashes: int = 1_000_000
    batch: int = 16
    kubeconfig: str = ""  # empty: plain runs
    severities: str = ""  # of the reports; another value is another generation


def named(claim: Claim) -> str:
    """Return the key's name in the diary: the last part of it."""
    return str(claim.key).rpartition("/")[2]


class NotingQueue(WorkQueue):
    """The real queue, which also says in the diary what was asked and answered."""

    diary: ClassVar[Diary]

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        claims = super().claim(pool, worker, limit=limit, lease_s=lease_s)
        self._note_claims(worker, claims)
        return claims

    def _note_claims(self, worker: str, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self.diary.note("claimed", key=named(claim), token=claim.token, worker=worker)
        for claim in claims:
            self.diary.pass_gate("claim", named(claim))

    def complete(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        running: Claim | None = None,
        resent: bool = False,
    ) -> list[bool]:
        with self._noting(done):
            valid = super().complete(worker, done, facts, running=running, resent=resent)
        self._note_ends(done, valid, resent=resent)
        return valid

    def complete_and_claim(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        pool: str,
        limit: int,
        lease_s: float,
    ) -> tuple[list[bool], list[Claim]]:
        with self._noting(done):
            valid, claims = super().complete_and_claim(
                worker, done, facts, pool=pool, limit=limit, lease_s=lease_s
            )
        self._note_ends(done, valid, resent=False)
        self._note_claims(worker, claims)
        return valid, claims

    @contextmanager
    def _noting(self, done: Sequence[tuple[Claim, Outcome]]) -> Iterator[None]:
        """Say what is about to end, and when nobody knows whether it did."""
        for claim, _ in done:
            self.diary.note("completing", key=named(claim), token=claim.token)
        try:
            yield
        except SluiceError:
            for claim, _ in done:
                self.diary.note("unknown", key=named(claim), token=claim.token)
            raise

    def _note_ends(
        self, done: Sequence[tuple[Claim, Outcome]], valid: Sequence[bool], *, resent: bool
    ) -> None:
        for (claim, _), ended in zip(done, valid, strict=True):
            # A refusal of what was sent before may only say that the first try was accepted.
            verdict: Kind = "accepted" if ended else "unknown" if resent else "refused"
            self.diary.note(verdict, key=named(claim), token=claim.token)


Run = Callable[[Claim], Outcome | Finished]


class Seen(threading.local):
    """Which version the run of this thread read."""

    version = 0


def noted(diary: Diary, run: Run, seen: Seen) -> Run:
    """Return `run` with its begin and end in the diary."""

    def whole(claim: Claim) -> Outcome | Finished:
        key = named(claim)
        diary.note("began", key=key, token=claim.token)
        settled = False
        try:
            result = run(claim)
            outcome = result.outcome if isinstance(result, Finished) else result
            settled = isinstance(outcome, Settled)
        finally:
            diary.note("ended", key=key, token=claim.token, version=seen.version, settled=settled)
        return result

    return whole


def plain(order: Order, diary: Diary) -> Run:
    """Return work that takes a moment and fails now and then."""
    dice = random.Random()  # noqa: S311 # for lengths of runs
    seen = Seen()

    def run(claim: Claim) -> Outcome:
        key = named(claim)
        seen.version = diary.wanted(key)
        diary.pass_gate("run", key)
        time.sleep((1 + dice.random()) / 2 * order.run_s)
        fails = key.startswith("key-") and dice.random() < order.failing
        if fails and not claim.tallies:
            raise SourceUnavailableError("made to fail")
        return Settled(fingerprint="", epoch=1, outcome="Converged")

    return noted(diary, run, seen)


def main(order: Order) -> int:
    """Work until SIGTERM."""
    logs.configure(log_format="json", level="warning", component="torture-worker")
    diary = Diary(Path(order.folder))
    NotingQueue.diary = diary
    host.WorkQueue = NotingQueue  # type: ignore[attr-defined] # the host makes its own queue
    names = Names(order.cluster)
    stopping = threading.Event()
    stop_on_signals(stopping.set)
    with (
        Redis.from_url(order.url, socket_timeout=10) as client,
        pulse(diary, allowed_s=order.lease_s / 2),
    ):
        ports = Ports(monotonic_s=time.monotonic, judge=judged)
        run = plain(order, diary)
        if order.kubeconfig:
            # Here and not above: plain workers start twice as fast without it.
            from tests.bench import torture_reports  # noqa: PLC0415

            run, ports = torture_reports.work(order, diary, (client, names))
        settings = host.HostSettings(
            lease_s=order.lease_s,
            grace_s=order.grace_s,
            max_crashes=order.max_crashes,
            batch=order.batch,
        )
        crew = host.Crew(pool="reconcile", loops=order.loops, reconcile=run)
        working = host.Host(client, names, ports=ports, settings=settings)
        return 0 if working.run([crew], stopping) else 1


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Order)))
