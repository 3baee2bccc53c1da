"""Where every key of the queue stands, and who waits for whom: for a look at the whole cluster.

Reads only. What rests costs nothing; 50,000 queued keys cost Redis about 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from redis import Redis

from common.model.key import WorkKey, parse_key
from common.queue.contract import Lane
from common.queue.listing import Place, described
from common.state.names import POOLS, Names
from common.state.readable import text_of
from common.state.scripts import Scripts

State: TypeAlias = Literal["queued", "running", "delayed", "parked"]

# Read in this order, so that the last one counts: a promotion leaves an entry behind in its lane.
_KINDS: Mapping[State, str] = {
    "queued": "queue",
    "delayed": "scheduled",
    "parked": "failed",
    "running": "wip",
}
# Delayed and parked keys per lane whose reasons are read; of more only the state is known.
_REASONS = 1000
_CHUNK = 500  # keys of one script call


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What the queue does with a key."""

    state: State
    reason: str = ""  # of its last failure, or what it waits for; empty: none, or not read
    source: str = ""  # that holds it; empty: none does
    failed: bool = False  # a failure delays or parks it


_PLAIN = {state: Stand(state=state, failed=state == "parked") for state in _KINDS}


class Standings:
    """Reads the whole queue."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def all(self) -> dict[WorkKey, Stand]:
        """Return every key that is queued, running, delayed or parked, at one instant."""
        found: dict[WorkKey, Stand] = {}
        explained: dict[str, Place] = {}
        for state, place, jobs in self._members():
            for key in map(self._key, jobs):
                if key is not None:
                    found[key] = _PLAIN[state]
            if state in ("delayed", "parked"):
                explained.update(dict.fromkeys(jobs[:_REASONS], place))
        for entry in described(self._scripts, explained):
            before = found.get(entry.key)
            if before is not None and before.state == entry.state:
                found[entry.key] = Stand(
                    state=before.state,
                    reason=entry.reason,
                    source=entry.source,
                    failed=entry.failed,
                )
        return found

    def waiters(self, keys: Sequence[WorkKey]) -> dict[WorkKey, WorkKey]:
        """Return who waits for one of these keys to end, and for which."""
        found: dict[WorkKey, WorkKey] = {}
        for at in range(0, len(keys), _CHUNK):
            part = keys[at : at + _CHUNK]
            payload = {"keys": [str(key) for key in part]}
            answer = self._scripts.run("waiters", payload, repeatable=True)
            for waiter, number in zip(answer[::2], answer[1::2], strict=True):
                key = _parsed(text_of(waiter))
                if key is not None:
                    found[key] = part[number - 1]
        return found

    def _members(self) -> Iterator[tuple[State, Place, list[str]]]:
        """Yield the job ids of each state and lane."""
        asked = [(state, (pool, lane)) for state in _KINDS for pool in POOLS for lane in Lane]
        with self._scripts.pipeline() as pipe:
            for state, place in asked:
                name = self._scripts.names.rq(_KINDS[state], *place)
                if state == "queued":
                    pipe.lrange(name, 0, -1)
                else:
                    pipe.zrange(name, 0, -1)
            answers = pipe.execute()
        for (state, place), members in zip(asked, answers, strict=True):
            yield state, place, [text_of(member).partition(":")[0] for member in members]

    def _key(self, job: str) -> WorkKey | None:
        try:
            return self._scripts.names.key_of(job)
        except ValueError:
            return None  # somebody else put a job of theirs into our queue


def _parsed(text: str) -> WorkKey | None:
    try:
        return parse_key(text)
    except ValueError:
        return None
