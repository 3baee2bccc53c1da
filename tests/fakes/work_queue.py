"""A work queue in memory: the pure model behind the adapter's methods.

Limits: no tables, facts or waiters, and nothing to list. Time stands still until `pass_time`.
Both are held to the same suite (tests/contract/test_queue_contract.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.model.facts import Fact
from common.model.key import WorkKey
from common.queue.contract import Add, AddResult, Claim, Outcome
from common.queue.model import (
    Adds,
    Beat,
    Drop,
    End,
    Leave,
    Op,
    Pause,
    Reap,
    Recover,
    Release,
    Requeue,
    Resume,
    State,
    Take,
    Tick,
)
from common.queue.step import step


class FakeWorkQueue:
    """The queue's contract without Redis. `fault`, while set, is raised by every call."""

    def __init__(self) -> None:
        self.state = State(now=1_000_000.0)
        self.facts: list[Fact] = []
        self.outcomes: list[tuple[WorkKey, Outcome]] = []
        self.fault: Exception | None = None
        self.waits = 0
        self.left: list[str] = []

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self._do(Tick(seconds=seconds))

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        result: AddResult = self._do(Adds(adds=tuple(adds)))
        return result

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        return [key in self.state.jobs for key in keys]

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        claims: list[Claim] = self._do(Take(pool=pool, worker=worker, limit=limit, lease_s=lease_s))
        return claims

    def complete(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        running: Claim | None = None,
        resent: bool = False,
    ) -> list[bool]:
        ended: list[bool] = self._do(End(worker=worker, done=tuple(done), running=running))
        self.facts.extend(facts)
        self.outcomes += [
            (claim.key, outcome)
            for (claim, outcome), valid in zip(done, ended, strict=True)
            if valid
        ]
        return ended

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
        valid = self.complete(worker, done, facts)
        claims = self.claim(pool, worker, limit=limit, lease_s=lease_s) if all(valid) else []
        return valid, claims

    def release(self, worker: str, claims: Sequence[Claim]) -> list[bool]:
        released: list[bool] = self._do(Release(worker=worker, claims=tuple(claims)))
        return released

    def holds(self, claim: Claim) -> bool:
        job = self.state.jobs.get(claim.key)
        return job is not None and job.state == "running" and job.token == claim.token

    def heartbeat(self, worker: str, *, lease_s: float) -> bool:
        return self.beat(worker, lease_s=lease_s)[0]

    def beat(self, worker: str, *, lease_s: float) -> tuple[bool, bool]:
        return self._do(Beat(worker=worker, lease_s=lease_s)), True

    def reap(self, max_crashes: int, *, dead: str = "", by: str = "", fresh_s: float = 0.0) -> int:
        """Reap; whether `by` may is the adapter's to say, for time stands still here."""
        return int(self._do(Reap(max_crashes=max_crashes, dead=dead)))

    def recover(self, worker: str, holding: Sequence[Claim]) -> int:
        return int(self._do(Recover(worker=worker, holding=tuple(holding))))

    def leave(self, worker: str) -> int:
        self.left.append(worker)
        return int(self._do(Leave(worker=worker)))

    def requeue(self, key: WorkKey) -> bool:
        return bool(self._do(Requeue(key=key)))

    def drop(self, key: WorkKey) -> bool:
        return bool(self._do(Drop(key=key)))

    def pause(self) -> None:
        self._do(Pause())

    def resume(self) -> None:
        self._do(Resume())

    def paused(self) -> bool:
        return self.state.paused

    def wait(self, pool: str, timeout_s: float) -> None:
        """Return at once, counted: nothing in the fake comes by itself."""
        self.waits += 1
        if self.fault is not None:
            raise self.fault

    def _do(self, op: Op) -> Any:
        if self.fault is not None:
            raise self.fault
        self.state, result = step(self.state, op)
        return result
