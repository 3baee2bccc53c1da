"""The cluster's own software against real Trivy: what we ask of the match server, it would too."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.model.clusterrow import KbomComponent, KbomImage, KbomNode, KbomRow
from common.ops.trivy_program import Trivy
from common.reports.naming import cluster_sbom_name
from tests.fixtures_trivy import VERSION, match_server
from worker.evidence.cluster.match import TwirpClusterMatcher
from worker.project import kbom
from worker.project.context import ReportOptions

pytestmark = pytest.mark.integration

DIGEST = f"sha256:{'ab' * 32}"


def node(name: str, kubelet: str = "1.26.1", runtime: str = "containerd://1.7.2") -> KbomNode:
    return KbomNode(
        name=name,
        role="worker",
        kubelet=kubelet,
        runtime=runtime,
        os_image="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0",
        operating_system="linux",
        architecture="amd64",
    )


def component(name: str, tag: str, *, owner: str = "m1") -> KbomComponent:
    short = name.rpartition("/")[2]
    image = KbomImage(registry="registry.k8s.io", repository=short, tag=tag, digest=DIGEST)
    return KbomComponent(
        namespace="kube-system",
        owner=f"{short}-{owner}",
        name=name,
        version=tag.removeprefix("v"),
        type="controlPlane",
        images=(image,),
    )


ROW = KbomRow(
    name=cluster_sbom_name("k8s.io", "kubernetes", "1.26.1"),
    version="1.26.1",
    nodes=(node("n1"), node("n2"), node("n3", kubelet="1.27.9", runtime="cri-o://1.27.0")),
    components=(
        component("k8s.io/apiserver", "v1.26.1"),
        component("k8s.io/apiserver", "v1.26.1", owner="m2"),
        component("k8s.io/kube-proxy", "v1.26.1"),
    ),
)


def asked(trivy: Trivy, url: str, folder: Path, document: object) -> Any:  # JSON
    """Return what `trivy sbom` says of the document, by the same server."""
    path = folder / "bom.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [trivy.path, "sbom", "--server", url, "--format", "json", "--quiet", str(path)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TRIVY_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_findings_are_those_of_trivys_command_line(
    trivy: Trivy, match_url: str, tmp_path: Path
) -> None:
    """It reads our document: so the document is one, and says all that is matched."""
    context = kbom.context_of(ROW, scanner_version="x", options=ReportOptions())
    bill = kbom.bill(ROW, context).report["components"]
    answer = asked(trivy, match_url, tmp_path, bill)
    found = {
        (one["VulnerabilityID"], one["PkgName"], one["InstalledVersion"], result["Type"])
        for result in answer["Results"]
        for one in result.get("Vulnerabilities", [])
    }
    with closing(TwirpClusterMatcher(match_url)) as matcher:
        ours = matcher.match("cluster", kbom.packages(ROW))
    assert ours.match.db_version == VERSION[1]
    assert ours.trivy_version == trivy.version
    assert found == {
        (one.vulnerability_id, one.resource, one.installed_version, one.package_type)
        for one in ours.match.findings
    }
    assert {one[:2] for one in found} == {
        ("CVE-2020-8554", "k8s.io/kubernetes"),
        ("CVE-2020-8561", "k8s.io/apiserver"),
        ("CVE-2023-2431", "k8s.io/kubelet"),
        ("CVE-2024-40635", "github.com/containerd/containerd"),
    }
    assert len(ours.match.findings) == len(found)  # of three nodes and two masters each once


def test_a_newer_database_finds_more_in_what_was_handed_over_again(
    trivy: Trivy, databases: Mapping[int, Path], tmp_path: Path
) -> None:
    """trivy-operator never asks again; and the server forgets nothing that would be missed."""
    with (
        match_server(trivy, databases[2], tmp_path / "home", level=2) as url,
        closing(TwirpClusterMatcher(url)) as matcher,
    ):
        ours = matcher.match("cluster", kbom.packages(ROW))
    assert "CVE-2021-25740" in {one.vulnerability_id for one in ours.match.findings}


def test_a_cluster_that_tells_nothing_is_no_error(match_url: str) -> None:
    """Nodes register before their kubelets tell anything."""
    bare = KbomRow(name="x", version="", nodes=(node("n1", kubelet="", runtime=""),), components=())
    with closing(TwirpClusterMatcher(match_url)) as matcher:
        assert matcher.match("cluster", kbom.packages(bare)).match.findings == ()
