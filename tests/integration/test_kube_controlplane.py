"""Adapters against a real kube-apiserver: what only a real one can say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.kube.cluster import Cluster
from common.kube.credentials import Credentials
from common.kube.errors import DeniedError, InvalidError
from common.kube.events import Event, Events, Subject
from common.kube.resources import Reports
from common.kube.session import Session
from common.model.errors import ConflictError, GoneError, TooLargeError
from common.reports.crds import definitions
from sandbox.controlplane import ControlPlane, kubeconfig

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def session(controlplane: ControlPlane) -> Iterator[Session]:
    """Give an admin's session."""
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        yield session


@pytest.fixture
def cluster(session: Session) -> Cluster:
    """Give the cluster with our CRDs in it."""
    cluster = Cluster(session)
    cluster.install_crds(definitions())
    return cluster


@pytest.fixture
def reports(session: Session, cluster: Cluster) -> Reports:
    """Give the reports adapter."""
    assert cluster.server_version()
    return Reports(session)


def secret_report(namespace: str, name: str, secrets: list[dict[str, str]]) -> dict[str, Any]:
    """Return an ExposedSecretReport."""
    counts = {f"{level}Count": 0 for level in ("critical", "high", "medium", "low")}
    return {
        "apiVersion": "aquasecurity.github.io/v1alpha1",
        "kind": "ExposedSecretReport",
        "metadata": {"name": name, "namespace": namespace},
        "report": {
            "updateTimestamp": "2026-11-25T00:00:00Z",
            "artifact": {"repository": "r"},
            "registry": {"server": "r"},
            "scanner": {"name": "Trivy", "vendor": "Aqua", "version": "1"},
            "summary": counts,
            "secrets": secrets,
        },
    }


class TestRefusals:
    """Real words for real faults."""

    @pytest.mark.parametrize("size_mb", [2, 4])
    def test_a_report_that_is_too_large_is_told_apart_from_a_fault(
        self, reports: Reports, namespace: str, size_mb: int
    ) -> None:
        """The store refuses 2 MB with a 500, the server 4 MB with a 413: both are too large."""
        secret = {
            "target": "x" * (size_mb * 1024 * 1024),
            "ruleID": "r",
            "title": "t",
            "category": "c",
            "severity": "HIGH",
            "match": "m",
        }
        with pytest.raises(TooLargeError):
            reports.create(secret_report(namespace, "big", [secret]))

    def test_a_report_that_breaks_the_schema_is_invalid(
        self, reports: Reports, namespace: str
    ) -> None:
        """No retry helps; the words name the field."""
        body = secret_report(namespace, "bad", [])
        body["report"]["summary"]["highCount"] = "many"
        with pytest.raises(InvalidError, match="highCount"):
            reports.create(body)

    def test_a_namespace_that_is_not_there_is_gone(self, reports: Reports) -> None:
        """Trap 34: it vanished while the scan ran."""
        with pytest.raises(GoneError):
            reports.create(secret_report("not-there", "r", []))

    def test_a_namespace_that_is_going_is_gone(
        self, reports: Reports, session: Session, controlplane: ControlPlane
    ) -> None:
        """Trap 34: the API server says 403 then, which must not look like a missing rule."""
        name = f"going-{time.monotonic_ns()}"
        controlplane.create_namespace(name)
        holder = {"metadata": {"name": "holder", "finalizers": ["sandbox.example/hold"]}}
        holders = f"/api/v1/namespaces/{name}/configmaps"
        controlplane.api.create(holders, holder)
        controlplane.api.delete(f"/api/v1/namespaces/{name}")
        try:
            with pytest.raises(GoneError, match="403"):
                reports.create(secret_report(name, "r", []))
        finally:
            controlplane.api.patch(f"{holders}/holder", {"metadata": {"finalizers": None}})

    def test_two_controllers_are_refused_as_invalid(self, reports: Reports, namespace: str) -> None:
        """Trap 10, the fact behind it: owner references must be replaced, never merged."""
        body = secret_report(namespace, "two", [])
        owner = {"apiVersion": "v1", "kind": "Pod", "controller": True}
        body["metadata"]["ownerReferences"] = [
            {**owner, "name": "a", "uid": "1"},
            {**owner, "name": "b", "uid": "2"},
        ]
        with pytest.raises(InvalidError, match="controller"):
            reports.create(body)

    def test_a_missing_rule_is_forbidden_and_a_false_token_unauthorized(
        self, controlplane: ControlPlane, namespace: str, tmp_path: Path
    ) -> None:
        """`doctor` names rules one by one; a dead token is another remedy."""
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
        token = controlplane.api.create(account, {"spec": {}})["status"]["token"]
        for text, reason in ((token, "Forbidden"), ("false", "Unauthorized")):
            path = tmp_path / reason
            path.write_bytes(kubeconfig(controlplane.server, text, controlplane.ca))
            with contextlib.closing(Session.from_kubeconfig(str(path))) as session:
                with pytest.raises(DeniedError) as denied:
                    session.request("GET", f"/api/v1/namespaces/{namespace}/pods")
                assert denied.value.reason == reason
                assert text not in str(denied.value)
                if reason == "Forbidden":
                    assert not Cluster(session).can_i("list", "", "pods", namespace)


class TestCluster:
    """Facts."""

    def test_the_cluster_tells_who_it_is(
        self, cluster: Cluster, controlplane: ControlPlane
    ) -> None:
        """The uid names our key space in a shared Redis."""
        truth = controlplane.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        assert cluster.kube_system_uid() == truth
        assert cluster.server_version().startswith("v1.")

    def test_an_admin_may_do_everything(self, cluster: Cluster) -> None:
        """The other answer is tested with an account that may nothing."""
        assert cluster.can_i("create", "aquasecurity.github.io", "vulnerabilityreports")
        assert cluster.can_i("list", "", "pods", "kube-system")

    def test_definitions_that_exist_are_left_as_they_are(
        self, cluster: Cluster, controlplane: ControlPlane
    ) -> None:
        """They may be trivy-operator's, and newer than ours."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        name = "sbomreports.aquasecurity.github.io"
        version = controlplane.api.get(f"{path}/{name}")["metadata"]["resourceVersion"]
        again = cluster.install_crds(definitions())
        assert again.created == ()
        assert name in again.present
        assert len(again.present) == len(definitions())
        found = controlplane.api.get(f"{path}/{name}")
        assert found["metadata"]["resourceVersion"] == version

    def test_a_trivy_operator_is_found_by_its_label(
        self, cluster: Cluster, controlplane: ControlPlane, namespace: str
    ) -> None:
        """Two writers of the same reports would fight for ever."""
        labels = {"app.kubernetes.io/name": "trivy-operator"}
        pod = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "o", "image": "o"}]},
        }
        body = {
            "metadata": {"name": "to", "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
        }
        controlplane.api.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        found = [each for each in cluster.trivy_operators() if each.namespace == namespace]
        assert [(each.name, each.ready) for each in found] == [("to", 0)]

    def test_pull_secrets_come_decoded(
        self, session: Session, controlplane: ControlPlane, namespace: str
    ) -> None:
        """Base64 is the wire's business."""
        body = {
            "metadata": {"name": "reg"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": '{"auths":{}}'},
        }
        controlplane.api.create(f"/api/v1/namespaces/{namespace}/secrets", body)
        found = Credentials(session).pull_secret(namespace, "reg")
        assert found is not None
        assert found.type == "kubernetes.io/dockerconfigjson"
        assert found.data == {".dockerconfigjson": b'{"auths":{}}'}
        assert Credentials(session).service_account(namespace, "default") == ()


class TestEvents:
    """What `kubectl describe` shows."""

    def events(self, controlplane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
        """Return our Events of a namespace."""
        found = controlplane.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return [each for each in found if each["source"].get("component") == "kube-sluice"]

    def test_repetitions_count_up_one_event(
        self, session: Session, controlplane: ControlPlane, namespace: str
    ) -> None:
        """A registry that is away for a day makes one Event, not a thousand."""
        subject = Subject(
            api_version="apps/v1", kind="Deployment", namespace=namespace, name="web", uid="u-1"
        )
        event = Event(subject=subject, reason="ScanFailed", message="registry says 429")
        events = Events(session)
        for minute in range(3):
            events.emit(event, now=NOW + timedelta(minutes=minute))
        events.emit(replace(event, message="registry says 401", type="Normal"), now=NOW)
        one, other = sorted(self.events(controlplane, namespace), key=lambda each: -each["count"])
        assert (one["count"], other["count"]) == (3, 1)
        assert one["firstTimestamp"] == "2026-11-25T12:00:00Z"
        assert one["lastTimestamp"] == "2026-11-25T12:02:00Z"
        assert (one["type"], other["type"]) == ("Warning", "Normal")
        assert one["involvedObject"]["name"] == "web"

    def test_an_event_in_a_namespace_that_is_gone_is_said_to_be_gone(
        self, session: Session
    ) -> None:
        """The caller rests."""
        subject = Subject(api_version="v1", kind="Pod", namespace="not-there", name="x", uid="u")
        with pytest.raises(GoneError):
            Events(session).emit(Event(subject=subject, reason="R", message="m"), now=NOW)

    def test_an_event_that_somebody_deletes_meanwhile_is_let_go(
        self, session: Session, controlplane: ControlPlane, namespace: str
    ) -> None:
        """A courtesy must not fail a reconcile."""
        subject = Subject(api_version="v1", kind="Pod", namespace=namespace, name="x", uid="u")
        event = Event(subject=subject, reason="R", message="m" * 3000)
        path = f"/api/v1/namespaces/{namespace}/events/{event.name}"
        events = Events(session)
        events.emit(event, now=NOW)
        assert len(controlplane.api.get(path)["message"]) == 1024
        controlplane.api.delete(path)
        events._repeat(event, NOW)
        events.emit(event, now=NOW)
        assert controlplane.api.get(path)["count"] == 1


def test_a_lost_race_is_a_conflict(reports: Reports, namespace: str) -> None:
    """Read again, plan again: the class of every optimistic write that lost."""
    first = reports.create(secret_report(namespace, "race", []))
    body = secret_report(namespace, "race", [])
    body["metadata"]["resourceVersion"] = first.resource_version
    body["report"]["artifact"]["repository"] = "other"
    reports.replace(body)
    with pytest.raises(ConflictError):
        reports.replace(body)
    with pytest.raises(ValueError, match="resourceVersion"):
        reports.replace(secret_report(namespace, "race", []))
    with pytest.raises(ValueError, match="report"):
        reports.patch_metadata(first, {"report": {}})
