"""The cluster's own software as two reports: what Trivy's library would write of the same facts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.model.clusterrow import KbomComponent, KbomImage, KbomNode, KbomRow
from common.model.image import Finding, Match
from common.reports.body import body_hash
from tests.fakes.report_schema import validate
from worker.project import kbom
from worker.project.context import ReportOptions

DIGEST = f"sha256:{'ab' * 32}"
IMAGE = KbomImage(
    registry="registry.k8s.io", repository="kube-apiserver", tag="v1.26.1", digest=DIGEST
)


def node(name: str, **more: str) -> KbomNode:
    told = {
        "role": "worker",
        "kubelet": "1.26.1",
        "runtime": "containerd://1.7.2",
        "os_image": "Ubuntu 22.04.4 LTS",
        "kernel": "6.1.0",
        "operating_system": "linux",
        "architecture": "amd64",
    }
    return KbomNode(name=name, **{**told, **more})


APISERVER = KbomComponent(
    namespace="kube-system",
    owner="kube-apiserver-m1",
    name="k8s.io/apiserver",
    version="1.26.1",
    type="controlPlane",
    images=(IMAGE,),
)


def row(*nodes: KbomNode, components: tuple[KbomComponent, ...] = (APISERVER,)) -> KbomRow:
    return KbomRow(name="x", version="1.26.1", nodes=nodes or (node("n1"),), components=components)


def context(of: KbomRow) -> Any:
    return kbom.context_of(of, scanner_version="0.76.0", options=ReportOptions())


def document(of: KbomRow) -> Any:  # JSON
    return kbom.bill(of, context(of)).report["components"]


def named(of: KbomRow) -> dict[str, Any]:
    return {one["name"]: one for one in document(of)["components"]}


def test_the_root_is_the_cluster() -> None:
    """As trivy-operator calls it inside a cluster, where no kubeconfig gives it a name."""
    root = document(row())["metadata"]["component"]
    assert root == {
        "bom-ref": "pkg:k8s/k8s.io%2Fkubernetes@v1.26.1",
        "type": "platform",
        "name": "k8s.io/kubernetes",
        "version": "v1.26.1",
        "purl": "pkg:k8s/k8s.io%2Fkubernetes@v1.26.1",
        "properties": [
            {"name": "aquasecurity:trivy:resource:Name", "value": "k8s.io/kubernetes"},
            {"name": "aquasecurity:trivy:resource:Type", "value": "cluster"},
        ],
    }


def test_a_component_depends_on_its_image() -> None:
    """By the digest that a kubelet runs."""
    found, made = named(row()), document(row())
    assert found["k8s.io/apiserver"]["purl"] == "pkg:k8s/k8s.io%2Fapiserver@v1.26.1"
    image = found["registry.k8s.io/kube-apiserver"]
    assert image["type"] == "container"
    assert image["version"] == DIGEST
    assert image["purl"] == (
        f"pkg:oci/kube-apiserver@{DIGEST}?repository_url=registry.k8s.io%2Fkube-apiserver"
    )
    needs = {one["ref"]: one["dependsOn"] for one in made["dependencies"]}
    assert needs[found["k8s.io/apiserver"]["bom-ref"]] == [image["bom-ref"]]
    assert found["k8s.io/apiserver"]["bom-ref"] in needs[made["metadata"]["component"]["bom-ref"]]


def test_a_node_holds_its_system_and_its_programs() -> None:
    """Five components each."""
    found = named(row())
    assert found["n1"]["type"] == "platform"
    assert {one["name"]: one["value"] for one in found["n1"]["properties"]} == {
        "aquasecurity:trivy:Architecture": "amd64",
        "aquasecurity:trivy:HostName": "n1",
        "aquasecurity:trivy:KernelVersion": "6.1.0",
        "aquasecurity:trivy:NodeRole": "worker",
        "aquasecurity:trivy:OperatingSystem": "linux",
        "aquasecurity:trivy:resource:Name": "n1",
        "aquasecurity:trivy:resource:Type": "node",
    }
    assert (found["ubuntu"]["type"], found["ubuntu"]["version"]) == ("operating-system", "22.04.4")
    assert found["k8s.io/kubelet"]["version"] == "v1.26.1"
    runtime = found["github.com/containerd/containerd"]
    assert runtime["purl"] == "pkg:golang/github.com%2Fcontainerd%2Fcontainerd@v1.7.2"
    assert "node-core-components" in found


def test_every_identifier_stands_for_one_component() -> None:
    """Three nodes have equal kubelets: a document whose references are ambiguous is none."""
    made = document(row(node("n1"), node("n2"), node("n3")))
    refs = [one["bom-ref"] for one in made["components"]]
    assert len(refs) == len(set(refs)) == 2 + 3 * 5
    known = {*refs, made["metadata"]["component"]["bom-ref"]}
    for one in made["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= known
    assert len(made["dependencies"]) == 1 + 1 + 3 * 2  # of what holds something


def test_the_document_follows_from_the_row() -> None:
    """Trivy draws identifiers; ours would be rewritten for them at every run."""
    first, again = row(node("n1"), node("n2")), row(node("n1"), node("n2"))
    bodies = [kbom.bill(one, context(one)) for one in (first, again)]
    assert body_hash(bodies[0]) == body_hash(bodies[1])


def test_both_bodies_are_what_their_definitions_take() -> None:
    """The API server would drop or refuse what they do not know."""
    made = row()
    match = Match(
        db_version="1",
        findings=(
            Finding(
                vulnerability_id="CVE-1",
                resource="k8s.io/kubelet",
                installed_version="v1.26.1",
                severity="HIGH",
                package_type="kubernetes",
            ),
        ),
    )
    bill = kbom.bill(made, context(made))
    about = kbom.vulnerabilities(made, match, context(made))
    for body in (bill, about):
        report = {"updateTimestamp": "2026-11-26T00:00:00Z", **body.report}
        validate(body.kind, msgspec.json.decode(msgspec.json.encode(report)))
    assert about.report["artifact"] == {"repository": "kubernetes", "tag": "1.26.1"}
    assert about.report["summary"] == {
        "criticalCount": 0,
        "highCount": 1,
        "mediumCount": 0,
        "lowCount": 0,
        "unknownCount": 0,
        "noneCount": 0,
    }
    assert bill.report["summary"] == {"componentsCount": 8, "dependenciesCount": 4}


def test_each_program_is_asked_about_once() -> None:
    """However many nodes have it."""
    nodes = [node(f"n{number}") for number in range(100)]
    nodes.reverse()
    asked = kbom.packages(row(*nodes))
    assert [(one.type, one.name, one.version) for one in asked] == [
        ("gobinary", "github.com/containerd/containerd", "v1.7.2"),
        ("kubernetes", "k8s.io/apiserver", "v1.26.1"),
        ("kubernetes", "k8s.io/kubelet", "v1.26.1"),
        ("kubernetes", "k8s.io/kubernetes", "v1.26.1"),
    ]


@pytest.mark.parametrize(
    ("kubelet", "name", "kind"),
    [
        ("1.26.1-eks-a59e1f0", "n1", "eks"),
        ("1.26.1-gke.1500", "n1", "gke"),
        ("1.26.1-hotfix.1", "aks-pool-1", "aks"),
        ("1.26.1-hotfix.1", "n1", ""),
        ("1.26.1", "ocp-1", "ocp"),
    ],
)
def test_distributions_have_advisories_of_their_own(kubelet: str, name: str, kind: str) -> None:
    """Source: trivy, pkg/k8s/scanner; whose it is nobody knows, nobody is asked about."""
    asked = kbom.packages(row(node(name, kubelet=kubelet), components=()))
    assert {one.type for one in asked if one.name == "k8s.io/kubelet"} == ({kind} - {""})


@pytest.mark.parametrize(
    ("images", "os"),
    [
        (["Ubuntu 22.04.4 LTS"], {"family": "ubuntu", "name": "22.04.4"}),
        (["Debian GNU/Linux 12 (bookworm)"], {"family": "debian gnu/linux", "name": "12"}),
        (["Talos (v1.10.5)"], {"family": "talos (v1.10.5)"}),
        (["Ubuntu 22.04.4 LTS", "Ubuntu 24.04 LTS"], {"family": ""}),
        ([""], {"family": ""}),
    ],
)
def test_the_system_is_told_where_all_nodes_have_it(images: list[str], os: dict[str, str]) -> None:
    """trivy-operator takes whichever comes first, another one each time."""
    made = row(*(node(f"n{number}", os_image=one) for number, one in enumerate(images)))
    body = kbom.vulnerabilities(made, Match(db_version="1", findings=()), context(made))
    assert body.report["os"] == os
