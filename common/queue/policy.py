"""From an error to what happens next: another try after some seconds, or the dead letters.

tenacity decides, Redis waits: the count and time of failures live with the key, so a
`RetryCallState` is rebuilt from them and handed to the class's own policy. The policies are data;
docs/error-classes.md is made from them. Pure: the dice come in as `draw`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying
from tenacity.retry import retry_base, retry_if_exception_type, retry_never
from tenacity.stop import stop_after_attempt, stop_after_delay, stop_any, stop_base
from tenacity.wait import wait_base, wait_exponential

from common.model import errors
from common.model.errors import SluiceError, TransientError, shorten
from common.queue.contract import Park, Retry

# A source that asks for more is tried earlier: its clock, or its units, may be wrong.
RETRY_AFTER_CAP_S = 3600.0
# Probes spread by this much, so that what was parked together does not come back together.
_PROBE_JITTER = 0.2
_RETRYING = Retrying()  # every RetryCallState wants one; nothing is ever called through it


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one class of errors gets. Zero attempts: it is parked at once."""

    first_s: float = 0.0  # upper end of the first wait; doubles from try to try
    cap_s: float = 0.0  # upper end of any wait
    attempts: int = 0  # failed runs until it is parked
    total_s: float = 0.0  # seconds since the first failure until it is parked
    probe_s: float  # parked keys are tried again after this, over and over
    why: str  # one sentence for docs/error-classes.md

    @property
    def retry(self) -> retry_base:
        """Whether another try is worth it at all."""
        return retry_if_exception_type(SluiceError) if self.attempts else retry_never

    @property
    def stop(self) -> stop_base:
        """When to stop trying: the first of both bounds."""
        return stop_any(stop_after_attempt(self.attempts), stop_after_delay(self.total_s))

    @property
    def wait(self) -> wait_base:
        """The upper end of the wait; the caller's dice choose below it (full jitter)."""
        return wait_exponential(multiplier=self.first_s, max=self.cap_s)

    @property
    def longest_s(self) -> float:
        """No wait is longer."""
        return max(self.cap_s, RETRY_AFTER_CAP_S)


# First waits are short: most faults are over before anybody looks. Totals are about how long
# such a fault lasts where it is not over; after that the slow probe is the cheaper way to ask.
POLICIES: dict[type[SluiceError], Policy] = {
    errors.RateLimitedError: Policy(
        first_s=2,
        cap_s=300,
        attempts=40,
        total_s=6 * 3600,
        probe_s=1800,
        why="Registries count per hour or per six hours; Retry-After is honoured up to an hour.",
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
        probe_s=600, why="The image may be pushed later, and nobody would tell us."
    ),
    errors.UnauthorizedError: Policy(
        probe_s=900, why="Secrets are not watched: the probe finds that one was repaired."
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


def policy_for(kind: type[SluiceError]) -> Policy:
    """Return the policy of an error class: its own, else its nearest ancestor's."""
    return next(POLICIES[base] for base in kind.__mro__ if base in POLICIES)


def decide(error: SluiceError, *, attempts: int, failed_for_s: float, draw: float) -> Retry | Park:
    """Choose what happens to a key after a failed run.

    `attempts` failed runs came before this one, the first `failed_for_s` ago by Redis' clock;
    `draw` is in [0, 1). Total: raises nothing.
    """
    policy = policy_for(type(error))
    state = _state(error, attempts=attempts, failed_for_s=failed_for_s)
    if not policy.retry(state) or policy.stop(state):
        spread = 1 + _PROBE_JITTER * (2 * draw - 1)
        return Park(
            reason=error.reason,
            message=shorten(str(error)),
            probe_after_s=policy.probe_s * spread,
        )
    return Retry(
        delay_s=_delay_s(policy, state, error, draw=draw),
        reason=error.reason,
        message=shorten(str(error)),
    )


def unknown(exc: Exception) -> SluiceError:
    """Return an exception that nobody foresaw as one of ours: reason `Unknown`, shortened text."""
    return SluiceError(shorten(f"{type(exc).__name__}: {exc}"))


def _state(error: SluiceError, *, attempts: int, failed_for_s: float) -> RetryCallState:
    """Rebuild what tenacity would know after `attempts + 1` calls in one process."""
    state = RetryCallState(retry_object=_RETRYING, fn=None, args=(), kwargs={})
    state.attempt_number = attempts + 1
    state.set_exception((type(error), error, error.__traceback__))
    state.start_time = 0.0
    state.outcome_timestamp = failed_for_s
    return state


def _delay_s(policy: Policy, state: RetryCallState, error: SluiceError, *, draw: float) -> float:
    """Return the seconds to wait: full jitter under the policy's ceiling, or what was asked for.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    delay_s = draw * policy.wait(state)
    asked_s = error.retry_after_s if isinstance(error, TransientError) else None
    if asked_s is None:
        return delay_s
    # The jitter on top: everybody who was refused was told the same second.
    return min(max(0.0, asked_s) + delay_s, policy.longest_s)
