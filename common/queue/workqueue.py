"""The workqueue on rq's own keys: adds, claims, completions, leases.

All state changes are Lua scripts; this module turns values into their arguments and back. No type
of rq or redis-py leaves it, and their errors leave as ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from redis import Redis

from common.model.clusterrow import Row
from common.model.errors import StaleFenceError
from common.model.facts import Fact
from common.model.key import RowKey, WorkKey
from common.model.workload import encode_row, fingerprint
from common.queue.contract import (
    BULK_EVERY,
    CRASH_PROBE_S,
    Add,
    AddResult,
    Claim,
    Lane,
    Outcome,
)
from common.queue.desk import Desk
from common.queue.encode import decode_tallies, encode_discard, encode_done, encode_release
from common.state.ledger import packed
from common.state.names import POOLS, RQ, Names

# As long as rq itself keeps a worker without a heartbeat: 420 s and a minute.
WORKER_TTL_S = 480
# Keys per script: 500 adds hold Redis up for about 5 ms.
_CHUNK = 500
# BLPOP must end before the client's socket timeout does.
_MAX_WAIT_S = 5.0


T = TypeVar("T")


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in parts of at most `size`, in order."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _take(pool: str, limit: int, lease_s: float, generation: str) -> dict[str, object]:
    return {
        "pool": POOLS.index(pool) + 1,
        "limit": limit,
        "lease_s": lease_s,
        "bulk_every": BULK_EVERY,
        "generation": generation,
    }


class WorkQueue(Desk):
    """client-go's workqueue for any number of processes. Thread-safe."""

    def __init__(self, redis: Redis, names: Names, *, generation: Callable[[], str] = str) -> None:
        """Take a client; `generation` tells the digest of what the worker's settings make.

        While another one is published, `claim` takes nothing. Empty: any will do.
        """
        super().__init__(redis, names)
        self._generation = generation

    # --- the watcher's side

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys, each in one step with the row that comes with it.

        Large calls go in parts, so that no script holds Redis up for more than milliseconds.

        Raises StaleFenceError when another watcher took a higher fence; ValueError for rows
        without a fence.
        """
        if fence is None and any(add.row is not None for add in adds):
            raise ValueError("rows need the watcher's fence")
        result = AddResult()
        for part in chunked(adds, _CHUNK):
            rows = [add.row for add in part if add.row is not None]
            result += self._add(part, rows=rows, fence=fence)
        return result

    def forget(self, keys: Sequence[RowKey], *, fence: int, lane: Lane = Lane.FRESH) -> None:
        """Delete the rows of what is gone; queue them, so that a worker cleans up."""
        for part in chunked(keys, _CHUNK):
            adds = [Add(key=key, lane=lane, cause="gone") for key in part]
            self._add(adds, gone=part, fence=fence)

    def store_rows(self, rows: Sequence[Row], *, fence: int) -> None:
        """Store rows without queueing their keys."""
        for part in chunked(rows, _CHUNK):
            self._add((), rows=part, fence=fence)

    def _add(
        self,
        adds: Sequence[Add],
        *,
        rows: Sequence[Row] = (),
        gone: Sequence[RowKey] = (),
        fence: int | None,
    ) -> AddResult:
        payload = {
            "fence": -1 if fence is None else fence,
            "rows": [(str(row.key), encode_row(row).decode(), fingerprint(row)) for row in rows],
            "gone": [str(key) for key in gone],
            "adds": [
                value
                for add in adds
                for value in (str(add.key), int(add.lane), add.delay_s, add.cause)
            ],
        }
        stored, *counts = self.scripts.run("add", payload, repeatable=True)
        if not stored:
            raise StaleFenceError(
                f"fence {fence} is not the highest any more: another watcher leads; stop writing"
            )
        new, duplicate, dirty, promoted, revived, repaired = counts
        return AddResult(
            new=new,
            duplicate=duplicate,
            dirty=dirty,
            promoted=promoted,
            revived=revived,
            repaired=repaired,
        )

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        """Say for each key whether it is queued, running, delayed or parked, proven by membership.

        A key whose hash says so while it stands in no list is not; adding it repairs it.
        """
        found: list[int] = []
        for part in chunked(keys, _CHUNK):
            payload = {"keys": [str(key) for key in part]}
            found += self.scripts.run("members", payload, repeatable=True)
        return [bool(member) for member in found]

    # --- the workers' side

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        """Take up to `limit` keys; empty when nothing is due or the queue is paused.

        Delayed keys that are due are promoted first. A key that is suspected of killing workers
        comes alone. After SourceUnavailableError call `recover`: the claims may be on record.
        """
        payload = {"worker": worker, "take": _take(pool, limit, lease_s, self._generation())}
        return self._claims(worker, self.scripts.run("claim", payload))

    def _claims(self, worker: str, packed_claims: bytes) -> list[Claim]:
        """Read what `claiming.lua` returned."""
        claims, strange = [], []
        found = msgspec.msgpack.decode(packed_claims) if packed_claims else []
        for job, token, tallies, faults, ago_s, crashes, lane in found:
            try:
                key = self.names.key_of(job)
            except ValueError:  # written by hand: no run would ever end this claim
                strange.append(encode_discard(job, token))
                continue
            claims.append(
                Claim(
                    key=key,
                    token=int(token),
                    tallies=decode_tallies(tallies),
                    faults=frozenset(faults.split()),
                    first_failed_ago_s=float(ago_s),
                    crashes=int(crashes),
                    lane=Lane(lane),
                )
            )
        if strange:
            self._complete(worker, strange, [], (), running=claims[0] if len(claims) == 1 else None)
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
        """End claims. False: the token is not valid any more, and nothing was changed.

        `running` marks the claim that starts next: a crash will be charged to it alone. `resent`
        says that the reply to the same call was lost, so that a token which the first one used up
        is not recorded as refused. Passes at maxmemory.
        """
        blobs: list[bytes] = []
        entries = [encode_done(self.names, claim, outcome, blobs) for claim, outcome in done]
        return self._complete(worker, entries, blobs, facts, running=running, resent=resent)[0]

    def complete_and_claim(  # noqa: PLR0913 # two calls in one
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        pool: str,
        limit: int,
        lease_s: float,
    ) -> tuple[list[bool], list[Claim]]:
        """End claims, and claim the next keys in the same step: one round trip for a long run.

        As `complete` and then `claim`, but nothing is claimed when an end was refused: a worker
        that lost a claim must first find out what it holds.
        """
        blobs: list[bytes] = []
        entries = [encode_done(self.names, claim, outcome, blobs) for claim, outcome in done]
        take = _take(pool, limit, lease_s, self._generation())
        valid, found = self._complete(worker, entries, blobs, facts, take=take)
        return valid, self._claims(worker, found)

    def release(self, worker: str, claims: Sequence[Claim]) -> list[bool]:
        """Give back claims that were not started, to the front of their lanes, in their order."""
        entries = [encode_release(self.names, claim) for claim in reversed(claims)]
        return self._complete(worker, entries, [], ())[0][::-1]

    def _complete(  # noqa: PLR0913 # one call of the script
        self,
        worker: str,
        entries: Sequence[Mapping[str, object]],
        blobs: Sequence[bytes],
        facts: Sequence[Fact],
        *,
        running: Claim | None = None,
        resent: bool = False,
        take: Mapping[str, object] | None = None,
    ) -> tuple[list[bool], bytes]:
        payload = {
            "worker": worker,
            "running": self.names.job_id(running.key) if running else "",
            "resent": resent,
            "done": entries,
            "facts": packed(facts),
            "take": take or False,
        }
        valid, found = self.scripts.run("complete", payload, blobs)
        return [bool(done) for done in valid], found

    def holds(self, claim: Claim) -> bool:
        """Say whether the claim is current: no other one of its key was made, nor was it ended."""
        with self.scripts.reading() as redis:
            token = redis.hget(self.names.job(claim.key), "s_token")
        return bool(token == str(claim.token).encode())

    def heartbeat(self, worker: str, *, lease_s: float) -> bool:
        """Renew the lease. False: it had ended and been reaped, so the claims are others' now."""
        return self.beat(worker, lease_s=lease_s)[0]

    def beat(self, worker: str, *, lease_s: float) -> tuple[bool, bool]:
        """Renew lease and rq registration; return whether each was still on record."""
        payload = {
            "worker": worker,
            "lease_s": lease_s,
            "worker_key": f"{RQ}:worker:{worker}",
            "worker_ttl_s": WORKER_TTL_S,
        }
        leased, registered = self.scripts.run("beat", payload, repeatable=True)
        return bool(leased), bool(registered)

    def reap(self, max_crashes: int, *, dead: str = "", by: str = "", fresh_s: float = 0.0) -> int:
        """Give back what workers whose lease ended had claimed; return how many keys.

        The crash is charged to the key that was running. One that killed `max_crashes` workers is
        parked. `dead` names a worker that is known to be gone, whatever its lease says. If `by` has
        less than `fresh_s` of its own lease left, the call was on its way for too long: while Redis
        stood still everybody's lease ended, and their heartbeats may wait behind it.
        """
        payload = {
            "max_crashes": max_crashes,
            "probe_after_s": CRASH_PROBE_S,
            "dead": dead,
            "by": by,
            "fresh_s": fresh_s,
        }
        return int(self.scripts.run("reap", payload, repeatable=True))

    def recover(self, worker: str, holding: Sequence[Claim]) -> int:
        """Give back the claims on record for `worker` that it does not hold; return how many."""
        return self._recover(worker, holding, leaving=False)

    def leave(self, worker: str) -> int:
        """End the lease of a worker that ends, and give back what it still holds."""
        return self._recover(worker, (), leaving=True)

    def _recover(self, worker: str, holding: Sequence[Claim], *, leaving: bool) -> int:
        tokens = [str(claim.token) for claim in holding]
        payload = {"worker": worker, "holding": tokens, "leaving": leaving}
        return int(self.scripts.run("recover", payload, repeatable=True))

    def wait(self, pool: str, timeout_s: float) -> None:
        """Block until work may be there: an add, the next due key, or the timeout (at most 5 s)."""
        names = self.names
        with self.scripts.pipeline() as pipe:
            for lane in Lane:
                pipe.zrange(names.rq("scheduled", pool, lane), 0, 0, withscores=True)
            pipe.zrange(names.own(f"probe:{pool}"), 0, 0, withscores=True)
            pipe.exists(names.own("paused"), f"{RQ}:suspended")
            pipe.time()
            *heads, paused, clock = pipe.execute()
        now = clock[0] + clock[1] / 1e6
        # What is due while the queue is paused stays due: nobody spins on it.
        due = [] if paused else [score - now for head in heads for _, score in head]
        timeout_s = max(0.001, min([timeout_s, _MAX_WAIT_S, *due]))
        with self.scripts.reading() as redis:
            redis.blpop([names.own(f"wake:{pool}")], timeout_s)

    def wake(self, pool: str, loops: int) -> None:
        """End the waits of that many idle loops, here or elsewhere: they look once and wait on."""
        with self.scripts.reading() as redis:
            redis.lpush(self.names.own(f"wake:{pool}"), *["1"] * loops)

    # --- the operator's side; the rest of it is `Desk`'s

    def requeue(self, key: WorkKey) -> bool:
        """Run a key now, whatever it waits for; False: it was about to anyway."""
        result = self.add([Add(key=key, cause="requeued by an operator")])
        return result.duplicate == 0
