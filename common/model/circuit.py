"""Circuits: a source that fails for several keys in a row is left alone, and tried by one of them.

closed: everybody asks. Faults of `threshold` different keys with no success in between open it:
nobody asks, for a time that doubles from opening to opening. Then one key is let through (the
probe): its success closes the circuit, its fault opens it again.

`step` is the promise; `circuit.lua` does the same in Redis and is checked against it. Pure, total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

# Records of sources that nobody asks any more are forgotten after this.
FORGET_S = 86_400.0
# A source that asks for a longer rest is tried earlier: its clock, or its units, may be wrong.
LONGEST_REST_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a circuit opens, and for how long."""

    threshold: int  # subjects that must fail in a row: one of them cannot open it for all others
    first_s: float  # how long the first opening lasts; doubles from one to the next
    cap_s: float  # the longest opening
    probe_s: (
        float  # a probe that has not ended by then is given up, and the next key is let through
    )


# By the part of a source's name before the first slash.
CIRCUITS: Mapping[str, CircuitPolicy] = {
    # A registry outage lasts for minutes; a probe may be a whole pull.
    "registry": CircuitPolicy(threshold=3, first_s=5.0, cap_s=300.0, probe_s=60.0),
    # A restart takes a tenth of a second, a failover seconds.
    "match-server": CircuitPolicy(threshold=3, first_s=1.0, cap_s=30.0, probe_s=30.0),
    "api-server": CircuitPolicy(threshold=3, first_s=1.0, cap_s=30.0, probe_s=30.0),
    # The process beside the worker: a restart takes a second.
    "scanner": CircuitPolicy(threshold=3, first_s=1.0, cap_s=30.0, probe_s=60.0),
}


# The numbers of a row, with the bounds that keep a circuit one.
CIRCUIT_FIELDS: Mapping[str, tuple[float, float]] = {
    "threshold": (1, 1000),
    "first_s": (0.1, 3600.0),
    "cap_s": (0.1, 3600.0),
    "probe_s": (1.0, 3600.0),
}


def changed_circuits(changes: Iterable[tuple[str, str, float]]) -> Mapping[str, CircuitPolicy]:
    """Return the policies with these numbers in them; the names were checked when parsed."""
    policies = dict(CIRCUITS)
    for kind, field, value in changes:
        number = int(value) if field == "threshold" else value
        policies[kind] = replace(policies[kind], **{field: number})  # type: ignore[arg-type] # a number's field
    return policies


def odd_circuits(changes: Iterable[tuple[str, str, float]]) -> Iterator[str]:
    """Yield what is wrong with the rows that these changes make."""
    for kind, row in changed_circuits(changes).items():
        if row.first_s > row.cap_s:
            yield f"{kind}: first_s {row.first_s:g} is above cap_s {row.cap_s:g}"


def policy_of(source: str, policies: Mapping[str, CircuitPolicy] = CIRCUITS) -> CircuitPolicy:
    """Return the policy of a source. Raises KeyError for a name that none has."""
    return policies[kind_of(source)]


def kind_of(source: str) -> str:
    """Return what sort of source it is: a name of `CIRCUITS`, or `redis`, which has no circuit."""
    return source.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A source in trouble; one that answers has no record."""

    failures: int = 0  # in a row
    keys: frozenset[str] = frozenset()  # that failed in a row, at most `threshold` of them
    openings: int = 0  # in a row; 0: closed
    until: float = 0.0  # nobody asks before
    probe_until: float = 0.0  # one key asks until then; 0: none does
    since: float = 0.0  # the first failure in a row
    touched: float = 0.0
    reason: str = ""  # of the last failure
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """Somebody wants to ask the source; result: seconds to wait, 0: go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The source was at fault; result: a verdict."""

    key: str  # what failed: a work key, or what several of them ask for (a repository)
    failed_before: bool  # this source has failed for the key since the key's last success
    reason: str
    message: str
    rest_s: float = 0.0  # that the source asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeed:
    """The source answered; result: whether that closed an open circuit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A probe ended that learned nothing about the source; result: whether there was one."""


CircuitOp: TypeAlias = Enter | Fail | Succeed | Leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who is to blame for a failure."""

    failures: int
    wait_s: float  # 0: the circuit is closed
    spared: bool  # True: the source; False: it served others meanwhile, so it is this key


CircuitResult: TypeAlias = float | Verdict | bool


def step(
    circuit: Circuit | None, op: CircuitOp, *, policy: CircuitPolicy, now: float
) -> tuple[Circuit | None, CircuitResult]:
    """Return what becomes of the record, and what the caller is told. Total."""
    match op:
        case Enter():
            return _entered(circuit, policy=policy, now=now)
        case Fail():
            return _failed(circuit or Circuit(since=now), op, policy=policy, now=now)
        case Leave():
            if circuit is None or circuit.openings == 0 or circuit.probe_until == 0:
                return circuit, False
            return replace(circuit, probe_until=0.0, touched=now), True
        case Succeed():
            return None, circuit is not None and circuit.openings > 0
        case _:
            assert_never(op)


def _entered(
    circuit: Circuit | None, *, policy: CircuitPolicy, now: float
) -> tuple[Circuit | None, float]:
    if circuit is None or circuit.openings == 0:
        return circuit, 0.0
    if now < circuit.until:
        return circuit, circuit.until - now
    if now < circuit.probe_until:  # most probes end long before they are given up
        return circuit, min(circuit.probe_until - now, policy.first_s)
    return replace(circuit, probe_until=now + policy.probe_s, touched=now), 0.0


def _failed(
    circuit: Circuit, op: Fail, *, policy: CircuitPolicy, now: float
) -> tuple[Circuit, Verdict]:
    known = op.key in circuit.keys
    keys = circuit.keys
    if len(keys) < policy.threshold:
        keys |= {op.key}
    openings, until = circuit.openings, circuit.until
    # A straggler, which asked before it opened, does not open it again.
    opens = now >= until if openings else len(keys) >= policy.threshold
    if opens:
        openings += 1
        until = now + open_s(policy, openings)
    if openings:
        until = max(until, now + min(op.rest_s, LONGEST_REST_S))
    after = replace(
        circuit,
        failures=circuit.failures + 1,
        keys=keys,
        openings=openings,
        until=until,
        probe_until=0.0 if opens else circuit.probe_until,
        touched=now,
        reason=op.reason,
        message=op.message,
    )
    # The source failed for this key before, and the key is not among those that failed in a row: it
    # has served somebody since. So it is the key, or its image, that the source cannot serve.
    spared = openings > 0 or known or not op.failed_before
    wait_s = max(0.0, until - now) if openings else 0.0
    return after, Verdict(failures=after.failures, wait_s=wait_s, spared=spared)


def open_s(policy: CircuitPolicy, openings: int) -> float:
    """Return how long the n-th opening in a row lasts; the first is 1."""
    return min(policy.cap_s, policy.first_s * 2.0 ** min(openings - 1, 32))
