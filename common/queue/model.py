"""The values of the queue's model: its state, and the operations on it. See `common.queue.step`.

Pure: time is part of the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from common.model.key import WorkKey
from common.queue.contract import Add, AddResult, Claim, Lane, Outcome

List: TypeAlias = tuple[str, Lane]  # pool and lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One key that is not at rest."""

    state: Literal["queued", "running", "delayed", "parked"]
    lane: Lane
    # By budget: how many failed runs, and how many seconds of waits they asked for.
    tallies: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    since: float | None = None  # the first failed run or hold in a row; None: there was none
    faults: tuple[str, ...] = ()  # sources that failed for it since the last success, oldest first
    crashes: int = 0
    suspect: bool = False  # held by a worker that died without saying what it ran
    due: float = 0.0  # delayed: of the next run; parked: of the probe
    token: int = 0  # running: of the current claim
    worker: str = ""  # running: who claimed it
    dirty: Lane | None = None  # running: a change asked for this lane; None: no change


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the queue knows."""

    now: float = 0.0
    jobs: Mapping[WorkKey, Job] = field(default_factory=dict)
    # Keys in the order of their turn. An entry whose key is not queued in that lane is stale: a
    # promotion leaves one behind, and a claim passes over it.
    lists: Mapping[List, tuple[WorkKey, ...]] = field(default_factory=dict)
    leases: Mapping[str, float] = field(default_factory=dict)
    running: Mapping[str, WorkKey] = field(default_factory=dict)  # by worker: what it runs now
    token: int = 0
    turns: Mapping[str, int] = field(default_factory=dict)  # claims per pool
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adds:
    """`WorkQueue.add`; result: AddResult."""

    adds: tuple[Add, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """`WorkQueue.claim`; result: list of Claim."""

    pool: str
    worker: str
    limit: int
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """`WorkQueue.complete`; result: list of bool."""

    worker: str
    done: tuple[tuple[Claim, Outcome], ...]
    running: Claim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """`WorkQueue.release`; result: list of bool."""

    worker: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """`WorkQueue.heartbeat`; result: whether the lease was still on record."""

    worker: str
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reap:
    """`WorkQueue.reap`; result: number of keys given back or parked."""

    max_crashes: int
    dead: str = ""  # a worker that is known to be gone, whatever its lease says


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """`WorkQueue.recover`; result: number of keys given back."""

    worker: str
    holding: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """`WorkQueue.leave`; result: number of keys given back."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """`WorkQueue.requeue`, by an operator; result: whether that made a difference."""

    key: WorkKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """`WorkQueue.drop`, by an operator; result: whether the key was there and did not run."""

    key: WorkKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """`WorkQueue.pause`, by an operator; result: None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """`WorkQueue.resume`, by an operator; result: None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passes; result: None."""

    seconds: float


Upkeep: TypeAlias = Beat | Reap | Recover | Leave  # of leases, by loops and their heartbeats
Command: TypeAlias = Requeue | Drop | Pause | Resume  # by an operator
Op: TypeAlias = Adds | Take | End | Release | Upkeep | Command | Tick
Result: TypeAlias = AddResult | list[Claim] | list[bool] | bool | int | None
