"""Pods: which digests run for an owner's containers, and what a kubelet cannot pull.

The running digest, not the tag, is what is scanned. A Pod update that changes neither digest, pull
error, node nor end of life leaves the fact equal and never leaves this fold. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from common.model.workload import Running
from watcher.fold.facts import Controller, PodFact, Told
from watcher.fold.owned import Owned


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What all Pods of one owner tell together."""

    has_pods: bool = False  # one that is not finished exists
    running: dict[str, tuple[Running, ...]] = {}  # by container; the newest Pod's digest first
    pull_errors: dict[str, str] = {}  # by container; only where nothing runs
    loaded: dict[str, tuple[Running, ...]] = {}  # configurations; only where nothing else is told


class Pods:
    """Fold of all Pods, found by name and by owner in O(1)."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, PodFact]] = {}
        self._owned: Owned[PodFact] = Owned()

    def get(self, namespace: str, name: str) -> PodFact | None:
        """Return the Pod, or None."""
        return self._by_name.get(namespace, {}).get(name)

    def keys(self, namespace: str) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of every Pod, in one namespace or (empty) in all."""
        for inside, pods in self._by_name.items():
            if namespace in ("", inside):
                yield from ((inside, name) for name in pods)

    def owner(self, named: Controller, namespace: str) -> Controller:
        """Return the one object by which its Pods know a controller; else what was given."""
        return self._owned.controller(named, namespace) or named

    def put(self, pod: PodFact) -> PodFact | None:
        """Take a Pod in; return what was known of it before, None for a new one."""
        before = self.get(pod.namespace, pod.name)
        if before == pod:
            return before
        if before is not None:
            self._owned.drop(before)
        self._by_name.setdefault(pod.namespace, {})[pod.name] = pod
        self._owned.add(pod)
        return before

    def remove(self, namespace: str, name: str) -> PodFact | None:
        """Drop a Pod; return what was known of it."""
        pods = self._by_name.get(namespace)
        pod = pods.pop(name, None) if pods else None
        if pods is not None and not pods:
            del self._by_name[namespace]
        if pod is not None:
            self._owned.drop(pod)
        return pod

    def of(self, controller: Controller, namespace: str) -> list[PodFact]:
        """Return the Pods that `controller`, this very object, controls.

        Owners are told apart by uid: Pods of a deleted StatefulSet may outlive it beside a new one
        of the same name.
        """
        return self._owned.under(controller, namespace)

    def __len__(self) -> int:
        """Return how many there are; safe while another thread folds."""
        return sum(len(pods) for pods in list(self._by_name.values()))

    def __iter__(self) -> Iterator[PodFact]:
        for pods in self._by_name.values():
            yield from pods.values()


def see(pods: Iterable[PodFact], *, platform_of: Callable[[str], str], finished_tell: bool) -> Seen:
    """Fold the Pods of one owner.

    `finished_tell`: where no living Pod tells a digest for a container, the newest finished one
    does: a Job that is done has still run something. Of other owners a finished Pod says nothing.
    """
    newest_first = sorted(pods, key=lambda pod: pod.age_rank, reverse=True)
    living = [pod for pod in newest_first if not pod.finished]
    running = _running(living, platform_of)
    if finished_tell:
        for pod in newest_first:
            if pod.finished and _tells_more(pod, running):
                running = {**_running([pod], platform_of), **running}
    told = _running(living, platform_of, digest_in=lambda one: one.config)
    loaded = {name: seen for name, seen in told.items() if name not in running}
    pull_errors = _pull_errors(living, known={**loaded, **running})
    return Seen(has_pods=bool(living), running=running, pull_errors=pull_errors, loaded=loaded)


def _tells_more(pod: PodFact, running: Collection[str]) -> bool:
    """Whether a Pod tells a digest for a container of which none is known."""
    return any(told.digest and told.container not in running for told in pod.told)


def _running(
    newest_first: Iterable[PodFact],
    platform_of: Callable[[str], str],
    *,
    digest_in: Callable[[Told], str] = lambda told: told.digest,
) -> dict[str, tuple[Running, ...]]:
    """Return the distinct digests by container, the newest Pod's digest first.

    Platforms of one digest are sorted, so that Pods that come and go on nodes of two platforms
    (the imageID is the index' digest on both) do not reorder the row.
    """
    platforms: dict[str, dict[str, set[str]]] = {}
    for pod in newest_first:
        for told in pod.told:
            digest = digest_in(told)
            if digest:
                digests = platforms.setdefault(told.container, {})
                digests.setdefault(digest, set()).add(platform_of(pod.node))
    return {
        container: tuple(
            Running(digest=digest, platform=platform)
            for digest, seen in digests.items()
            for platform in sorted(seen)
        )
        for container, digests in platforms.items()
    }


def _pull_errors(
    newest_first: Iterable[PodFact], *, known: dict[str, tuple[Running, ...]]
) -> dict[str, str]:
    """Return the newest pull error of each container for which nothing runs.

    Where something runs the error decides nothing, and it would come and go with every node that
    is added.
    """
    errors: dict[str, str] = {}
    for pod in newest_first:
        for told in pod.told:
            if told.pull_error and told.container not in known:
                errors.setdefault(told.container, told.pull_error)
    return errors
