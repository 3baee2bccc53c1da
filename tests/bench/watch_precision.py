"""Precision and recall on a real API server: 10,000 updates that hide some relevant ones.

What enters the queue must be the keys of the workloads that changed in something that matters, each
once, and no other. What matters is written down here, apart from the product: a kind of change, and
whose key it concerns. The updates come from several connections at once, those of one workload in
order. Nobody works the queue off meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from redis import Redis

from common.model.key import WorkloadKey
from sandbox.api import Api
from sandbox.controlplane import ControlPlane
from sandbox.gobuild import Say
from sandbox.place import Place
from sandbox.valkey import Valkey
from tests.bench.queue_rows import row
from tests.bench.watch_process import Running, poll_until, running
from tests.bench.watch_reports import CONTENT_HASH, report
from tests.bench.watch_workers import Queued, enqueued, queued, settle

UPDATES = 10_000
WORKLOADS = 200
HIDDEN = 80
NAMESPACE = "bench-precision"
_CLUSTER = "bench-precision"
_WRITERS = 8
_LABEL = "team"  # copied onto reports, so it matters
_ENVIRON = {"SLUICE_RESOURCE_LABELS": _LABEL, "OPERATOR_TARGET_NAMESPACES": NAMESPACE}
_GROUP = "/apis/aquasecurity.github.io/v1alpha1"
_REPORTS = f"{_GROUP}/namespaces/{NAMESPACE}/vulnerabilityreports"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_REVISION = "deployment.kubernetes.io/revision"
_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_MOMENT = "2026-11-25T10:00:00Z"
_MADE_S = 180.0
_QUIET_S = 120.0
_ROLLS = 4  # every fourth workload belongs to a Deployment


@dataclass(slots=True)
class Subject:
    """One ReplicaSet with its Pod and its report, and the updates that it gets, in order."""

    name: str
    uid: str
    pod: str
    deployment: str  # empty: none
    told: bool = True  # its kubelet has told an image
    digest: str = "1"
    restarts: int = 0

    @property
    def key(self) -> str:
        """Its work key."""
        return f"workload/ReplicaSet/{NAMESPACE}/{self.name}"

    @property
    def report(self) -> str:
        """The path of its report."""
        return f"{_REPORTS}/replicaset-{self.name}-app"


Update = Callable[[Api], object]


def measure(
    place: Place, plane: ControlPlane, valkey: Valkey, *, say: Say
) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, and whether the keys are exactly those that they must be."""
    chance = random.Random(6)  # noqa: S311 # the same updates every time
    subjects = _populate(plane)
    with (
        running(place, valkey, plane.kubeconfig, cluster=_CLUSTER, environ=_ENVIRON) as watcher,
        Redis.from_url(valkey.socket_url) as redis,
    ):
        watcher.await_swept()
        _rest(redis, watcher)
        before = enqueued(redis, watcher.names)
        began_s = time.monotonic()
        wanted = _update_all(plane, subjects, chance)
        seconds = time.monotonic() - began_s
        poll_until(
            lambda: _expected(plane, wanted) <= queued(redis, watcher.names).keys,
            timeout_s=_QUIET_S,
        )
        watcher.sweep()  # what the live fold did wrong, a sweep may find: nothing must be left
        found, times = queued(redis, watcher.names), enqueued(redis, watcher.names) - before
    expected = _expected(plane, wanted)
    return _judged(found, expected, times, seconds, say)


def _judged(
    found: Queued, expected: frozenset[str], times: int, seconds: float, say: Say
) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, and whether nothing is missing or too much."""
    missed, false = expected - found.keys, found.keys - expected
    for key in sorted(missed):
        say(f"WRONG: missed {key}")
    for key in sorted(false):
        say(f"WRONG: false {key}")
    # A key that was queued twice would be one that left the queue, and nobody took any.
    false_count = len(false) + max(0, times - len(found.keys))
    beside = f"{UPDATES:,} updates hide {HIDDEN} that matter, to {len(expected)} keys"
    rows = [
        row("false-keys", [false_count], unit="keys", goal=0, beside=beside),
        row("missed-keys", [len(missed)], unit="keys", goal=0, beside=beside),
        row("precision-updates", [UPDATES / seconds], unit="updates/s"),
    ]
    return rows, not false_count and not missed


# --- the world ------------------------------------------------------------------------------------


def _populate(plane: ControlPlane) -> list[Subject]:
    """Create ReplicaSets, a quarter of them by Deployments, with a Pod and a report each."""
    plane.create_namespace(NAMESPACE)
    for number in range(WORKLOADS):
        path, kind = (_SETS, "ReplicaSet") if number % _ROLLS else (_DEPLOYMENTS, "Deployment")
        plane.api.create(path, _workload(kind, f"app-{number}"))
    poll_until(lambda: len(plane.api.get(_PODS)["items"]) == WORKLOADS, timeout_s=_MADE_S)
    sets = {one["metadata"]["name"]: one["metadata"] for one in plane.api.get(_SETS)["items"]}
    subjects = [_subject(pod, sets) for pod in plane.api.get(_PODS)["items"]]
    subjects.sort(key=lambda one: one.name)
    for number, subject in enumerate(subjects):
        subject.told = bool(number % 5)  # the others' kubelets are slow
        plane.api.patch(f"{_PODS}/{subject.pod}/status", _status(subject))
        plane.api.create(_REPORTS, report(NAMESPACE, subject.name, uid=subject.uid))
    return subjects


def _subject(pod: Mapping[str, Any], sets: Mapping[str, Any]) -> Subject:
    owner = pod["metadata"]["ownerReferences"][0]
    above = sets[owner["name"]].get("ownerReferences") or ()
    return Subject(
        name=owner["name"],
        uid=owner["uid"],
        pod=pod["metadata"]["name"],
        deployment=above[0]["name"] if above else "",
    )


def _rest(redis: Redis, watcher: Running) -> None:
    """Work everything off until a sweep finds nothing."""

    def quiet() -> bool:
        settled = settle(redis, watcher.names, _reports_of)
        watcher.sweep()
        return not settled and not queued(redis, watcher.names).keys

    poll_until(quiet, timeout_s=_QUIET_S)


def _reports_of(key: WorkloadKey) -> Mapping[str, str]:
    return {f"VulnerabilityReport/{NAMESPACE}/replicaset-{key.name}-app": CONTENT_HASH}


# --- what happens ---------------------------------------------------------------------------------


def _update_all(
    plane: ControlPlane, subjects: Sequence[Subject], chance: random.Random
) -> dict[str, str]:
    """Make all updates, each subject's in order; return the subjects that matter, and how."""
    hidden = dict(zip(chance.sample(range(len(subjects)), HIDDEN), _kinds(), strict=False))
    each = UPDATES // len(subjects)
    wanted: dict[str, str] = {}

    def play(number: int) -> None:
        subject, dice = subjects[number], random.Random(number)  # noqa: S311 # as above
        due = dice.randrange(each) if number in hidden else -1
        for turn in range(each):
            if turn == due:
                kind = _fitting(hidden[number], subject)
                wanted[subject.name] = kind
                _RELEVANT[kind](plane.api, subject)
                if kind == "deletion":
                    return
            else:
                _noise(plane.api, subject, dice)

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(play, range(len(subjects))))
    return wanted


def _kinds() -> Iterator[str]:
    while True:
        yield from _RELEVANT


def _fitting(kind: str, subject: Subject) -> str:
    """Return the kind of change that a subject can have: not every one has a Deployment."""
    if kind == "revision" and not subject.deployment:
        return "template"
    if kind in ("template", "deletion") and subject.deployment:
        return "revision"
    if kind == "moved-tag" and not subject.told:
        return "first-image"
    if kind == "first-image" and subject.told:
        return "moved-tag"
    return kind


def _expected(plane: ControlPlane, wanted: Mapping[str, str]) -> frozenset[str]:
    """Return the keys that must be queued: a rollout concerns the new ReplicaSet too."""
    names = set(wanted)
    if "revision" in wanted.values():
        for one in plane.api.get(_SETS)["items"]:
            if one["metadata"].get("annotations", {}).get(_REVISION) == "2":
                names.add(one["metadata"]["name"])
    return frozenset(f"workload/ReplicaSet/{NAMESPACE}/{name}" for name in names)


def _first_image(api: Api, subject: Subject) -> None:
    subject.told = True
    api.patch(f"{_PODS}/{subject.pod}/status", _status(subject))


def _moved_tag(api: Api, subject: Subject) -> None:
    subject.digest = "2"
    api.patch(f"{_PODS}/{subject.pod}/status", _status(subject))


def _template(api: Api, subject: Subject) -> None:
    containers = [{"name": "app", "image": "registry.example/app:2"}]
    api.patch(
        f"{_SETS}/{subject.name}", {"spec": {"template": {"spec": {"containers": containers}}}}
    )


def _revision(api: Api, subject: Subject) -> None:
    containers = [{"name": "app", "image": "registry.example/app:2"}]
    template = {"spec": {"template": {"spec": {"containers": containers}}}}
    api.patch(f"{_DEPLOYMENTS}/{subject.deployment}", template)


def _label(api: Api, subject: Subject) -> None:
    api.patch(f"{_SETS}/{subject.name}", {"metadata": {"labels": {_LABEL: "shop"}}})


def _deletion(api: Api, subject: Subject) -> None:
    api.delete(f"{_SETS}/{subject.name}")


def _edited_report(api: Api, subject: Subject) -> None:
    api.patch(subject.report, {"report": {"summary": {"criticalCount": 9}}})


def _deleted_report(api: Api, subject: Subject) -> None:
    api.delete(subject.report)


_RELEVANT: Mapping[str, Callable[[Api, Subject], None]] = {
    "first-image": _first_image,
    "moved-tag": _moved_tag,
    "template": _template,
    "revision": _revision,
    "label": _label,
    "deletion": _deletion,
    "edited-report": _edited_report,
    "deleted-report": _deleted_report,
}


def _noise(api: Api, subject: Subject, dice: random.Random) -> None:
    """Make an update that no report depends on."""
    subject.restarts += 1
    number = subject.restarts
    match dice.randrange(10):
        case 0:
            annotations = {"bench/noise": str(number)}
            api.patch(f"{_SETS}/{subject.name}", {"metadata": {"annotations": annotations}})
        case 1:
            _try_patch(api, subject.report, {"metadata": {"labels": {"noise": str(number)}}})
        case _:
            _try_patch(api, f"{_PODS}/{subject.pod}/status", _status(subject))


def _try_patch(api: Api, path: str, body: Mapping[str, Any]) -> None:
    """Patch what may be gone by now: a rollout deletes the old Pod, somebody a report."""
    try:
        api.patch(path, body)
    except OSError as error:
        if getattr(error, "status", 0) != _NOT_FOUND:
            raise


_NOT_FOUND = 404


# --- objects --------------------------------------------------------------------------------------


def _workload(kind: str, name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _status(subject: Subject) -> dict[str, Any]:
    told = {
        "name": "app",
        "image": "registry.example/app:1",
        "imageID": f"registry.example/app@sha256:{subject.digest * 64}" if subject.told else "",
        "ready": False,
        "restartCount": subject.restarts,
        "state": {"running": {"startedAt": _MOMENT}},
    }
    if not subject.told:
        told["state"] = {"waiting": {"reason": "ContainerCreating"}}
    condition = {
        "type": "Initialized",
        "status": "True",
        "lastTransitionTime": f"2026-11-25T10:00:{subject.restarts % 60:02}Z",
    }
    phase = "Running" if subject.told else "Pending"
    return {"status": {"phase": phase, "conditions": [condition], "containerStatuses": [told]}}
