"""The error classes' policies: waits, budgets and what revives, one row each.

docs/error-classes.md is made from them; the setting `SLUICE_ERROR_POLICIES` changes single numbers.
Pure data; `common.queue.policy` applies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from common.model import errors
from common.model.errors import SluiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one class of errors gets. Zero attempts: it is parked at once."""

    first_s: float = 0.0  # upper end of the first wait; doubles from try to try
    cap_s: float = 0.0  # upper end of any wait
    attempts: int = 0  # failed runs until it is parked
    total_s: float = 0.0  # waits of a key, summed up, until it is parked; 0: no bound
    probe_s: float  # parked keys are tried again after this, over and over
    why: str  # one sentence for docs/error-classes.md
    revived_by: str = ""  # what brings a parked key back besides its probe and its own change


Policies: TypeAlias = Mapping[type[SluiceError], Policy]

# First waits are short: most faults are over before anybody looks. Totals are about how long
# such a fault lasts where it is not over; after that the slow probe is the cheaper way to ask. They
# sum up the class's own waits: time in which a key was held or queued says nothing of the fault.
POLICIES: Policies = {
    errors.RateLimitedError: Policy(
        first_s=2,
        cap_s=300,
        attempts=40,
        total_s=6 * 3600,
        probe_s=1800,
        why="Registries count per hour or per six hours; Retry-After is honoured up to an hour.",
    ),
    errors.ApiThrottledError: Policy(
        first_s=1,
        cap_s=60,
        attempts=60,
        total_s=3600,
        probe_s=600,
        why="Flow control sheds load for seconds; Retry-After is honoured.",
    ),
    errors.NameResolutionError: Policy(
        first_s=2,
        cap_s=120,
        attempts=30,
        total_s=3600,
        probe_s=1800,
        why="DNS of a cluster fails in bursts; a name that is misspelt stays unknown.",
    ),
    errors.SourceUnavailableError: Policy(
        first_s=1,
        cap_s=60,
        attempts=60,
        total_s=3600,
        probe_s=600,
        why="Restarts take seconds, outages minutes to hours.",
    ),
    errors.DatabaseNotReadyError: Policy(
        first_s=1,
        cap_s=30,
        attempts=200,
        total_s=3600,
        probe_s=600,
        why="The first database takes minutes to download; publishing it runs every image at once.",
    ),
    errors.ConflictError: Policy(
        first_s=0.5,
        cap_s=15,
        attempts=12,
        total_s=300,
        probe_s=300,
        why="Another writer was faster; the next read sees what it wrote.",
        revived_by="the other writer's event",
    ),
    errors.TransferDamagedError: Policy(
        first_s=2,
        cap_s=120,
        attempts=5,
        total_s=4 * 3600,
        probe_s=3600,
        why="A proxy or a cut connection may have damaged it; five times in a row it is the image.",
    ),
    errors.ScanTimeoutError: Policy(
        first_s=2,
        cap_s=120,
        attempts=3,
        total_s=4 * 3600,
        probe_s=3600,
        why="A slow registry may be faster next time; an image that is too big never is.",
    ),
    errors.ScannerDiedError: Policy(
        first_s=2,
        cap_s=60,
        attempts=3,
        total_s=4 * 3600,
        probe_s=3600,
        why="It may have been somebody else's memory; three times in a row it is the image.",
    ),
    errors.OutOfMemoryError: Policy(
        first_s=2,
        cap_s=60,
        attempts=2,
        total_s=4 * 3600,
        probe_s=6 * 3600,
        why="The same image needs the same memory again; one more try, then it is parked.",
    ),
    errors.LayerCacheMissingError: Policy(
        first_s=0.5,
        cap_s=15,
        attempts=6,
        total_s=600,
        probe_s=600,
        why="The match server lost its layers; a new inventory brings them back.",
    ),
    errors.TransientError: Policy(
        first_s=1,
        cap_s=120,
        attempts=40,
        total_s=3600,
        probe_s=600,
        why="Temporary, and of no class of its own (a full Redis, for example).",
    ),
    errors.BadReferenceError: Policy(
        probe_s=6 * 3600, why="Only another reference helps, and that changes the workload."
    ),
    errors.ImageNotFoundError: Policy(
        probe_s=600,
        why="The image may be pushed later, and nobody would tell us.",
        revived_by="a workload that names it in another way",
    ),
    errors.UnauthorizedError: Policy(
        probe_s=900,
        why="Secrets are not watched: the probe finds that one was repaired.",
        revived_by="a workload that names it in another way, or with other pull secrets",
    ),
    errors.NoPlatformError: Policy(
        probe_s=3600, why="The index may get an image for the platform later."
    ),
    errors.DamagedImageError: Policy(
        probe_s=6 * 3600, why="The digest names the content, so only another Trivy reads it better."
    ),
    errors.TooLargeError: Policy(
        probe_s=6 * 3600, why="Only fewer findings or another limit of the API server helps."
    ),
    errors.TerminalError: Policy(
        probe_s=3600, why="Of no class of its own; something outside must change."
    ),
    errors.GoneError: Policy(
        first_s=1,
        cap_s=10,
        attempts=3,
        total_s=60,
        probe_s=600,
        why="The object vanished under us; its own event is on the way and settles the key.",
        revived_by="the object's own event",
    ),
    errors.PreconditionError: Policy(
        probe_s=600, why="Somebody must arrange something first; the message says what."
    ),
    errors.SluiceError: Policy(
        first_s=2,
        cap_s=300,
        attempts=8,
        total_s=3600,
        probe_s=1800,
        why="Not foreseen, probably a fault of ours; the message has the exception's type.",
    ),
}

# Name, field and number, as settings say them.
Change: TypeAlias = tuple[str, str, float]

# The numbers of a row, with the bounds that keep it a policy: tried again, and at last parked.
FIELDS: Mapping[str, tuple[float, float]] = {
    "first_s": (0.0, 3600.0),
    "cap_s": (0.0, 86_400.0),
    "attempts": (0, 10_000),
    "total_s": (0.0, 604_800.0),
    "probe_s": (1.0, 86_400.0),
}
_BY_NAME = {kind.reason: kind for kind in POLICIES}
CLASS_NAMES = tuple(_BY_NAME)


def odd_policies(changes: Iterable[Change]) -> Iterator[str]:
    """Yield what is wrong with the rows that these changes make."""
    before = POLICIES
    for kind, row in changed_policies(changes).items():
        if row != before[kind] and row.first_s > row.cap_s:
            yield f"{kind.reason}: first_s {row.first_s:g} is above cap_s {row.cap_s:g}"
        elif row != before[kind] and row.attempts > 1 and not row.first_s:
            # Every wait doubles from the first: they would all be none.
            yield (
                f"{kind.reason}: {row.attempts} attempts without a wait are over in a second; set "
                f"{kind.reason}.first_s and {kind.reason}.cap_s too, for example to 30 and 600"
            )


def class_of(kind: type[SluiceError]) -> type[SluiceError]:
    """Return the class whose row a kind of error has: its own, else its nearest ancestor's."""
    return next(base for base in kind.__mro__ if base in POLICIES)


def changed_policies(changes: Iterable[Change]) -> Policies:
    """Return the policies with these numbers in them; the names were checked when parsed."""
    policies = dict(POLICIES)
    for name, field, value in changes:
        kind = _BY_NAME[name]
        number = int(value) if field == "attempts" else value
        policies[kind] = replace(policies[kind], **{field: number})  # type: ignore[arg-type] # a number's field
    return policies
