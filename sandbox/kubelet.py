"""A stand-in for scheduler and kubelet, for machines without root: Pods get nodes and status.

It watches Pods, binds them, resolves their images at the registry and writes the status that a
kubelet writes; it runs nothing. Two threads of this process. It survives restarts of the API
server, because all it must know stands in the Pods.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, assert_never

from sandbox.api import Api, ApiError, Watch
from sandbox.controlplane import ControlPlane
from sandbox.duequeue import DueQueue
from sandbox.podstatus import (
    Pod,
    Pull,
    Pulled,
    PullFailed,
    finished_status,
    running_status,
    tells_news,
)
from sandbox.podstep import Bind, Finish, Node, Remove, Rest, Run, next_step
from sandbox.processes import Stack
from sandbox.pull import authorizations_in, parse, resolve

PULL_AGAIN_S = 3.0  # a kubelet waits 10 s, then twice as long each time; tests cannot
_RECONNECT_S = 0.2
_ACT_AGAIN_S = 0.5
NODES = {"node-1": "linux/amd64", "node-2": "linux/amd64"}


class Kubelet:
    """The kubelets of all `nodes` (name → platform) and the scheduler, for some namespaces."""

    def __init__(
        self,
        controlplane: ControlPlane,
        stack: Stack,
        *,
        nodes: Mapping[str, str] = NODES,
        looks_at: Callable[[str], bool] = lambda _namespace: True,
    ) -> None:
        """Nothing happens before `start`. `looks_at` says which namespaces it serves."""
        self._controlplane = controlplane
        self._stack = stack
        self._platforms = nodes
        self._nodes: list[Node] = []
        self._looks_at = looks_at
        self._api = Api(controlplane.server, controlplane.admin_token, controlplane.ca)
        self._pods: dict[str, Pod] = {}
        self._queue = DueQueue()
        self._puller = _Puller(self._api)
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._threads = (
            threading.Thread(target=self._follow, name="kubelet-watch"),
            threading.Thread(target=self._work, name="kubelet-work"),
        )

    def start(self) -> Self:
        """Create the nodes and serve their Pods from now on."""
        self._stack.push(self)
        for name, platform in self._platforms.items():
            self._controlplane.add_node(name, platform)
            labels = self._api.get(f"/api/v1/nodes/{name}")["metadata"]["labels"]
            self._nodes.append(Node(name=name, labels=labels))
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End both threads; Pods keep the status they have."""
        self._stopping.set()
        self._queue.close()
        if self._watch is not None:
            self._watch.interrupt()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._api.close()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow_once()
            except OSError:  # the API server restarts, or the stream was silent for long
                self._stopping.wait(_RECONNECT_S)

    def _follow_once(self) -> None:
        listed = self._api.get("/api/v1/pods")
        self._pods = {}
        for pod in listed["items"]:
            self._take("ADDED", pod)
        version = listed["metadata"]["resourceVersion"]
        self._watch = watch = self._api.watch("/api/v1/pods", resourceVersion=version)
        if self._stopping.is_set():  # `stop` may have come before there was a watch to end
            watch.close()
            return
        try:
            for event in watch:
                if event["type"] == "ERROR":
                    return
                self._take(event["type"], event["object"])
        finally:
            watch.close()

    def _take(self, kind: str, pod: Pod) -> None:
        metadata = pod["metadata"]
        if not self._looks_at(metadata["namespace"]):
            return
        key = f"{metadata['namespace']}/{metadata['name']}"
        if kind == "DELETED":
            self._pods.pop(key, None)
            self._puller.forget(metadata["uid"])
            return
        self._pods[key] = pod
        self._queue.add(key)

    def _work(self) -> None:
        while (key := self._queue.next()) is not None:
            pod = self._pods.get(key)
            if pod is None:
                continue
            try:
                self._act(key, pod)
            except OSError:  # gone, changed meanwhile, or the API server restarts: look again
                self._queue.add(key, delay_s=_ACT_AGAIN_S)

    def _act(self, key: str, pod: Pod) -> None:
        step = next_step(pod, self._nodes)
        match step:
            case Rest():
                pass
            case Bind(node=node):
                target = {"apiVersion": "v1", "kind": "Node", "name": node}
                name = {"name": pod["metadata"]["name"]}
                self._api.create(f"{_path(pod)}/binding", {"metadata": name, "target": target})
            case Remove():
                self._api.delete(_path(pod), uid=pod["metadata"]["uid"], grace_s=0)
            case Run(images=images):
                self._run(key, pod, images)
            case Finish():
                self._write(key, pod, finished_status(pod, now=_now()))
            case _:
                assert_never(step)

    def _run(self, key: str, pod: Pod, images: Iterable[str]) -> None:
        pulls = {image: self._puller.pull(pod, image) for image in images}
        status = running_status(pod, pulls, now=_now())
        if tells_news(pod, status):
            self._write(key, pod, status)
        if any(isinstance(pull, PullFailed) for pull in pulls.values()):
            self._queue.add(key, delay_s=PULL_AGAIN_S)

    def _write(self, key: str, pod: Pod, status: Mapping[str, Any]) -> None:
        # The uid makes the patch fail on a new Pod of the same name.
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        self._pods[key] = self._api.patch(f"{_path(pod)}/status", patch)


class _Puller:
    """The images of the nodes: what is there, and when a failed pull may be tried again."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._present: dict[tuple[str, str], Pulled] = {}  # node, image
        self._failed: dict[tuple[str, str], tuple[float, PullFailed]] = {}  # uid, image

    def pull(self, pod: Pod, image: str) -> Pull:
        """Do what the container's imagePullPolicy says; within 3 s of a failure, nothing."""
        place = (pod["spec"]["nodeName"], image)
        attempt = (pod["metadata"]["uid"], image)
        if place in self._present and not _is_always(pod, image):
            return self._present[place]
        again_at, failure = self._failed.get(attempt, (0.0, None))
        if failure is not None and time.monotonic() < again_at:
            return failure
        pull = resolve(image, self._authorizations(pod, image))
        if isinstance(pull, Pulled):
            self._present[place] = pull
            self._failed.pop(attempt, None)
            return pull
        backing_off = PullFailed(message=pull.message, again=True)
        self._failed[attempt] = (time.monotonic() + PULL_AGAIN_S, backing_off)
        return pull if failure is None else backing_off

    def forget(self, uid: str) -> None:
        """Drop the failures of a Pod that is gone."""
        self._failed = {key: value for key, value in self._failed.items() if key[0] != uid}

    def _authorizations(self, pod: Pod, image: str) -> Iterator[str]:
        """Yield what the Pod's pull secrets hold for the image's registry, read when needed."""
        reference = parse(image)
        namespace = pod["metadata"]["namespace"]
        for entry in pod["spec"].get("imagePullSecrets") or ():
            try:
                path = f"/api/v1/namespaces/{namespace}/secrets/{entry['name']}"
                secret = self._api.get(path)
            except ApiError:
                continue  # a kubelet pulls without a secret that is missing
            if reference is not None:
                yield from authorizations_in(secret, reference.host)


def _is_always(pod: Pod, image: str) -> bool:
    lists = ("initContainers", "containers", "ephemeralContainers")
    return any(
        container["image"] == image and container.get("imagePullPolicy") == "Always"
        for name in lists
        for container in pod["spec"].get(name) or ()
    )


def _path(pod: Pod) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
