"""Every workload with what it is now, to be looked through a page at a time. Pure.

Built with each look of the status page and dropped when nobody looks: 170 bytes a workload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import intern
from typing import NamedTuple

from common.model.key import WorkloadKey
from common.overview.documents import Document
from common.overview.lacking import Lack, why

TRUE, RESTING = "true", "resting"
_DEPLOYMENTS = frozenset({"deployment", "deployments", "deploy"})


class Listed(NamedTuple):
    """One workload."""

    namespace: str
    kind: str
    name: str
    state: str  # `true`, `resting`, or why it lacks reports: a word of `common.overview.lacking`
    reason: str

    @property
    def shown(self) -> str:
        """The name users type: `Kind/namespace/name`."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def document(self) -> Document:
        """What JSON shows."""
        return {**self._asdict(), "why": said(self.state, self.reason)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which workloads are meant; what is empty, chooses nothing."""

    text: str = ""  # a part of `Kind/namespace/name`, in any case, or a report's name
    namespace: str = ""
    state: str = ""

    def takes(self, one: Listed) -> bool:
        """Whether a workload of any state is meant."""
        return (not self.namespace or one.namespace == self.namespace) and (
            not self.text
            or self.text in one.shown.lower()
            or self.text.startswith(f"{one.kind}-{one.name}-".lower())
        )

    @property
    def lower(self) -> Choice:
        """The same of any state, as `takes` compares it.

        A Deployment is found by its ReplicaSets, which carry its name: they are the workloads.
        """
        text = self.text.lower()
        kind, slash, rest = text.partition("/")
        owned = f"replicaset/{rest}" if kind in _DEPLOYMENTS and slash else text
        return Choice(text=owned, namespace=self.namespace)


class Roster:
    """Workloads in the order in which they need somebody's eyes."""

    def __init__(self, listed: Iterable[tuple[WorkloadKey, Lack | str]]) -> None:
        """Take each workload with why it lacks reports, or the word for that it lacks none."""
        ranked = sorted((_rank(lack), _listed(key, lack)) for key, lack in listed)
        self._all = [one for _, one in ranked]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Listed]:
        return iter(self._all)

    @cached_property
    def namespaces(self) -> Mapping[str, int]:
        """How many there are in each namespace, by name."""
        return dict(sorted(Counter(one.namespace for one in self._all).items()))

    def chosen(
        self, choice: Choice, *, start: int, limit: int
    ) -> tuple[Sequence[Listed], Mapping[str, int]]:
        """Return a page of those that are meant; and how many would be, by state."""
        whatever = choice.lower
        near = [one for one in self._all if whatever.takes(one)]
        found = [one for one in near if not choice.state or one.state == choice.state]
        return found[start : start + limit], dict(Counter(one.state for one in near))


def said(state: str, reason: str) -> str:
    """Return in words what a workload's state means."""
    if state == TRUE:
        return "reports are true"
    if state == RESTING:
        return "needs no reports"
    return why({"why": state, "reason": reason})


def _rank(lack: Lack | str) -> tuple[int, str]:
    """Return what comes first: the smallest."""
    if isinstance(lack, Lack):
        return lack.rank
    return (_LAST + (lack == RESTING), "")


_LAST = 100  # behind every reason to lack reports


def _listed(key: WorkloadKey, lack: Lack | str) -> Listed:
    state, reason = (lack.why, lack.reason) if isinstance(lack, Lack) else (lack, "")
    return Listed(
        namespace=intern(key.namespace),
        kind=intern(key.kind),
        name=key.name,
        state=intern(str(state)),
        reason=intern(reason),
    )
