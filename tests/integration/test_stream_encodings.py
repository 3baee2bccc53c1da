"""Both encodings of everything that the watcher follows, from a real kube-apiserver."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from common.kube.cluster import Cluster as Definitions
from common.kube.envelopes import Status
from common.kube.errors import Call, InvalidError, NotFoundError, UnavailableError, api_error
from common.kube.negotiate import JSON, PROTOBUF
from common.kube.resources import Reports
from common.kube.session import Query, Session
from common.kube.stream import Stream
from common.model.workload import WorkloadRow
from common.reports.crds import definitions
from sandbox.controlplane import ControlPlane
from tests import builders as b
from tests.folding import empty, whole_state
from tests.integration.test_stream_controlplane import report_body
from watcher.fold.cluster import Cluster
from watcher.stream.ask import Scope
from watcher.stream.catalog import BY_RESOURCE, ROWS, Row
from watcher.stream.change import Change, Decoded, Op
from watcher.stream.fleet import Fleet
from watcher.stream.meter import Trouble
from watcher.stream.signals import Note
from watcher.stream.source import Source

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
NOT_ACCEPTABLE = 406
POD_SPEC: dict[str, Any] = {
    "serviceAccountName": "default",
    "imagePullSecrets": [{"name": "pull"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {
                                "key": "kubernetes.io/arch",
                                "operator": "NotIn",
                                "values": ["s390x", "ppc64le"],
                            }
                        ]
                    }
                ]
            }
        }
    },
    "initContainers": [{"name": "init", "image": "busybox:1"}],
    "containers": [{"name": "app", "image": "nginx:1"}, {"name": "side", "image": "envoy:2"}],
}
# Pods that controllers make of them; a DaemonSet makes one for each node.
PODS_OF = {
    "deployments": 2,
    "replicasets": 0,
    "statefulsets": 1,
    "daemonsets": 1,
    "replicationcontrollers": 1,
    "jobs": 1,
    "cronjobs": 0,
    "pods": 1,
}


def workload_spec(resource: str) -> dict[str, Any]:
    """Return the spec of a workload whose Pods carry its resource as a label."""
    labels = {"of": resource}
    template: dict[str, Any] = {"metadata": {"labels": labels}, "spec": POD_SPEC}
    nowhere = {"nodeSelector": {"kubernetes.io/arch": "arm64", "disk": "ssd"}}
    once = {"template": {**template, "spec": {**POD_SPEC, **nowhere, "restartPolicy": "Never"}}}
    selected = {"selector": {"matchLabels": labels}, "template": template}
    specs: dict[str, dict[str, Any]] = {
        "deployments": {**selected, "replicas": 2},
        "replicasets": {**selected, "replicas": 0},
        "statefulsets": {**selected, "serviceName": "web"},
        "daemonsets": selected,
        "replicationcontrollers": {"selector": labels, "template": template},
        "jobs": once,
        "cronjobs": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": once}},
        "pods": POD_SPEC,
    }
    return specs[resource]


def pod_status(number: int) -> dict[str, Any]:
    """Return what a kubelet says: most containers run, some images cannot be pulled."""
    image_id = f"docker.io/library/nginx@{b.digest(str(number % 3))}"
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    told = {"image": "x", "ready": False, "restartCount": number}
    return {
        "phase": "Running",
        "initContainerStatuses": [
            {**told, "name": "init", "imageID": image_id, "state": {"terminated": {"exitCode": 0}}}
        ],
        "containerStatuses": [
            {**told, "name": "app", "imageID": image_id, "state": {"running": {}}},
            {**told, "name": "side", "imageID": "", "state": waiting},
        ],
    }


@pytest.fixture
def session(controlplane: ControlPlane) -> Iterator[Session]:
    """Give an admin's session, with our CRDs in the cluster."""
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        Definitions(session).install_crds(definitions())
        yield session


@pytest.fixture
def populated(session: Session, controlplane: ControlPlane, namespace: str) -> str:
    """Give a namespace with a workload of every kind, Pods that run, and reports."""
    api = controlplane.api
    controlplane.add_node("arm", "linux/arm64")
    pods = BY_RESOURCE["pods"].path(namespace)
    for resource in PODS_OF:
        row = BY_RESOURCE[resource]
        meta = {"name": f"web-{row.kind.lower()}", "labels": {"app": "web"}}
        spec = workload_spec(resource)
        api.create(row.path(namespace), {"metadata": meta, "spec": spec})
    debugger = {"name": "debug", "image": "busybox:2", "targetContainerName": "app"}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    api.patch(f"{pods}/web-pod/ephemeralcontainers", patch)
    deadline = time.monotonic() + DEADLINE_S
    while not _all_made(made := api.get(pods)["items"]):
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)
    for number, pod in enumerate(made):
        api.patch(f"{pods}/{pod['metadata']['name']}/status", {"status": pod_status(number)})
    stamped = msgspec.to_builtins(b.report("SbomReport", "x", b.stamped()))["metadata"]
    for number in range(3):
        body = report_body(namespace, f"r{number}")
        body["metadata"]["annotations"] = stamped["annotations"]
        Reports(session).create(body)
    return namespace


def _all_made(pods: list[dict[str, Any]]) -> bool:
    """Whether each workload has its Pods; a DaemonSet has more where there are more nodes."""
    names = [pod["metadata"]["name"] for pod in pods]
    return all(
        sum(name.startswith(f"web-{BY_RESOURCE[resource].kind.lower()}") for name in names) >= count
        for resource, count in PODS_OF.items()
    )


class Asking:
    """A session that remembers what was asked for and what came."""

    def __init__(self, session: Session, *, refused: Callable[[str, str], bool]) -> None:
        self._session = session
        self._refused = refused
        self.asked: list[tuple[str, str]] = []  # path, Accept
        self.came: set[str] = set()

    def stream(self, path: str, *, query: Query, accept: str, idle_timeout_s: float) -> Stream:
        """Refuse, or let the real server answer."""
        self.asked.append((path, accept))
        if self._refused(path, accept):
            raise api_error(Call(verb="GET", path=path), NOT_ACCEPTABLE, Status())
        stream = self._session.stream(
            path, query=query, accept=accept, idle_timeout_s=idle_timeout_s
        )
        self.came.add(stream.content_type)
        return stream


class Folding:
    """A fleet over a source, folded as the watcher folds it."""

    def __init__(self, source: Source) -> None:
        self.cluster: Cluster = empty()
        self.objects: dict[tuple[str, str, int], Decoded] = {}
        self.notes: list[tuple[str, Note]] = []
        self._changes: queue.Queue[Change] = queue.Queue(10_000)
        self.fleet = Fleet(source, self._changes, self)

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Count nothing."""

    def noted(self, resource: str, note: Note) -> None:
        """Remember."""
        self.notes.append((resource, note))

    def failing(self, resource: str, trouble: Trouble) -> None:
        """Remember nothing: servers restart."""

    def take(self) -> None:
        """Fold what has come."""
        with contextlib.suppress(queue.Empty):
            while True:
                change = self._changes.get(timeout=0.05)
                self.cluster.apply([change])
                assert change.op is not Op.UNDECODABLE, change
                if change.object is not None:
                    self.objects[change.resource, change.key, change.version] = change.object


@contextlib.contextmanager
def folding(source: Source, *rows: Row, namespace: str) -> Iterator[Folding]:
    """Follow some resources of a namespace, and the nodes."""
    following = Folding(source)
    following.fleet.start(
        (row, Scope(namespace=namespace) if row.namespaced else Scope()) for row in rows
    )
    try:
        yield following
    finally:
        assert following.fleet.stop()


def until(*followers: Folding, done: Callable[[], bool]) -> None:
    """Fold until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        for follower in followers:
            follower.take()
        if all(follower.fleet.synced for follower in followers) and done():
            return
        assert time.monotonic() < deadline


def never(_path: str, _accept: str) -> bool:
    """Refuse nothing."""
    return False


def protobuf(_path: str, accept: str) -> bool:
    """Refuse protobuf."""
    return accept.startswith(PROTOBUF)


def test_everything_folds_to_the_same_state_by_either_encoding(
    session: Session, populated: str
) -> None:
    """Structs, facts, rows and fingerprints: a fall-back must not run every workload again."""
    best, plain = Asking(session, refused=never), Asking(session, refused=protobuf)
    with (
        folding(best, *ROWS, namespace=populated) as one,
        folding(plain, *ROWS, namespace=populated) as other,
    ):

        def is_settled() -> bool:
            rows = [one.cluster.row(key) for key in one.cluster.prints]
            found = [row for row in rows if isinstance(row, WorkloadRow)]
            kinds = {row.kind for row in found if row.containers[1].running}
            wanted = {BY_RESOURCE[name].kind for name, count in PODS_OF.items() if count}
            settled = kinds >= wanted - {"Deployment"} | {"ReplicaSet"}
            return settled and whole_state(one.cluster) == whole_state(other.cluster)

        until(one, other, done=is_settled)
    shared = one.objects.keys() & other.objects.keys()
    assert {resource for resource, _, _ in shared} >= {*PODS_OF, "nodes", "sbomreports"}
    for key in shared:
        assert one.objects[key] == other.objects[key]
    assert dict(one.cluster.prints) == dict(other.cluster.prints)
    assert one.notes == []
    assert best.came == {f"{PROTOBUF};stream=watch"}
    assert plain.came == {JSON}
    assert {resource for resource, note in other.notes if note is Note.FALLBACK} == {
        row.resource for row in ROWS
    }


def test_pages_are_the_same_by_either_encoding(session: Session, populated: str) -> None:
    """For servers without initial events; the real one gives pages to whoever asks."""

    class Pages(Asking):
        def stream(self, path: str, *, query: Query, accept: str, idle_timeout_s: float) -> Stream:
            if ("sendInitialEvents", "true") in query:
                raise api_error(Call(verb="GET", path=path), 422, Status())
            small = [("limit", "2") if name == "limit" else (name, value) for name, value in query]
            return super().stream(path, query=small, accept=accept, idle_timeout_s=idle_timeout_s)

    rows = [BY_RESOURCE[name] for name in ("pods", "deployments", "sbomreports")]
    sources = (Pages(session, refused=never), Pages(session, refused=protobuf))
    with (
        folding(sources[0], *rows, namespace=populated) as one,
        folding(sources[1], *rows, namespace=populated) as other,
    ):
        until(one, other, done=lambda: whole_state(one.cluster) == whole_state(other.cluster))
        assert len(list(one.cluster.reports)) == 3
    assert PROTOBUF in sources[0].came
    assert not any(each.startswith(PROTOBUF) for each in sources[1].came)


def test_a_body_of_a_custom_resource_has_no_protobuf_and_comes_in_json(
    session: Session, populated: str
) -> None:
    """The real 406, and what we make of it: for this resource alone."""
    bodies = replace(BY_RESOURCE["sbomreports"], metadata_only=False, kind="Pod")
    source = Asking(session, refused=never)
    with folding(source, bodies, BY_RESOURCE["pods"], namespace=populated) as one:
        until(one, done=lambda: True)
    assert one.notes == [("sbomreports", Note.FALLBACK)]
    asked = [accept for path, accept in source.asked if path.endswith("/sbomreports")]
    assert asked[:2] == [PROTOBUF, JSON]
    assert {accept for path, accept in source.asked if path.endswith("/pods")} == {PROTOBUF}


def test_after_a_restart_of_the_server_protobuf_is_asked_for_again(
    session: Session, controlplane: ControlPlane, populated: str
) -> None:
    """What was refused before may be known to the version that comes back."""
    old = [True]
    source = Asking(session, refused=lambda _, accept: old[0] and accept.startswith(PROTOBUF))
    rows = [BY_RESOURCE["pods"], BY_RESOURCE["sbomreports"]]
    with folding(source, *rows, namespace=populated) as one:
        until(one, done=lambda: True)
        before = dict(one.cluster.prints)
        old[0] = False
        controlplane.restart_apiserver()
        body = {"metadata": {"name": "after"}, "spec": POD_SPEC}
        controlplane.api.create(rows[0].path(populated), body)
        Reports(session).create(report_body(populated, "after"))

        def is_seen() -> bool:
            told = {key for _, key, _ in one.objects}
            reports = [report.name for report in one.cluster.reports]
            return f"{populated}/after" in told and "after" in reports

        until(one, done=is_seen)
    for row in rows:
        asked = [accept for path, accept in source.asked if path.endswith(row.resource)]
        assert asked[0].startswith(PROTOBUF)
        assert asked[1].startswith(JSON)
        assert asked[-1].startswith(PROTOBUF)
    assert {key: one.cluster.prints[key] for key in before} == before


def test_refusals_are_read_in_protobuf(session: Session, namespace: str) -> None:
    """A 404, a version that is none, and an old continue token: each says why."""
    pods = BY_RESOURCE["pods"].path(namespace)
    with pytest.raises(NotFoundError, match="not found"):
        session.request("GET", f"{pods}/nobody", accept=PROTOBUF)
    with pytest.raises(InvalidError, match="continue token"):
        session.request("GET", pods, query=[("continue", "x")], accept=PROTOBUF)
    with pytest.raises(UnavailableError, match="invalid syntax"):
        session.stream(
            pods,
            query=[("watch", "true"), ("resourceVersion", "x")],
            accept=PROTOBUF,
            idle_timeout_s=5.0,
        )
