"""Nodes: which platform a Pod runs on, and which one to assume where nothing runs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

DEFAULT_PLATFORM = "linux-amd64"  # a cluster without a node that says otherwise
# A node that is deleted may have Pods for a while (the Pod garbage collector waits 40 s for it to
# come back); without memory they would seem to move to the default platform, and be scanned for
# it. Autoscaled node names never return, hence the bound.
REMEMBERED_DELETED = 1024


class Nodes:
    """Fold of all Nodes. Every method is O(1) but `default_platform`, O(platforms)."""

    def __init__(self, assumed: str = DEFAULT_PLATFORM) -> None:
        """`assumed` is the platform while no node is known."""
        self._assumed = assumed
        self._live: dict[str, str] = {}
        self._deleted: dict[str, str] = {}  # insertion order is the order of deletion
        self._counts: Counter[str] = Counter()

    def put(self, name: str, platform: str) -> bool:
        """Take a node's platform (`linux-amd64`); return whether it is new."""
        before = self._live.get(name)
        if before == platform:
            return False
        if before is not None:
            self._count(before, -1)
        self._live[name] = platform
        self._count(platform, 1)
        return self._deleted.pop(name, None) != platform

    def remove(self, name: str) -> None:
        """Forget a node, but remember its platform for the Pods that are still bound to it."""
        platform = self._live.pop(name, None)
        if platform is None:
            return
        self._count(platform, -1)
        self._deleted[name] = platform
        if len(self._deleted) > REMEMBERED_DELETED:
            del self._deleted[next(iter(self._deleted))]

    def __len__(self) -> int:
        return len(self._live)

    def names(self) -> Iterator[str]:
        """Yield the name of every node that is there."""
        return iter(self._live)

    def platform_of(self, node: str) -> str:
        """Return the platform of a node; the default one where it is not known."""
        return self._live.get(node) or self._deleted.get(node) or self.default_platform

    @property
    def default_platform(self) -> str:
        """The commonest platform; among equally common ones the first by name."""
        if not self._counts:
            return self._assumed
        return min(self._counts, key=lambda platform: (-self._counts[platform], platform))

    def _count(self, platform: str, change: int) -> None:
        self._counts[platform] += change
        if not self._counts[platform]:
            del self._counts[platform]
