"""From an error to what happens next: another try after some seconds, or the dead letters.

tenacity decides, Redis waits: failures and their waits are counted with the key, one tally per
error class, so a `RetryCallState` is rebuilt from the class's tally and handed to its own policy.
A fault of a source that many keys share is no key's: it is held, and charged to nobody. Pure: the
dice come in as `draw`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenacity import RetryCallState, Retrying
from tenacity.retry import retry_if_exception_type, retry_never
from tenacity.stop import stop_after_attempt, stop_after_delay, stop_any
from tenacity.wait import wait_exponential

from common.model.errors import CircuitOpenError, SluiceError, SourceFault, TransientError, shorten
from common.model.policies import POLICIES, Policies, Policy, class_of
from common.queue.contract import Failed, Hold, Park, Retry, Tally

# A source that asks for more is tried earlier: its clock, or its units, may be wrong.
RETRY_AFTER_CAP_S = 3600.0
# Probes spread by this much, so that what was parked together does not come back together.
_PROBE_JITTER = 0.2
_NEVER_FAILED = Tally(failures=0, waited_s=0.0)
_RETRYING = Retrying()  # every RetryCallState wants one; nothing is ever called through it


def decide(
    error: SluiceError,
    tallies: Mapping[str, Tally],
    *,
    draw: float,
    policies: Policies = POLICIES,
) -> Failed:
    """Choose what happens to a key after a failed run.

    `tallies` are the failed runs before this one, by budget; `draw` is in [0, 1). Total: raises
    nothing.
    """
    kind = class_of(type(error))
    policy = policies[kind]
    fault = error.fault
    if fault is not None and fault.spared:
        return _hold(error, fault, policy, draw=draw)
    tally = tallies.get(kind.reason, _NEVER_FAILED)
    state = _state(error, attempt=tally.failures + 1, waited_s=tally.waited_s)
    if not _worth_it(policy, state) or _used_up(policy, state):
        spread = 1 + _PROBE_JITTER * (2 * draw - 1)
        return Park(
            reason=error.reason,
            message=shorten(str(error)),
            budget=kind.reason,
            probe_after_s=policy.probe_s * spread,
        )
    return Retry(
        delay_s=_delay_s(policy, state, error, draw=draw),
        reason=error.reason,
        message=shorten(str(error)),
        budget=kind.reason,
    )


def unknown(exc: Exception) -> SluiceError:
    """Return an exception that nobody foresaw as one of ours: reason `Unknown`, shortened text."""
    return SluiceError(shorten(f"{type(exc).__name__}: {exc}"))


def _hold(error: SluiceError, fault: SourceFault, policy: Policy, *, draw: float) -> Hold:
    """Wait for the source: as long as its circuit says, else longer from failure to failure.

    The number of failures is the source's, not the key's, and the jitter spreads the keys that
    wait for one moment.
    """
    state = _state(error, attempt=max(1, fault.failures), waited_s=0.0)
    delay_s = fault.wait_s + _delay_s(policy, state, error, draw=draw)
    return Hold(
        delay_s=min(delay_s, _longest_s(policy)),
        source=fault.source,
        reason=error.reason,
        message=shorten(str(error)),
        asked=not isinstance(error, CircuitOpenError),
    )


def _worth_it(policy: Policy, state: RetryCallState) -> bool:
    retry = retry_if_exception_type(SluiceError) if policy.attempts else retry_never
    return retry(state)


def _used_up(policy: Policy, state: RetryCallState) -> bool:
    """Stop at the first of both bounds; a time of 0 is none."""
    if not policy.total_s:
        return stop_after_attempt(policy.attempts)(state)
    return stop_any(stop_after_attempt(policy.attempts), stop_after_delay(policy.total_s))(state)


def _state(error: SluiceError, *, attempt: int, waited_s: float) -> RetryCallState:
    """Rebuild what tenacity would know after that many calls, and waits, in one process."""
    state = RetryCallState(retry_object=_RETRYING, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    state.set_exception((type(error), error, error.__traceback__))
    state.start_time = 0.0
    state.outcome_timestamp = waited_s
    return state


def _delay_s(policy: Policy, state: RetryCallState, error: SluiceError, *, draw: float) -> float:
    """Return the seconds to wait: full jitter under the policy's ceiling, or what was asked for.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    delay_s = draw * wait_exponential(multiplier=policy.first_s, max=policy.cap_s)(state)
    asked_s = error.retry_after_s if isinstance(error, TransientError) else None
    if asked_s is None:
        return delay_s
    # The jitter on top: everybody who was refused was told the same second.
    return min(max(0.0, asked_s) + delay_s, _longest_s(policy))


def _longest_s(policy: Policy) -> float:
    """No wait is longer."""
    return max(policy.cap_s, RETRY_AFTER_CAP_S)
