"""How long workloads were without a report that they had had: watched, not sampled.

A watch tells every change in the API server's order, so not even an absence of a millisecond is
missed; a list every so often would miss most of them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sandbox.api import Api, ApiError, Watch
from sandbox.demo.world import GROUP, REPORTS

_LABEL = "trivy-operator."
# The server ends a watch after this long and we go on where it ended: a silent stream would look
# like a broken one to the client. Shorter than that client's patience.
_WATCH_S = 10
_ONE = {"ADDED", "MODIFIED"}

# Report kind, namespace, workload, container. A Deployment's workload is the Deployment, whichever
# of its ReplicaSets the report is about.
Place: TypeAlias = tuple[str, str, str, str]


def place_of(kind: str, report: Mapping[str, Any]) -> Place:
    """Return whose report it is, by its labels."""
    labels = report["metadata"]["labels"]
    owner, name = labels[f"{_LABEL}resource.kind"], labels[f"{_LABEL}resource.name"]
    if owner == "ReplicaSet":  # `web-5d8f7c9b4`
        owner, name = "Deployment", name.rpartition("-")[0]
    namespace = labels[f"{_LABEL}resource.namespace"]
    return kind, namespace, f"{owner}/{name}", labels[f"{_LABEL}container.name"]


@dataclass(slots=True)
class Presence:
    """Which places have a report now, and how long each had none. Pure but for its own state."""

    _stored: dict[Place, set[str]] = field(default_factory=dict)
    _absent_since_s: dict[Place, float] = field(default_factory=dict)
    _longest_s: dict[Place, float] = field(default_factory=dict)

    def see(self, event: str, kind: str, report: Mapping[str, Any], *, at_s: float) -> None:
        """Fold one event of a watch."""
        place, name = place_of(kind, report), report["metadata"]["name"]
        stored = self._stored.setdefault(place, set())
        if event in _ONE:
            stored.add(name)
            self._end(place, at_s)
        elif event == "DELETED":
            stored.discard(name)
            if not stored:
                self._absent_since_s.setdefault(place, at_s)

    def _end(self, place: Place, at_s: float) -> None:
        since_s = self._absent_since_s.pop(place, None)
        if since_s is not None:
            # Never 0: gone and back within one tick of the clock is an absence too.
            absent_s = max(at_s - since_s, 1e-9)
            self._longest_s[place] = max(self._longest_s.get(place, 0.0), absent_s)

    def places(self) -> set[Place]:
        """Return every place that ever had a report."""
        return set(self._stored)

    def gaps(self, now_s: float) -> dict[Place, float]:
        """Return the longest absence of each place that had one, in seconds."""
        still = {place: now_s - since_s for place, since_s in self._absent_since_s.items()}
        return {
            place: max(self._longest_s.get(place, 0.0), still.get(place, 0.0))
            for place in self._longest_s.keys() | still.keys()
        }


class AbsenceWatch:
    """Watches all three kinds in every namespace, from its start to its `stop`."""

    def __init__(self, api: Api) -> None:
        """Begin with what is stored now."""
        self._api = api
        self._presence = Presence()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._faults: list[str] = []
        self._open: set[Watch] = set()
        starts = {kind: self._begin(kind) for kind in REPORTS}
        self._threads = [
            threading.Thread(target=self._follow, args=start, name=f"absence-{start[0]}")
            for start in starts.items()
        ]
        for thread in self._threads:
            thread.start()

    def _begin(self, kind: str) -> str:
        listed = self._api.get(_path(kind))
        for item in listed["items"]:
            self._presence.see("ADDED", kind, item, at_s=time.monotonic())
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, kind: str, version: str) -> None:
        """Fold every event since `version`; whatever would lose one is a fault."""
        try:
            while not self._stopping.is_set():
                version = self._watch_once(kind, version)
        except (ApiError, KeyError) as error:
            self._faults.append(f"{kind}: {error!r}")

    def _watch_once(self, kind: str, version: str) -> str:
        """Follow one stream to its end; return the version up to which it was followed."""
        query = {"resourceVersion": version, "timeoutSeconds": str(_WATCH_S)}
        stream = self._api.watch(_path(kind), allowWatchBookmarks="true", **query)
        self._open.add(stream)
        try:
            with contextlib.suppress(OSError):  # cut by `stop`, or broken: resumed
                for event in stream:
                    report = event["object"]
                    if event["type"] == "ERROR":
                        raise ApiError(int(report["code"]), str(report["message"]))
                    if event["type"] != "BOOKMARK":
                        with self._lock:
                            self._presence.see(event["type"], kind, report, at_s=time.monotonic())
                    version = str(report["metadata"]["resourceVersion"])
        finally:
            self._open.discard(stream)
            stream.close()
        return version

    def stop(self) -> None:
        """End the watches."""
        self._stopping.set()
        for stream in tuple(self._open):
            stream.interrupt()
        for thread in self._threads:
            thread.join()

    def places(self) -> set[Place]:
        """Return every place that had a report while we watched."""
        with self._lock:
            return self._presence.places()

    def gaps(self) -> dict[Place, float]:
        """Return the longest absence of each place that had one; raises if an event was lost."""
        if self._faults:
            raise AssertionError(f"the watch did not see everything: {self._faults}")
        with self._lock:
            return self._presence.gaps(time.monotonic())


@contextlib.contextmanager
def absences(api: Api) -> Iterator[AbsenceWatch]:
    """Watch during a block; ask `gaps` within it."""
    watch = AbsenceWatch(api)
    try:
        yield watch
    finally:
        watch.stop()


def _path(kind: str) -> str:
    return f"/apis/{GROUP}/v1alpha1/{REPORTS[kind]}"
