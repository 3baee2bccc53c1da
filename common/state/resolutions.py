"""What a reference meant for a workload when a registry was asked last.

Kept per workload: another tenant's answer proves nothing about this one's right to pull.
"""

from __future__ import annotations

from redis import Redis

from common.model.canonical import content_hash
from common.model.key import WorkloadKey
from common.state.names import RESOLUTION_TTL_S, Names
from common.state.scripts import Scripts


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
        """Remember the digest for a day."""
        with self._scripts.reading() as redis:
            redis.set(self._name(workload, reference), digest, ex=RESOLUTION_TTL_S)

    def _name(self, workload: WorkloadKey, reference: str) -> str:
        return self._scripts.names.own(f"resolved:{content_hash([str(workload), reference])}")
