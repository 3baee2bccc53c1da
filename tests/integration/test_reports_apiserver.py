"""Our definitions and objects before a real API server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.model.image import ImageRecord, Match, Os
from common.model.workload import Container, WorkloadRow
from common.reports import crds
from common.reports.assemble import Draft, LabelPolicy, assemble, draft, metadata_patch, stamp_of
from common.reports.body import ReportBody
from common.reports.catalog import BY_KIND, CATALOG
from common.reports.fit import REPORT_LIMIT_BYTES, fit, size_bytes
from common.reports.stamp import parse
from sandbox.api import ApiError
from sandbox.controlplane import ControlPlane
from tests.fakes.report_builders import (
    DIGEST,
    NOW,
    REFERENCE,
    context,
    finding,
    golden,
    image_key,
    inventory,
    record,
    record_of,
)
from worker.project import sbom, secret, vulnerability

pytestmark = pytest.mark.integration

_READY_S = 30.0
_POLL_S = 0.05
_FIELDS = frozenset({"Description", "Links", "CVSS", "Target", "Class", "PackageType"})

Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def kubectl(controlplane: ControlPlane, programs: dict[str, Path]) -> Kubectl:
    """Give kubectl against the shared control plane, with our definitions installed."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [programs["kubectl"], f"--kubeconfig={controlplane.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=crds.to_yaml())
    for row in CATALOG:
        _wait_established(controlplane, row.crd_name)
    return run


def _wait_established(controlplane: ControlPlane, name: str) -> None:
    """Wait until the API server serves the definition; its answer is the only sign."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if _conditions(controlplane, name).get("Established") == "True":
            return
        time.sleep(_POLL_S)
    pytest.fail(f"{name} was not established within {_READY_S:g} s")


def _conditions(controlplane: ControlPlane, name: str) -> dict[str, str]:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    status = controlplane.api.get(path).get("status", {})
    return {one["type"]: one["status"] for one in status.get("conditions", [])}


@pytest.fixture
def owner(controlplane: ControlPlane, namespace: str) -> WorkloadRow:
    """Give the row of a Pod that exists: a report without an owner would be collected."""
    return _pod(controlplane, namespace, "web", container="app")


def _pod(controlplane: ControlPlane, namespace: str, name: str, *, container: str) -> WorkloadRow:
    made = controlplane.api.create(
        f"/api/v1/namespaces/{namespace}/pods",
        {
            "metadata": {"name": name},
            "spec": {"containers": [{"name": container, "image": REFERENCE}]},
        },
    )
    return WorkloadRow(
        kind="Pod",
        namespace=namespace,
        name=name,
        uid=made["metadata"]["uid"],
        api_version="v1",
        created_at=0,
        containers=(Container(name=container, role="container", image=REFERENCE),),
    )


def _path(wanted: Draft, name: str = "") -> str:
    row = BY_KIND[wanted.body.kind]
    end = f"/{name}" if name else ""
    return (
        f"/apis/aquasecurity.github.io/v1alpha1/namespaces/{wanted.row.namespace}/{row.plural}{end}"
    )


def _object(wanted: Draft, *, generation: int = 1, existing: Any = None) -> Any:
    stamp = stamp_of(
        wanted, epoch=1, generation=generation, inputs=[image_key()], db_version="2026-11-25"
    )
    return assemble(wanted, stamp, now=NOW, existing=existing)


class _Meta:
    """Stored metadata, as the product's client will hand it over."""

    def __init__(self, stored: dict[str, Any]) -> None:
        metadata = stored["metadata"]
        self.labels: dict[str, str] = metadata.get("labels", {})
        self.annotations: dict[str, str] = metadata.get("annotations", {})
        self.resource_version: str = metadata["resourceVersion"]


def _bodies() -> list[ReportBody]:
    document = golden("sbomreport.json")["components"]
    records = [(image_key(), record_of(golden("trivy_alpine_app.json"), sbom=document))]
    view = context(additional_fields=_FIELDS)
    bom = sbom.project(records, view)
    assert bom is not None
    return [vulnerability.project(records, view), secret.project(records, view), bom]


def _draft(owner: WorkloadRow, body: ReportBody) -> Draft:
    return draft(owner, owner.containers[0].name, body, policy=LabelPolicy(report_ttl="24h0m0s"))


def test_all_twelve_definitions_are_accepted_as_structural(
    controlplane: ControlPlane, kubectl: Kubectl
) -> None:
    """A schema that is not structural is served without pruning, and cannot be explained."""
    assert "vulnerabilityreports" in kubectl("api-resources", "--api-group=aquasecurity.github.io")
    for row in CATALOG:
        conditions = _conditions(controlplane, row.crd_name)
        assert conditions["NamesAccepted"] == "True", row.kind
        assert "NonStructuralSchema" not in conditions, row.kind


def test_every_short_name_leads_to_its_kind(kubectl: Kubectl) -> None:
    """`kubectl get vulns` is what users type."""
    for row in CATALOG:
        for name in (*row.short_names, row.singular):
            assert kubectl("get", name, "-A", "-o", "name") is not None


def test_kubectl_shows_trivy_operators_columns(
    controlplane: ControlPlane, kubectl: Kubectl, owner: WorkloadRow
) -> None:
    """What users and scripts read from `kubectl get vulns -A -o wide`."""
    for body in _bodies():
        wanted = _draft(owner, body)
        controlplane.api.create(_path(wanted), _object(wanted))
    head, *rows = kubectl("get", "vulns", "-A", "-o", "wide").splitlines()
    assert " ".join(head.split()) == (
        "NAMESPACE NAME REPOSITORY TAG SCANNER AGE CRITICAL HIGH MEDIUM LOW UNKNOWN"
    )
    ours = next(row.split() for row in rows if row.startswith(owner.namespace))
    assert ours[1:5] == ["pod-web-app", "demo/alpine-app", "1.0", "Trivy"]
    assert ours[6:] == ["6", "4", "6", "0", "0"]
    boms = kubectl("get", "sboms", "-n", owner.namespace, "-o", "wide").splitlines()
    assert boms[0].split()[-2:] == ["COMPONENTS", "DEPENDENCIES"]
    assert boms[1].split()[-2:] == ["18", "18"]
    found = kubectl("get", "exposedsecrets", "-n", owner.namespace, "-o", "wide").splitlines()
    assert found[1].split()[-4:] == ["2", "1", "0", "0"]


def test_reports_are_found_by_digest_without_reading_the_others(
    controlplane: ControlPlane, kubectl: Kubectl, owner: WorkloadRow
) -> None:
    """Which workloads run this image, in a cluster of 275,000 reports."""
    wanted = _draft(owner, _bodies()[0])
    stored = controlplane.api.create(_path(wanted), _object(wanted))
    digest = stored["report"]["artifact"]["digest"]
    for value, names in ((digest, [wanted.name]), ("sha256:other", [])):
        selector = f"--field-selector=report.artifact.digest={value}"
        found = kubectl("get", "vulns", "-n", owner.namespace, selector, "-o", "name")
        assert [line.rpartition("/")[2] for line in found.split()] == names


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.usefixtures("kubectl")
def test_nothing_of_a_body_is_pruned(
    controlplane: ControlPlane, owner: WorkloadRow, index: int
) -> None:
    """A field that the definition does not name vanishes without a word."""
    wanted = _draft(owner, _bodies()[index])
    sent = _object(wanted)
    stored = controlplane.api.create(_path(wanted), sent)
    assert stored["report"] == sent["report"]
    assert stored["metadata"]["labels"] == sent["metadata"]["labels"]


@pytest.mark.usefixtures("kubectl")
def test_a_body_raises_the_generation_and_a_patch_of_metadata_does_not(
    controlplane: ControlPlane, owner: WorkloadRow
) -> None:
    """Trap 12. The stamp's prediction rests on this; an edit by hand breaks it."""
    first, second = (_draft(owner, one) for one in _two_bodies())
    stored = controlplane.api.create(_path(first), _object(first))
    assert _predicted(stored) == stored["metadata"]["generation"] == 1

    path = _path(second, second.name)
    replaced = _put(controlplane, path, _object(second, generation=2, existing=_Meta(stored)))
    assert _predicted(replaced) == replaced["metadata"]["generation"] == 2

    stamp = stamp_of(second, epoch=2, generation=2, inputs=[], db_version="later")
    patch = metadata_patch(second, stamp, existing=_Meta(replaced))
    patched = controlplane.api.patch(path, patch)
    assert _predicted(patched) == patched["metadata"]["generation"] == 2

    edited = controlplane.api.patch(path, {"report": {"summary": {"criticalCount": 9}}})
    assert edited["metadata"]["generation"] == 3
    assert _predicted(edited) == 2


def _two_bodies() -> list[ReportBody]:
    return [
        vulnerability.project([(image_key(), record(finding(one)))], context())
        for one in ("CVE-1", "CVE-2")
    ]


def _predicted(stored: dict[str, Any]) -> int:
    stamp = parse(stored["metadata"]["annotations"])
    assert stamp is not None
    return stamp.generation


def _put(controlplane: ControlPlane, path: str, body: dict[str, Any]) -> dict[str, Any]:
    controlplane.api.request("PUT", path, body=body)
    return controlplane.api.get(path)


@pytest.mark.parametrize("how", ["replace", "patch"])
@pytest.mark.usefixtures("kubectl")
def test_a_report_of_another_controller_is_taken_over(
    controlplane: ControlPlane, owner: WorkloadRow, how: str
) -> None:
    """Trap 10. Owner references are replaced, not merged: two controllers are a 422 for ever."""
    other = _pod(controlplane, owner.namespace, "other", container="app")
    wanted = _draft(owner, _two_bodies()[0])
    path = _path(wanted, wanted.name)
    left = _object(wanted)
    left["metadata"]["ownerReferences"] = _object(_draft(other, wanted.body))["metadata"][
        "ownerReferences"
    ]
    stored = controlplane.api.create(_path(wanted), left)

    ours = _object(wanted, existing=_Meta(stored))
    merged = {
        **ours,
        "metadata": {
            **ours["metadata"],
            "ownerReferences": [
                *stored["metadata"]["ownerReferences"],
                *ours["metadata"]["ownerReferences"],
            ],
        },
    }
    with pytest.raises(ApiError, match="422"):
        controlplane.api.request("PUT", path, body=merged)

    if how == "replace":
        after = _put(controlplane, path, ours)
    else:
        stamp = stamp_of(wanted, epoch=1, generation=1, inputs=[], db_version="")
        after = controlplane.api.patch(path, metadata_patch(wanted, stamp, existing=_Meta(stored)))
    assert [one["uid"] for one in after["metadata"]["ownerReferences"]] == [owner.uid]


@pytest.mark.usefixtures("kubectl")
def test_a_patch_takes_stale_annotations_away_and_leaves_foreign_ones(
    controlplane: ControlPlane, owner: WorkloadRow
) -> None:
    """The API server's own merge, not our idea of it."""
    wanted = _draft(owner, _two_bodies()[0])
    old = _object(wanted)
    old["metadata"]["annotations"].update({"kube-sluice/truncated": "text", "note": "kept"})
    stored = controlplane.api.create(_path(wanted), old)
    stamp = stamp_of(wanted, epoch=1, generation=1, inputs=[], db_version="")
    patch = metadata_patch(wanted, stamp, existing=_Meta(stored))
    after = controlplane.api.patch(_path(wanted, wanted.name), patch)
    assert "kube-sluice/truncated" not in after["metadata"]["annotations"]
    assert after["metadata"]["annotations"]["note"] == "kept"


@pytest.mark.usefixtures("kubectl")
def test_two_owners_of_one_plain_name_both_have_their_report(
    controlplane: ControlPlane, namespace: str
) -> None:
    """Trap 7. The later owner takes a name of its own: pod web/db-app and pod web-db/app."""
    first = _draft(_pod(controlplane, namespace, "web", container="db-app"), _two_bodies()[0])
    second = _draft(_pod(controlplane, namespace, "web-db", container="app"), _two_bodies()[1])
    assert first.name == second.name
    controlplane.api.create(_path(first), _object(first))
    with pytest.raises(ApiError, match="409"):
        controlplane.api.create(_path(second), _object(second))
    stored = controlplane.api.create(_path(second), _object(second.sidestep()))
    assert stored["metadata"]["ownerReferences"][0]["name"] == "web-db"


def _large(limit: int) -> ReportBody:
    """Return a report whose stored size is just within `limit`; every byte of text counts six."""
    findings = [
        finding(f"CVE-{number:05}", purl="pkg:rpm/a@1?x=y" + "&" * 200, title="<>" * 30)
        for number in range(4000)
    ]
    evidence = ImageRecord(
        inventory=inventory(os=Os(family="redhat", name="9")),
        match=Match(db_version="", findings=tuple(findings)),
    )
    body = vulnerability.project([(image_key(DIGEST), evidence)], context())
    entries: Any = body.report["vulnerabilities"]
    while size_bytes(body.report) > limit:
        del entries[-max(1, len(entries) // 200) :]
    return body


@pytest.mark.usefixtures("kubectl")
def test_a_report_at_the_limit_is_stored(controlplane: ControlPlane, owner: WorkloadRow) -> None:
    """The limit is below what etcd takes, measured as the API server stores it."""
    body = _large(REPORT_LIMIT_BYTES)
    assert size_bytes(body.report) > REPORT_LIMIT_BYTES * 0.97
    wanted = _draft(owner, body)
    stored = controlplane.api.create(_path(wanted), _object(wanted))
    assert stored["metadata"]["generation"] == 1


@pytest.mark.usefixtures("kubectl")
def test_a_report_over_the_limit_is_stored_after_fitting(
    controlplane: ControlPlane, owner: WorkloadRow
) -> None:
    """Without the cut the API server refuses it: the size is counted as etcd counts."""
    body = _large(2_000_000)
    wanted = _draft(owner, body)
    with pytest.raises(ApiError, match=r"too large|413"):
        controlplane.api.create(_path(wanted), _object(wanted))
    cut = _draft(owner, fit(body))
    stored = controlplane.api.create(_path(cut), _object(cut))
    assert stored["metadata"]["annotations"]["kube-sluice/truncated"]
    assert stored["report"]["summary"] == body.report["summary"]
