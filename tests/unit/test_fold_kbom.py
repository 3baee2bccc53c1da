"""The cluster's own software in the fold: what counts, what it is called, and what is no news."""

from __future__ import annotations

import pytest

from common.kube.wire import Node, Pod
from common.model.clusterrow import KbomComponent, KbomImage, KbomNode, KbomRow
from common.model.key import cluster_sbom_key
from common.reports.labels import CONTAINER_NAME, IMAGE_ID, KBOM, SBOM_TYPE, naming_labels
from common.reports.naming import cluster_sbom_name, kbom_vulnerability_name
from tests import builders as b
from tests.folding import empty
from watcher.decide.affected import Forget, Want, affected
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change

VERSION = "v1.36.3+k3s1"
NAME = cluster_sbom_name("k8s.io", "kubernetes", "1.36.3-k3s1")
KEY = cluster_sbom_key(NAME)
DIGEST = b.digest("a")
SYSTEM = b.in_namespace("kube-system")
BILL, FINDINGS = "ClusterSbomReport", "ClusterVulnerabilityReport"


def node(*modifiers: b.Modifier) -> Node:
    return b.node("n1", "amd64", "linux", *modifiers)


def pod(name: str, image: str, *modifiers: b.Modifier) -> Pod:
    told = b.runs("app", DIGEST)
    return b.pod(name, SYSTEM, b.container("app", image), told, *modifiers)


def cluster(*changes: Change, version: str = VERSION, **environ: str) -> Cluster:
    made = empty(version, **environ)
    made.load(changes)
    made.settle()
    return made


def row(made: Cluster) -> KbomRow:
    found = made.row(KEY)
    assert isinstance(found, KbomRow)
    return found


def wishes(made: Cluster, *changes: Change) -> list[Want | Forget]:
    return [one for one in affected(made.apply(changes), made, epoch=1) if one.key == KEY]


def only(made: Cluster) -> KbomComponent:
    (found,) = row(made).components
    return found


APISERVER = pod(
    "kube-apiserver-m1", "registry.k8s.io/kube-apiserver:v1.36.3",
    b.labelled({"component": "kube-apiserver"}), b.controlled_by("Node", "m1"),
)  # fmt: skip


def test_a_node_is_told_as_its_kubelet_reports_it() -> None:
    """Versions as databases spell them: without a leading v, and without a distribution's mark."""
    made = node(
        b.labelled({"node-role.kubernetes.io/control-plane": ""}),
        b.node_info(
            kubeletVersion="v1.36.3+k3s1",
            containerRuntimeVersion="containerd://2.1.4",
            osImage="Debian GNU/Linux 12 (bookworm)",
            kernelVersion="6.1.0",
        ),
    )
    found = cluster(b.upsert(made))
    assert row(found).version == "1.36.3-k3s1"
    assert row(found).nodes == (
        KbomNode(
            name="n1",
            role="master",
            kubelet="1.36.3",
            runtime="containerd://2.1.4",
            os_image="Debian GNU/Linux 12 (bookworm)",
            kernel="6.1.0",
            operating_system="linux",
            architecture="amd64",
        ),
    )


def test_a_part_of_the_control_plane_is_called_what_databases_call_it() -> None:
    """By kubeadm's label; a static Pod is named by itself."""
    assert only(cluster(b.upsert(node()), b.upsert(APISERVER))) == KbomComponent(
        namespace="kube-system",
        owner="kube-apiserver-m1",
        name="k8s.io/apiserver",
        version="1.36.3",
        type="controlPlane",
        images=(
            KbomImage(
                registry="registry.k8s.io",
                repository="kube-apiserver",
                tag="v1.36.3",
                digest=DIGEST,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("labels", "image", "name", "version", "kind"),
    [
        (
            {"component": "etcd"},
            "registry.k8s.io/etcd:3.6.4-0",
            "go.etcd.io/etcd/v3",
            "3.6.4-0",
            "controlPlane",
        ),
        (
            {"k8s-app": "kube-proxy"},
            "registry.k8s.io/kube-proxy:v1.36.3",
            "k8s.io/kube-proxy",
            "1.36.3",
            "node",
        ),
        ({"k8s-app": "kube-dns"}, "registry.k8s.io/coredns/coredns:v1.12.1", "kube-dns", "", ""),
        ({"k8s-app": "x"}, "rancher/x:v1.36.3-k3s1", "x", "1.36.3", ""),
        (
            {
                "k8s-app": "x",
                "app.kubernetes.io/name": "ingress-nginx",
                "app.kubernetes.io/version": "1.13.0",
                "app.kubernetes.io/component": "controller",
            },
            "registry.k8s.io/ingress-nginx/controller:v1.13.0",
            "k8s.io/ingress-nginx",
            "1.13.0",
            "controller",
        ),
    ],
    ids=["etcd", "kube-proxy", "another name than its image", "k3s", "its own labels"],
)
def test_names_and_versions_are_trivy_kubernetes(
    labels: dict[str, str], image: str, name: str, version: str, kind: str
) -> None:
    """Else the database would know nothing of it."""
    found = only(cluster(b.upsert(node()), b.upsert(pod("x", image, b.labelled(labels)))))
    assert (found.name, found.version, found.type) == (name, version, kind)


@pytest.mark.parametrize(
    "made",
    [
        b.pod("x", SYSTEM, b.labelled({"app": "x"})),
        b.pod("x", b.labelled({"component": "frontend"})),
        b.pod("x", SYSTEM, b.labelled({"component": "x"}), b.terminating()),
    ],
    ids=["without a label", "an application's label", "ending"],
)
def test_what_is_no_part_of_the_cluster_is_left_out(made: Pod) -> None:
    """`component` is a word that applications use too."""
    assert row(cluster(b.upsert(node()), b.upsert(made))).components == ()


def test_pods_of_one_controller_are_one_component_and_their_restarts_no_news() -> None:
    """A DaemonSet on a thousand nodes is one line, and a Pod that comes or goes writes nothing."""
    proxy = (b.labelled({"k8s-app": "kube-proxy"}), b.controlled_by("DaemonSet", "kube-proxy"))
    image = "registry.k8s.io/kube-proxy:v1.36.3"
    made = cluster(b.upsert(node()), b.upsert(pod("kube-proxy-a", image, *proxy)))
    assert only(made).owner == "kube-proxy"
    assert wishes(made, b.upsert(pod("kube-proxy-b", image, *proxy))) == []
    assert wishes(made, b.delete(pod("kube-proxy-a", image, *proxy))) == []
    rolled = pod("kube-proxy-c", "registry.k8s.io/kube-proxy:v1.36.4", *proxy)
    assert len(wishes(made, b.upsert(rolled))) == 1
    assert len(row(made).components) == 2
    wishes(made, b.delete(pod("kube-proxy-b", image, *proxy)), b.delete(rolled))
    assert row(made).components == ()


def test_a_heartbeat_of_a_node_is_no_news_and_a_new_kubelet_is() -> None:
    """Status noise ends in the fold."""
    made = cluster(b.upsert(node(b.node_info(kubeletVersion="v1.36.2"))))
    assert wishes(made, b.upsert(node(b.node_info(kubeletVersion="v1.36.2")))) == []
    assert len(wishes(made, b.upsert(node(b.node_info(kubeletVersion="v1.36.3"))))) == 1
    assert wishes(made, b.delete(node())) == [Forget(key=KEY)]


@pytest.mark.parametrize(
    ("version", "environ"),
    [
        ("", {}),
        (VERSION, {"SLUICE_KBOM_ENABLED": "false"}),
        (VERSION, {"OPERATOR_TARGET_NAMESPACES": "kube-system"}),
        (VERSION, {"SLUICE_PLATFORM": "linux-amd64"}),
        (VERSION, {"OPERATOR_SBOM_GENERATION_ENABLED": "false"}),
        (VERSION, {"OPERATOR_VULNERABILITY_SCANNER_ENABLED": "false"}),
    ],
    ids=["nobody asked", "off", "in namespaces", "without nodes", "no bills", "no findings"],
)
def test_where_it_is_not_wanted_or_not_allowed_there_is_no_row(
    version: str, environ: dict[str, str]
) -> None:
    """Who may work in namespaces alone does without."""
    made = cluster(b.upsert(node()), b.upsert(APISERVER), version=version, **environ)
    assert KEY not in made.prints


def _findings(*modifiers: b.Modifier, of: str = NAME) -> Change:
    labels = {CONTAINER_NAME: "k8s-cluster", **naming_labels(BILL, "", of)}
    name = kbom_vulnerability_name(of)
    made = b.report(FINDINGS, name, b.in_namespace(""), b.labelled(labels), *modifiers)
    return b.upsert(made, kind=FINDINGS)


def test_findings_are_about_the_bill_that_they_hang_on() -> None:
    """Whoever changes them brings back the key of both."""
    owned = b.controlled_by(BILL, NAME, api_version="aquasecurity.github.io/v1alpha1")
    made = cluster(b.upsert(node()), _findings(owned, b.stamped()))
    edited = _findings(owned, b.stamped(), b.generation(2))
    assert [one.cause for one in wishes(made, edited) if isinstance(one, Want)] == ["ReportEdited"]
    bare = _findings(b.stamped())
    assert wishes(made, bare) == []  # by its labels, where the owner was taken away
    renamed = _findings(b.stamped(), b.labelled({CONTAINER_NAME: "x"}))
    (wish,) = wishes(made, renamed)
    assert isinstance(wish, Want)
    assert wish.cause == "ReportMislabelled"


@pytest.mark.parametrize(("on", "left"), [("true", {"old"}), ("false", set())])
def test_what_trivy_operator_left_of_an_older_version_is_given_up(on: str, left: set[str]) -> None:
    """Trap 35. Only where we write such reports; the cache's switch has no say in it."""
    labels = b.labelled({IMAGE_ID: "old", SBOM_TYPE: KBOM})
    made = b.upsert(b.report(BILL, "old", b.in_namespace(""), labels), kind=BILL)
    found = cluster(b.upsert(node()), made, _findings(of="old"), SLUICE_KBOM_ENABLED=on)
    assert {key.name.removeprefix("sbom/") for key in found.left_over()} == left
