"""What a reference meant for a workload when a registry was asked last.

Kept per workload: another tenant's answer proves nothing about this one's right to pull.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis import Redis

from common.model.canonical import content_hash
from common.model.key import WorkloadKey
from common.state.names import IDENTITY_TTL_S, RESOLUTION_TTL_S, Names
from common.state.readable import key_of
from common.state.scripts import Scripts

# Of one sweep; the next one takes what is left.
_MOST_DUE = 5_000


class ResolutionTable:
    """Digests of references that no kubelet has run for a workload."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def get(self, workload: WorkloadKey, reference: str) -> str | None:
        """Return the digest; None: never asked, or longer ago than a day."""
        with self._scripts.reading() as redis:
            found = redis.get(self._name(workload, reference))
        return None if found is None else found.decode()

    def put(self, workload: WorkloadKey, reference: str, digest: str) -> None:
        """Remember the digest for a day, and that the workload must ask again then.

        No kubelet will tell that the tag has moved.
        """
        with self._scripts.reading() as redis:
            seconds, _ = redis.time()
            due_s = seconds + RESOLUTION_TTL_S + 1  # when the digest is forgotten
            redis.set(self._name(workload, reference), digest, ex=RESOLUTION_TTL_S)
            redis.zadd(self._due, {str(workload): due_s})

    def content(self, workload: WorkloadKey, config: str, platform: str) -> str | None:
        """Return the digest that was found to have that configuration; renews the memory of it."""
        name = self._name(workload, f"{config} {platform}")
        with self._scripts.reading() as redis:
            found = redis.get(name)
            if found is not None:
                redis.expire(name, IDENTITY_TTL_S)
        return None if found is None else found.decode()

    def keep_content(
        self, workload: WorkloadKey, config: str, platform: str, *, digest: str
    ) -> None:
        """Remember it: what was true of a digest stays true, whatever the tag means later."""
        with self._scripts.reading() as redis:
            name = self._name(workload, f"{config} {platform}")
            redis.set(name, digest, ex=IDENTITY_TTL_S)

    def due(self, now_s: float) -> list[WorkloadKey]:
        """Return the workloads that must ask again by now, the longest due first."""
        with self._scripts.reading() as redis:
            texts = redis.zrangebyscore(self._due, "-inf", now_s, start=0, num=_MOST_DUE)
            keys = {text: key_of(text) for text in texts}
            garbage = [text for text, key in keys.items() if not isinstance(key, WorkloadKey)]
            if garbage:
                redis.zrem(self._due, *garbage)
        return [key for key in keys.values() if isinstance(key, WorkloadKey)]

    def asked(self, workloads: Iterable[WorkloadKey]) -> None:
        """Forget that they must: they are queued, or gone."""
        texts: Sequence[str] = [str(key) for key in workloads]
        if texts:
            with self._scripts.reading() as redis:
                redis.zrem(self._due, *texts)

    @property
    def _due(self) -> str:
        return self._scripts.names.own("resolve-due")

    def _name(self, workload: WorkloadKey, reference: str) -> str:
        return self._scripts.names.own(f"resolved:{content_hash([str(workload), reference])}")
