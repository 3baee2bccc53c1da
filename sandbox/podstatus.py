"""The status that a kubelet writes of a Pod. Pure.

A stand-in: it runs nothing. Containers count as running as soon as their image is known, Pods of
a Job as finished right after; there are no probes, no restarts, no exit codes but 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Pod = Mapping[str, Any]  # as the API server sends it: foreign data, read with defaults
Json = dict[str, Any]

_LISTS = (
    ("initContainers", "initContainerStatuses"),
    ("containers", "containerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The image is on the node."""

    image_id: str  # <registry>/<repository>@sha256:…, the digest that the reference resolves to


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFailed:
    """The image could not be had."""

    message: str
    again: bool = False  # it failed before: the reason is ImagePullBackOff, not ErrImagePull


Pull = Pulled | PullFailed


def running_status(pod: Pod, pulls: Mapping[str, Pull], *, now: str) -> Json:
    """Return the status after the images in `pulls` were tried; `now` is an RFC 3339 time.

    Init containers come first, as at a kubelet: while one has no image, the others wait.
    """
    status: Json = {}
    blocked = False
    ready = True
    for field, container, known in containers(pod):
        is_init = field == "initContainerStatuses"
        pull = pulls.get(container["image"])
        if is_pulled(container, known):
            pull = Pulled(image_id=known["imageID"])
        if blocked or pull is None:
            entry = _waiting(container, "PodInitializing", "")
        elif isinstance(pull, PullFailed):
            entry = _not_pulled(container, pull)
        else:
            done = is_init and container.get("restartPolicy") != "Always"
            entry = _started(pod, container, pull.image_id, now=now, done=done)
        failed = "waiting" in entry["state"]
        blocked = blocked or (failed and is_init)
        ready = ready and (not failed or field == "ephemeralContainerStatuses")
        status.setdefault(field, []).append(entry)
    address = _address(pod["metadata"]["uid"])
    return status | {
        "phase": "Running" if ready else "Pending",
        "conditions": _conditions(ready=ready, initialized=not blocked, now=now),
        "hostIP": "198.18.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": pod.get("status", {}).get("startTime", now),
    }


def finished_status(pod: Pod, *, now: str) -> Json:
    """Return the status of a Pod whose containers all ended with exit code 0."""
    status: Json = {"phase": "Succeeded"}
    for field, container, known in containers(pod):
        ended = {**known, "ready": False, "started": False}
        if "terminated" not in known.get("state", {}):
            ended["state"] = {"terminated": _completed(pod, container, now=now)}
        status.setdefault(field, []).append(ended)
    conditions = _conditions(ready=False, initialized=True, now=now)
    return status | {"conditions": [{**c, "reason": "PodCompleted"} for c in conditions]}


def tells_news(pod: Pod, status: Mapping[str, Any]) -> bool:
    """Say whether `status` differs from the Pod's in more than times and messages."""
    return _gist(pod.get("status", {})) != _gist(status)


def _gist(status: Mapping[str, Any]) -> Json:
    entries = {
        (field, entry["name"]): (entry.get("imageID"), _reason(entry.get("state", {})))
        for _, field in _LISTS
        for entry in status.get(field, ())
    }
    return {"phase": status.get("phase"), "entries": entries}


def _reason(state: Mapping[str, Any]) -> tuple[str, str]:
    kind = next(iter(state), "")
    return kind, (state.get(kind) or {}).get("reason", "")


def containers(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield status field, container and what its status says so far; init containers first."""
    for listed, field in _LISTS:
        known = {entry["name"]: entry for entry in pod.get("status", {}).get(field) or ()}
        for container in pod["spec"].get(listed) or ():
            yield field, container, known.get(container["name"], {})


def is_pulled(container: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Say whether the status knows the image that the container asks for now."""
    return bool(known.get("imageID")) and known.get("image") == container["image"]


def _not_pulled(container: Mapping[str, Any], pull: PullFailed) -> Json:
    if pull.again:
        said = f'Back-off pulling image "{container["image"]}": ErrImagePull: {pull.message}'
        return _waiting(container, "ImagePullBackOff", said)
    return _waiting(container, "ErrImagePull", pull.message)


def _waiting(container: Mapping[str, Any], reason: str, message: str) -> Json:
    waiting = {"reason": reason} | ({"message": message} if message else {})
    return {
        **_entry(container),
        "imageID": "",
        "state": {"waiting": waiting},
        "ready": False,
        "started": False,
    }


def _started(
    pod: Pod, container: Mapping[str, Any], image_id: str, *, now: str, done: bool
) -> Json:
    if done:
        state: Json = {"terminated": _completed(pod, container, now=now)}
    else:
        state = {"running": {"startedAt": now}}
    return {
        **_entry(container),
        "imageID": image_id,
        "containerID": _container_id(pod, container),
        "state": state,
        "ready": True,
        "started": not done,
    }


def _entry(container: Mapping[str, Any]) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "restartCount": 0,
        "lastState": {},
    }


def _completed(pod: Pod, container: Mapping[str, Any], *, now: str) -> Json:
    return {
        "exitCode": 0,
        "reason": "Completed",
        "startedAt": now,
        "finishedAt": now,
        "containerID": _container_id(pod, container),
    }


def _conditions(*, ready: bool, initialized: bool, now: str) -> list[Json]:
    claims = {
        "PodReadyToStartContainers": True,
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": True,
    }
    return [
        {"type": name, "status": str(holds), "lastTransitionTime": now}
        for name, holds in claims.items()
    ]


def _container_id(pod: Pod, container: Mapping[str, Any]) -> str:
    identity = f"{pod['metadata']['uid']}/{container['name']}"
    return f"containerd://{hashlib.sha256(identity.encode()).hexdigest()}"


def _address(uid: str) -> str:
    number = spread(uid, 254 * 254)
    return f"10.244.{number // 254 + 1}.{number % 254 + 1}"


def spread(uid: str, count: int) -> int:
    """Return a number below `count` that is always the same for `uid`."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) % count
