"""Sees reports appear, by a watch of our own that shares nothing with the product."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Self

from sandbox.api import Api, Watch
from sandbox.controlplane import ControlPlane
from sandbox.demo.world import GROUP, REPORTS
from sandbox.node import Node

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_OWNER = "trivy-operator.resource.name"
_AGAIN_S = 0.2

Cluster = ControlPlane | Node
About = tuple[str, str, str]  # kind of report, namespace, name of the workload


class _MetadataApi(Api):
    """Watches metadata only: the API server then sends no report's body."""

    def __init__(self, plane: Cluster) -> None:
        super().__init__(plane.server, plane.admin_token, plane.ca)
        self._headers = {**self._headers, "Accept": _METADATA}


class Sightings:
    """When each workload's report of each kind was first seen, in Unix seconds. Use as a block."""

    def __init__(self, plane: Cluster) -> None:
        self._lists = plane.api  # a list of metadata has another name; there is nothing to list yet
        self._api = _MetadataApi(plane)
        self._at: dict[About, float] = {}
        self._stopping = threading.Event()
        self._watches: dict[str, Watch] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=(kind, plural), name=f"watch-{plural}")
            for kind, plural in REPORTS.items()
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
        self._api.close()

    def at(self) -> dict[About, float]:
        """Return what was seen so far."""
        return dict(self._at)

    def _follow(self, kind: str, plural: str) -> None:
        path = f"/apis/{GROUP}/v1alpha1/{plural}"
        while not self._stopping.is_set():
            # A silent stream breaks after 30 s: the list then fills the gap.
            with contextlib.suppress(OSError):
                listed = self._lists.get(path)
                for item in listed["items"]:
                    self._saw(kind, item)
                self._watch(kind, path, listed["metadata"]["resourceVersion"])
            self._stopping.wait(_AGAIN_S)

    def _watch(self, kind: str, path: str, version: str) -> None:
        self._watches[kind] = watch = self._api.watch(path, resourceVersion=version)
        with contextlib.closing(watch):
            if self._stopping.is_set():  # the end may have come before there was a watch to end
                return
            for event in watch:
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._saw(kind, event["object"])

    def _saw(self, kind: str, item: Any) -> None:
        metadata = item["metadata"]
        about = (kind, metadata["namespace"], metadata["labels"].get(_OWNER, ""))
        self._at.setdefault(about, time.time())
