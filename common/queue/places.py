"""Where keys stand in the queue's model: lists, due times, claims, leases. See `common.queue.step`.

Each method moves one key, or ends one lease; when that happens is decided by `step`. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from common.model.key import WorkKey, pool_of
from common.queue.contract import Lane
from common.queue.model import Job, State

# Operations follow each other by at least this; it orders what is due.
_INSTANT_S = 1e-6


class Places:
    """Copies of a state's parts, to be changed by one operation."""

    def __init__(self, state: State) -> None:
        self.now = state.now + _INSTANT_S
        self.jobs = dict(state.jobs)
        self.lists = {name: list(keys) for name, keys in state.lists.items()}
        self.leases = dict(state.leases)
        self.running = dict(state.running)
        self.token = state.token
        self.turns = dict(state.turns)
        self.paused = state.paused

    def state(self) -> State:
        """Return what the parts are now."""
        return State(
            now=self.now,
            jobs=self.jobs,
            lists={name: tuple(keys) for name, keys in self.lists.items() if keys},
            leases=self.leases,
            running=self.running,
            token=self.token,
            turns=self.turns,
            paused=self.paused,
        )

    def queue(self, key: WorkKey, job: Job, *, lane: Lane, front: bool = False) -> None:
        """Put the key at the end, or the front, of a lane."""
        self.jobs[key] = replace(
            job, state="queued", lane=lane, due=0.0, token=0, worker="", dirty=None
        )
        entries = self.lists.setdefault((pool_of(key), lane), [])
        entries.insert(0 if front else len(entries), key)

    def give_back(self, key: WorkKey, job: Job) -> None:
        """Back to the front of its lane, or of the more urgent one that a change asked for."""
        lane = job.lane if job.dirty is None else min(job.lane, job.dirty)
        self.queue(key, job, lane=lane, front=True)

    def delay(self, key: WorkKey, job: Job, *, due: float) -> None:
        """Wait until `due`."""
        self.jobs[key] = replace(job, state="delayed", due=due, token=0, worker="", dirty=None)

    def mark(self, worker: str, key: WorkKey | None) -> None:
        """Note what the worker runs now."""
        if key is None:
            self.running.pop(worker, None)
        else:
            self.running[worker] = key

    def held(self, worker: str) -> list[tuple[WorkKey, Job]]:
        """Return the claims of a worker, the last one first."""
        found = [
            (key, job)
            for key, job in self.jobs.items()
            if job.state == "running" and job.worker == worker
        ]
        return sorted(found, key=lambda pair: -pair[1].token)

    def end_lease(self, worker: str) -> None:
        """Forget a worker that is gone."""
        self.leases.pop(worker, None)
        self.mark(worker, None)

    def drop(self, key: WorkKey) -> bool:
        """Take the key out of where it waits; a running one stays."""
        job = self.jobs.get(key)
        if job is None or job.state == "running":
            return False
        del self.jobs[key]
        place = (pool_of(key), job.lane)
        self.lists[place] = [other for other in self.lists.get(place, []) if other != key]
        return True
