"""Sees Pods and reports appear, by watches of our own that share nothing with the product."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sandbox.api import Api, Watch
from sandbox.controlplane import ControlPlane
from sandbox.demo.world import GROUP, REPORTS
from sandbox.node import Node

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_OWNER = "trivy-operator.resource.name"
_AGAIN_S = 0.2

Cluster = ControlPlane | Node
About = tuple[str, str, str]  # kind of report or IMAGE_ID, namespace, name of the workload
IMAGE_ID = "imageID"  # a kubelet told which image runs


class _MetadataApi(Api):
    """Watches metadata only: the API server then sends no report's body."""

    def __init__(self, plane: Cluster) -> None:
        super().__init__(plane.server, plane.admin_token, plane.ca)
        self._headers = {**self._headers, "Accept": _METADATA}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """One collection to watch."""

    path: str
    api: Api
    about: Callable[[Any], About | None]  # what an object tells; None: nothing new


class Sightings:
    """When what was first seen of each workload, in Unix seconds. Use as a block."""

    def __init__(self, plane: Cluster, *, kinds: Iterable[str] = REPORTS) -> None:
        """Watch Pods, and reports of these `kinds`, whose definitions must be installed."""
        self._lists = plane.api  # a list of metadata has another name; there is little to list
        self._metadata = _MetadataApi(plane)
        self._at: dict[About, float] = {}
        self._stopping = threading.Event()
        self._watches: dict[str, Watch] = {}
        streams = [_Stream(path="/api/v1/pods", api=plane.api, about=_image_of)]
        streams += [
            _Stream(
                path=f"/apis/{GROUP}/v1alpha1/{REPORTS[kind]}",
                api=self._metadata,
                about=_report_of(kind),
            )
            for kind in kinds
        ]
        self._threads = [
            threading.Thread(target=self._follow, args=(one,), name=f"watch {one.path}")
            for one in streams
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for watch in tuple(self._watches.values()):
            watch.interrupt()
        for thread in self._threads:
            thread.join()
        self._metadata.close()

    def at(self) -> dict[About, float]:
        """Return what was seen so far."""
        return dict(self._at)

    def count(self, *kinds: str) -> int:
        """Return how many of `kinds` were seen so far."""
        return sum(kind in kinds for kind, _, _ in self.at())

    def _follow(self, stream: _Stream) -> None:
        while not self._stopping.is_set():
            # A silent stream breaks after 30 s: the list then fills the gap.
            with contextlib.suppress(OSError):
                listed = self._lists.get(stream.path)
                for item in listed["items"]:
                    self._saw(stream.about(item))
                self._watch(stream, listed["metadata"]["resourceVersion"])
            self._stopping.wait(_AGAIN_S)

    def _watch(self, stream: _Stream, version: str) -> None:
        watch = stream.api.watch(stream.path, resourceVersion=version)
        self._watches[stream.path] = watch
        with contextlib.closing(watch):
            if self._stopping.is_set():  # the end may have come before there was a watch to end
                return
            for event in watch:
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._saw(stream.about(event["object"]))

    def _saw(self, about: About | None) -> None:
        if about is not None:
            self._at.setdefault(about, time.time())


def _report_of(kind: str) -> Callable[[Any], About | None]:
    def about(item: Mapping[str, Any]) -> About | None:
        metadata = item["metadata"]
        return kind, metadata["namespace"], metadata.get("labels", {}).get(_OWNER, "")

    return about


def _image_of(pod: Mapping[str, Any]) -> About | None:
    """Say whose image a kubelet told; None while it has not, and for a Pod that nobody owns."""
    metadata = pod["metadata"]
    told = any(one.get("imageID") for one in pod["status"].get("containerStatuses") or ())
    owners = metadata.get("ownerReferences") or ()
    return (IMAGE_ID, metadata["namespace"], owners[0]["name"]) if told and owners else None
