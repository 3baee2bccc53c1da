"""Informers against a real kube-apiserver: what it sends, and what it does when it restarts."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from common.kube.cluster import Cluster
from common.kube.envelopes import Status
from common.kube.errors import Call, api_error
from common.kube.negotiate import METADATA
from common.kube.paths import report_path
from common.kube.resources import Reports, report_meta
from common.kube.session import Query, Session
from common.kube.stream import Stream
from common.kube.wire import Node, PartialObject, Pod, Workload
from common.reports.crds import definitions
from sandbox.controlplane import ControlPlane
from watcher.stream.ask import Scope
from watcher.stream.catalog import BY_RESOURCE, ROWS
from watcher.stream.change import Change, Op
from watcher.stream.fleet import Fleet
from watcher.stream.informer import Informer, Outlet
from watcher.stream.meter import NoMeter
from watcher.stream.seenkeys import SeenKeys
from watcher.stream.signals import Note
from watcher.stream.source import Source

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
MANY = 3000


@pytest.fixture
def session(controlplane: ControlPlane) -> Iterator[Session]:
    """Give an admin's session, with our CRDs in the cluster."""
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        Cluster(session).install_crds(definitions())
        yield session


class Ear:
    """A queue of changes, and ways to wait for some."""

    def __init__(self) -> None:
        self.changes: queue.Queue[Change] = queue.Queue(10_000)
        self.heard: list[Change] = []

    def until(self, found: Callable[[Change], bool]) -> Change:
        """Take changes up to the first that fits."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            change = self.changes.get(timeout=max(0.0, deadline - time.monotonic()))
            self.heard.append(change)
            if found(change):
                return change

    def until_said(self, resource: str, op: Op, key: str) -> Change:
        """Take changes up to the one that is named."""
        return self.until(lambda each: (each.resource, each.op, each.key) == (resource, op, key))

    def known(self) -> set[str]:
        """Return the keys that a fold of what was heard would know."""
        keys: set[str] = set()
        for each in self.heard:
            match each.op:
                case Op.UPSERT:
                    keys.add(each.key)
                case Op.DELETE:
                    keys.discard(each.key)
                case _:
                    keys = {key for key in keys if each.seen and key in each.seen}
        return keys


@pytest.fixture
def ear() -> Ear:
    """Give an ear."""
    return Ear()


@contextlib.contextmanager
def following(
    source: Source, ear: Ear, resource: str, scope: Scope | None = None
) -> Iterator[Informer]:
    """Follow one resource."""
    outlet = Outlet(changes=ear.changes, turns=threading.Semaphore(2), meter=NoMeter())
    informer = Informer(BY_RESOURCE[resource], scope or Scope(), source=source, outlet=outlet)
    informer.start()
    try:
        yield informer
    finally:
        assert informer.stop()


def pod_body(name: str) -> dict[str, Any]:
    """Return a pod."""
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "nginx:1"}]},
    }


def report_body(namespace: str, name: str, repository: str = "r") -> dict[str, Any]:
    """Return a small SbomReport."""
    return {
        "apiVersion": "aquasecurity.github.io/v1alpha1",
        "kind": "SbomReport",
        "metadata": {"name": name, "namespace": namespace, "labels": {"l": "v"}},
        "report": {
            "updateTimestamp": "2026-11-25T00:00:00Z",
            "artifact": {"repository": repository},
            "registry": {"server": "r"},
            "scanner": {"name": "Trivy", "vendor": "Aqua", "version": "1"},
            "summary": {"componentsCount": 0, "dependenciesCount": 0},
            "components": {"bomFormat": "CycloneDX", "specVersion": "1.6"},
        },
    }


class Without:
    """A session to a server that cannot send initial events: the real one always can here."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def stream(self, path: str, *, query: Query, accept: str, idle_timeout_s: float) -> Stream:
        """Refuse what such a server refuses."""
        if ("sendInitialEvents", "true") in query:
            raise api_error(Call(verb="GET", path=path), 422, Status())
        return self._session.stream(path, query=query, accept=accept, idle_timeout_s=idle_timeout_s)


class Forgetful:
    """A session whose first resumption comes after the server forgot its version."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.first = True

    def stream(self, path: str, *, query: Query, accept: str, idle_timeout_s: float) -> Stream:
        """Ask for version 1 once."""
        asked = dict(query)
        if "resourceVersion" in asked and self.first:
            self.first = False
            asked["resourceVersion"] = "1"
        if "sendInitialEvents" in asked and self.first:
            asked["timeoutSeconds"] = "1"
        return self._session.stream(
            path, query=[*asked.items()], accept=accept, idle_timeout_s=idle_timeout_s
        )


def test_every_resource_of_the_catalog_is_read_and_followed(
    session: Session, controlplane: ControlPlane, namespace: str, ear: Ear
) -> None:
    """Paths, groups and decoders of all rows, on the server that decides."""
    controlplane.add_node("worker-1", "linux/arm64")
    fleet = Fleet(session, ear.changes, NoMeter())
    fleet.start((row, Scope()) for row in ROWS)
    try:
        while not fleet.synced:
            ear.until(lambda each: each.op is Op.SYNCED)
        node = next(each.object for each in ear.heard if each.key == "worker-1")
        assert isinstance(node, Node)
        assert node.status.node_info.architecture == "arm64"
        template = pod_body("web") | {"metadata": {"labels": {"app": "web"}}}
        controlplane.api.create(
            f"/apis/apps/v1/namespaces/{namespace}/deployments",
            {
                "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
            },
        )
        deployment = ear.until_said("deployments", Op.UPSERT, f"{namespace}/web").object
        assert isinstance(deployment, Workload)
        assert [each.image for _, each in deployment.template.spec.by_role()] == ["nginx:1"]
        pod = ear.until(lambda each: each.resource == "pods" and each.namespace == namespace).object
        assert isinstance(pod, Pod)
        assert pod.metadata.controller is not None
        assert pod.metadata.controller.kind == "ReplicaSet"
        assert any(each.resource == "replicasets" for each in ear.heard)
    finally:
        assert fleet.stop()


def test_a_running_digest_and_a_pull_error_are_seen(
    session: Session, controlplane: ControlPlane, namespace: str, ear: Ear
) -> None:
    """They come with status changes, which move no generation."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    controlplane.api.create(pods, pod_body("web"))
    status = {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "app",
                "image": "nginx:1",
                "imageID": "docker.io/library/nginx@sha256:abc",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {}},
            }
        ],
    }
    with following(session, ear, "pods", Scope(namespace=namespace)):
        first = ear.until_said("pods", Op.UPSERT, f"{namespace}/web")
        controlplane.api.patch(f"{pods}/web/status", {"status": status})
        second = ear.until_said("pods", Op.UPSERT, f"{namespace}/web")
        controlplane.api.delete(f"{pods}/web", grace_s=0)
        gone = ear.until_said("pods", Op.DELETE, f"{namespace}/web")
    assert isinstance(second.object, Pod)
    (container,) = second.object.status.of_containers()
    assert container.image_id == "docker.io/library/nginx@sha256:abc"
    assert container.state.running is not None
    assert second.version > first.version
    assert gone.uid == first.uid
    assert gone.version > second.version


def test_reports_are_followed_by_metadata_and_generation_tells_who_edited(
    session: Session, namespace: str, ear: Ear
) -> None:
    """Trap 12, the fact behind it: a body edit moves the generation, a stamp does not."""
    reports = Reports(session)
    key = f"{namespace}/r"
    with following(session, ear, "sbomreports", Scope(namespace=namespace)):
        ear.until_said("sbomreports", Op.SYNCED, namespace)
        first = reports.create(report_body(namespace, "r"))
        second = reports.patch_metadata(first, {"metadata": {"annotations": {"a": "1"}}})
        body = report_body(namespace, "r", "edited")
        body["metadata"]["resourceVersion"] = second.resource_version
        reports.replace(body)
        seen = [ear.until_said("sbomreports", Op.UPSERT, key) for _ in range(3)]
        reports.delete(report_meta("SbomReport", _metadata(seen[2])))
        ear.until_said("sbomreports", Op.DELETE, key)
    assert [_metadata(each).generation for each in seen] == [1, 1, 2]
    assert report_meta("SbomReport", _metadata(seen[0])) == first
    assert [each.version for each in seen] == sorted(each.version for each in seen)


def _metadata(change: Change) -> Any:
    assert isinstance(change.object, PartialObject)
    return change.object.metadata


def test_a_report_nested_without_end_is_followed_like_any_other(
    session: Session, namespace: str, ear: Ear
) -> None:
    """Trap 23 by malice: the API server stores 1,500 levels and repeats them in managedFields."""
    text = msgspec.json.encode(report_body(namespace, "r"))
    text = text[:-1] + b',"unknown":' + b'{"k":' * 1500 + b"1" + b"}" * 1501
    reports = Reports(session)
    with following(session, ear, "sbomreports", Scope(namespace=namespace)):
        ear.until_said("sbomreports", Op.SYNCED, namespace)
        path = report_path("SbomReport", namespace)
        session.request("POST", path, body=text, accept=METADATA)
        ear.until_said("sbomreports", Op.UPSERT, f"{namespace}/r")
        reports.create(report_body(namespace, "next"))
        ear.until_said("sbomreports", Op.UPSERT, f"{namespace}/next")
    meta = reports.get("SbomReport", namespace, "r")
    assert meta is not None
    assert reports.delete(meta)


def test_three_thousand_objects_are_the_same_by_pages_and_by_events(
    session: Session, namespace: str, ear: Ear
) -> None:
    """Six pages of a real continue token, and one stream of initial events."""
    reports = Reports(session)
    with ThreadPoolExecutor(8) as pool:
        names = [f"r{number:04}" for number in range(MANY)]
        list(pool.map(lambda name: reports.create(report_body(namespace, name)), names))
    views: list[dict[str, tuple[str, int]]] = []
    for source in (session, Without(session)):
        ear.heard.clear()
        with following(source, ear, "sbomreports", Scope(namespace=namespace)):
            ear.until_said("sbomreports", Op.SYNCED, namespace)
        upserts = [each for each in ear.heard if each.op is Op.UPSERT]
        views.append({each.key: (each.uid, each.version) for each in upserts})
    assert views[0] == views[1]
    assert len(views[0]) == MANY


def test_a_forgotten_version_is_read_anew(
    session: Session, controlplane: ControlPlane, namespace: str, ear: Ear
) -> None:
    """The real 410, in the real place: a server that restarts remembers nothing older."""
    controlplane.restart_apiserver()
    pods = f"/api/v1/namespaces/{namespace}/pods"
    controlplane.api.create(pods, pod_body("a"))
    with following(Forgetful(session), ear, "pods", Scope(namespace=namespace)):
        ear.until_said("pods", Op.SYNCED, namespace)
        ear.until_said("pods", Op.RELISTED, namespace)
        controlplane.api.create(pods, pod_body("b"))
        ear.until_said("pods", Op.UPSERT, f"{namespace}/b")
    relisted = next(each for each in ear.heard if each.op is Op.RELISTED)
    assert relisted.seen == SeenKeys([f"{namespace}/a"])


def test_a_restart_of_the_api_server_loses_nothing(
    session: Session, controlplane: ControlPlane, namespace: str, ear: Ear
) -> None:
    """A killed server breaks every stream; what happened since comes after it is back."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    controlplane.api.create(pods, pod_body("a"))
    controlplane.api.create(pods, pod_body("b"))
    with following(session, ear, "pods", Scope(namespace=namespace)):
        ear.until_said("pods", Op.SYNCED, namespace)
        controlplane.restart_apiserver()
        controlplane.api.delete(f"{pods}/a", grace_s=0)
        controlplane.api.create(pods, pod_body("c"))
        # Where everything is read anew, the end of the reading tells what is gone.
        ear.until(lambda _: ear.known() == {f"{namespace}/b", f"{namespace}/c"})


def test_notes_have_stable_names() -> None:
    """They are label values of a metric."""
    assert {note.value for note in Note} == {
        "relist",
        "fallback",
        "undecodable",
        "odd_event",
        "out_of_order",
    }
