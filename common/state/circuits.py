"""Circuits in Redis: which sources are in trouble, for all workers of a cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from redis import Redis

from common.model.circuit import (
    CIRCUITS,
    FORGET_S,
    LONGEST_REST_S,
    CircuitPolicy,
    Fail,
    Verdict,
    policy_of,
)
from common.model.errors import shorten
from common.state.names import Names
from common.state.readable import UNREADABLE
from common.state.scripts import Scripts

# Keys that a source holds ask again minutes after they may. After this nobody holds out for it: a
# scanner whose worker is gone, a registry that no image names any more. Its record stays a day.
IDLE_S = 900.0

# How old the list of troubled sources may be before asking: a source that just failed is asked by
# a few more keys, which is what its threshold is for.
_FRESH_S = 1.0


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """A circuit as `circuit.lua` stores it; cjson writes whole numbers without a point."""

    failures: int
    openings: int
    until: float
    probe_until: float
    since: float
    touched: float
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A source that failed and has not answered since, as an operator sees it."""

    source: str
    state: str  # failing (still asked) | open | probing
    failures: int  # in a row
    since: float  # Unix seconds of the first of them
    next_s: float  # until somebody may ask; 0: now
    reason: str
    message: str
    unasked_s: float  # since somebody might have asked again, and nobody has; 0: not yet
    idle: bool  # nobody has asked for so long that nobody seems to need it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The source is left alone for now."""

    wait_s: float
    reason: str  # of the last failure; not its message, which may name another tenant's image
    failures: int = 1  # in a row: who is refused comes back the later, the longer it lasts


@dataclass(frozen=True, slots=True)
class Probe:
    """The source is in trouble, and this caller is the one that tries it."""


Passage: TypeAlias = Refusal | Probe | None  # None: the source is well, as far as is known


class CircuitTable:
    """The circuits of one cluster. Thread-safe; raises SourceUnavailableError without Redis."""

    def __init__(
        self,
        redis: Redis,
        names: Names,
        *,
        policies: Mapping[str, CircuitPolicy] = CIRCUITS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scripts = Scripts(redis, names)
        self._key = names.own("circuits")
        self._policies = policies
        self._monotonic_s = monotonic_s
        self._known: tuple[float, frozenset[str]] | None = None  # when read, troubled sources

    def enter(self, source: str) -> Passage:
        """Say whether the source may be asked.

        Costs no round trip for a source without trouble, beyond one look a second.
        """
        if source not in self._troubled():
            return None
        wait_s, reason, probing, failures = self._run("enter", source)
        if float(wait_s):
            return Refusal(
                wait_s=float(wait_s),
                reason=reason.decode(errors="replace"),
                failures=max(1, int(failures)),
            )
        return Probe() if probing else None

    def failed(self, source: str, failure: Fail) -> Verdict:
        """Count a failure of the source; say whether it is to blame, or the key."""
        self._known = None
        failures, wait_s, spared = self._run(
            "fail",
            source,
            work_key=failure.key,
            failed_before=failure.failed_before,
            reason=failure.reason,
            message=shorten(failure.message),
            rest_s=failure.rest_s,
        )
        return Verdict(failures=int(failures), wait_s=float(wait_s), spared=bool(spared))

    def succeeded(self, source: str) -> None:
        """Say that the source answered."""
        if source in self._troubled():
            self._known = None
            self._run("succeed", source)

    def left(self, source: str) -> None:
        """Give a probe back that learned nothing about the source: the next key may try."""
        self._run("leave", source)

    def troubles(self) -> list[Trouble]:
        """Return the sources in trouble, by name."""
        with self._scripts.pipeline() as pipe:
            pipe.hgetall(self._key)
            pipe.time()
            found, clock = pipe.execute()
        now = clock[0] + clock[1] / 1e6
        return troubles_of(found, now)

    def _troubled(self) -> frozenset[str]:
        now = self._monotonic_s()
        known = self._known
        if known is None or now - known[0] > _FRESH_S:
            with self._scripts.reading() as redis:
                sources = redis.hkeys(self._key)
            known = self._known = (
                now,
                frozenset(source.decode(errors="replace") for source in sources),
            )
        return known[1]

    def _run(self, op: str, source: str, **failure: object) -> list[bytes]:
        policy = policy_of(source, self._policies)
        payload = {
            "key": self._key,
            "op": op,
            "source": source,
            "policy": {
                "threshold": policy.threshold,
                "first_s": policy.first_s,
                "cap_s": policy.cap_s,
                "probe_s": policy.probe_s,
            },
            "forget_s": FORGET_S,
            "longest_rest_s": LONGEST_REST_S,
            **failure,
        }
        found: list[bytes] = self._scripts.run("circuit", payload)
        return found


def troubles_of(found: Mapping[bytes, bytes], now: float) -> list[Trouble]:
    """Return the sources of the hash `circuits`, by name; `now` are Unix seconds of Redis.

    A record that cannot be read is passed over, as the script does.
    """
    troubles = []
    for source, text in sorted(found.items()):
        with contextlib.suppress(*UNREADABLE):
            record = msgspec.json.decode(text, type=_Record)
            troubles.append(_trouble(source.decode(errors="replace"), record, now))
    return troubles


def _trouble(source: str, record: _Record, now: float) -> Trouble:
    state = "failing"
    if record.openings:
        state = "probing" if record.probe_until > now else "open"
    unasked_s = max(0.0, now - max(record.touched, record.until))
    return Trouble(
        source=source,
        state=state,
        failures=record.failures,
        since=record.since,
        next_s=max(0.0, record.until - now) if record.openings else 0.0,
        reason=record.reason,
        message=record.message,
        unasked_s=unasked_s,
        idle=unasked_s > IDLE_S,
    )
