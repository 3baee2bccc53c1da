"""What the workqueue promises, as values: adds, claims and the outcomes of a run.

client-go's semantics: a key stands in the queue at most once, is worked by at most one live claim,
and a change during that work leads to exactly one more run. The promise itself is
`common.queue.step`; the Redis scripts are checked against it. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from common.model.errors import SluiceError
from common.model.facts import Fact
from common.model.image import Failure, Inventory, Match
from common.model.key import WorkKey
from common.model.workload import WorkloadRow

# Bulk gets at least every eighth claim, so that neither lane starves the other.
BULK_EVERY = 8

# Sources whose faults a key remembers; it needs three or four of them. The oldest is forgotten.
MOST_FAULTS = 8

# The budget of errors that nobody foresaw.
UNKNOWN: Final = SluiceError.reason

# A key whose runs killed its workers waits this long for its slow probe.
CRASH_PROBE_S = 1800.0


class Lane(enum.IntEnum):
    """How urgent a key is; a lower number is claimed first."""

    FRESH = 0  # something changed just now
    BULK = 1  # sweeps, database updates, slow probes

    @property
    def label(self) -> str:
        """The lane's name in facts and metrics."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """A wish that `key` be looked at.

    With `row`, row and fingerprint are stored in the same call; that needs the watcher's fence.
    """

    key: WorkKey
    lane: Lane = Lane.FRESH
    delay_s: float = 0.0
    row: WorkloadRow | None = None  # None: the table keeps what it has
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddResult:
    """What became of the adds of one call; the numbers sum up to the number of adds."""

    new: int = 0  # not in the queue before
    duplicate: int = 0  # waiting already, and verified to be
    dirty: int = 0  # being worked on: runs once more afterwards
    promoted: int = 0  # moved to the fresh lane, or out of its backoff
    revived: int = 0  # was parked
    repaired: int = 0  # said to be waiting, but stood in no list

    def __add__(self, other: AddResult) -> AddResult:
        return AddResult(
            new=self.new + other.new,
            duplicate=self.duplicate + other.duplicate,
            dirty=self.dirty + other.dirty,
            promoted=self.promoted + other.promoted,
            revived=self.revived + other.revived,
            repaired=self.repaired + other.repaired,
        )

    @property
    def enqueued(self) -> int:
        """How many keys got a place in a queue that they did not have."""
        return self.new + self.promoted + self.revived + self.repaired


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Failed runs of a key that count against one budget."""

    failures: int
    # Waits that its policy asked for, summed up. Time in which the key was held, or stood in the
    # queue, was nobody's try: an outage uses up no budget.
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on `key` until its lease ends."""

    key: WorkKey
    token: int  # grows with every claim; a completion needs the current one
    tallies: Mapping[str, Tally] = field(default_factory=dict)  # by budget, since the last success
    faults: frozenset[str] = frozenset()  # sources that failed for it since the last success
    first_failed_ago_s: float = 0.0  # since the first failed run or hold in a row; 0: none was
    crashes: int = 0  # workers that died while they ran this key
    lane: Lane = Lane.FRESH

    @property
    def attempts(self) -> int:
        """Failed runs since the last success, of all budgets; holds are none."""
        return sum(tally.failures for tally in self.tallies.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUpdate:
    """What a run learned about an image; None leaves what is stored.

    On `Settled`, a `failure` of None clears the stored one. A match of an older database than the
    stored one's, or of another inventory than the stored one, is not taken; the image is matched
    again where that is needed.
    """

    inventory: Inventory | None = None
    match: Match | None = None
    of: str = ""  # hash of the stored inventory that was matched; empty: the one on record
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The run converged. Only this outcome may suppress work later (law 7)."""

    fingerprint: str  # the watcher's, of the row that was read; empty for keys without a row
    epoch: int
    outcome: str  # Converged | Partial:<Reason> | Gone | Rest:<Why>
    reports: Mapping[str, str] = field(default_factory=dict)  # Kind/namespace/name -> content hash
    image: ImageUpdate | None = None  # None: not an image key


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The run ended without settling; a registration as waiter on `on` brings the key back."""

    on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """The run ended without settling: the key `to` goes on with it, as urgent as this one was."""

    to: WorkKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Run again after `delay_s`; no attempt is counted, nothing is settled."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The run failed and is worth another try after `delay_s`; charged to `budget`."""

    delay_s: float
    reason: str
    message: str
    budget: str = UNKNOWN  # the error class whose policy decided
    image: ImageUpdate | None = None  # None: not an image key


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A source that many keys share is at fault: run again after `delay_s`, charged to nobody.

    The source's circuit bounds how often it is asked, and says when it answers again.
    """

    delay_s: float
    source: str
    reason: str
    message: str
    asked: bool = True  # False: its circuit was open, so it has not failed for this key
    image: ImageUpdate | None = None  # None: not an image key


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """No retry helps soon: a dead letter that is tried again (bulk) after `probe_after_s`."""

    reason: str
    message: str
    probe_after_s: float
    budget: str = UNKNOWN  # the error class whose policy decided
    image: ImageUpdate | None = None  # None: not an image key


Outcome: TypeAlias = Settled | Waiting | Handed | After | Retry | Hold | Park
Failed: TypeAlias = Retry | Hold | Park  # what a policy makes of an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An outcome with the facts of its run, which are appended in the same call."""

    outcome: Outcome
    facts: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits in one lane of a pool, and for how long already."""

    queued: int
    oldest_age_s: float  # 0 when nothing waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many keys of a pool are in each state besides queued."""

    running: int
    delayed: int
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key as an operator sees it."""

    key: WorkKey
    state: str  # queued | running | delayed | parked | canceled
    lane: Lane
    attempts: int
    crashes: int
    since_s: float  # Unix seconds of the first add since it last rested
    due_s: float = 0.0  # Unix seconds of the next run or probe; 0: none is planned
    worker: str = ""
    reason: str = ""  # of the last failure; of an `After` that it waits for
    message: str = ""
    error_class: str = ""  # whose policy delays or parks it; empty: none does
    source: str = ""  # that holds it; empty: none does
    failures: Mapping[str, int] = field(default_factory=dict)  # by error class, as attempts count

    @property
    def failed(self) -> bool:
        """Whether it is delayed or parked by a failure; otherwise it only waits."""
        return bool(self.error_class or self.source) or self.state == "parked"
