"""The cluster's own software with real parts: its bill of materials, and what is known of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.ops.trivy_program import Trivy
from common.reports.labels import IMAGE_ID, KBOM, MANAGED_BY, MANAGER, SBOM_TYPE
from common.reports.naming import cluster_sbom_name, kbom_vulnerability_name
from sandbox import vulndb
from sandbox.demo.world import GROUP, create_all
from sandbox.manifests import Part, workload
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

ROOT = f"/apis/{GROUP}/v1alpha1"
BILLS, FINDINGS = f"{ROOT}/clustersbomreports", f"{ROOT}/clustervulnerabilityreports"


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living(SLUICE_KBOM_ENABLED="true") as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def name_of(alive: Living) -> str:
    version = alive.world.plane.api.get("/version")["gitVersion"]
    return cluster_sbom_name("k8s.io", "kubernetes", str(version).removeprefix("v"))


def get(alive: Living, root: str, name: str) -> Any:
    found = {item["metadata"]["name"]: item for item in alive.world.items(root)}
    return found.get(name)


def bill(alive: Living) -> Any:
    return eventually(lambda: get(alive, BILLS, name_of(alive)))


def findings(alive: Living) -> Any:
    name = kbom_vulnerability_name(name_of(alive))
    return eventually(lambda: get(alive, FINDINGS, name))


def ids(alive: Living) -> set[str]:
    return {one["vulnerabilityID"] for one in findings(alive)["report"]["vulnerabilities"]}


def versions(alive: Living) -> list[str]:
    return [each(alive)["metadata"]["resourceVersion"] for each in (bill, findings)]


def at_rest(alive: Living) -> None:
    alive.product.await_quiet(timeout_s=120)


def test_the_cluster_has_its_two_reports(alive: Living) -> None:
    """As trivy-operator makes them, and as their definitions take them."""
    made, about = bill(alive), findings(alive)
    name, version = name_of(alive), alive.world.plane.api.get("/version")["gitVersion"]
    assert made["metadata"]["labels"] == {IMAGE_ID: name, MANAGED_BY: MANAGER, SBOM_TYPE: KBOM}
    assert "ownerReferences" not in made["metadata"]
    assert made["report"]["components"]["metadata"]["component"]["version"] == version
    nodes = {item["metadata"]["name"] for item in alive.world.items("/api/v1/nodes")}
    platforms = {
        one["name"]
        for one in made["report"]["components"]["components"]
        if one["type"] == "platform"
    }
    assert nodes == platforms
    (owner,) = about["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ClusterSbomReport", made["metadata"]["uid"])
    assert about["report"]["artifact"] == made["report"]["artifact"]
    assert ids(alive) == {"CVE-2020-8554"}
    assert about["report"]["summary"]["mediumCount"] == 1


def made_by(trivy: Trivy, alive: Living, home: Path) -> Any:  # JSON
    """Return the bill that Trivy itself makes of the cluster."""
    done = subprocess.run(
        [
            trivy.path,
            "kubernetes",
            "--kubeconfig",
            str(alive.world.plane.kubeconfig),
            "--format",
            "cyclonedx",
            "--disable-node-collector",
            "--quiet",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TRIVY_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def edges(document: Any) -> list[tuple[str, list[str]]]:
    """Return what holds what, by name."""
    parts = [document["metadata"]["component"], *document["components"]]
    names = {one["bom-ref"]: one["name"] for one in parts if one["type"] != "platform"}
    return sorted(
        (
            names.get(one["ref"], "a platform"),
            sorted(names.get(ref, "") for ref in one["dependsOn"]),
        )
        for one in document["dependencies"]
    )


def told(components: list[Any]) -> list[str]:
    """Return what components say of themselves, in one order; without identifiers."""
    plain = [
        {name: one[name] for name in one if name != "bom-ref" and one[name]} for one in components
    ]
    return sorted(json.dumps(one, sort_keys=True) for one in plain)


def test_nothing_is_written_that_is_true(alive: Living) -> None:
    """Law 1: neither in another pass nor after a restart of everything."""
    versions(alive)
    at_rest(alive)
    before, work = versions(alive), alive.product.work()
    alive.product.force_sweep(timeout_s=60)
    at_rest(alive)
    sweeps = alive.product.sweeps()
    alive.product.restart()
    alive.product.await_sweep(sweeps, timeout_s=60)
    at_rest(alive)
    told_ = [(fact.kind, fact.data) for fact in alive.facts(0) if fact.key.startswith("cluster/")]
    assert alive.product.work() == work, told_
    assert versions(alive) == before


def test_findings_that_somebody_deletes_come_back(alive: Living) -> None:
    """As every report does."""
    path = f"{FINDINGS}/{findings(alive)['metadata']['name']}"
    gone = findings(alive)["metadata"]["uid"]
    alive.world.plane.api.delete(path)
    eventually(lambda: findings(alive)["metadata"]["uid"] != gone)
    assert ids(alive) == {"CVE-2020-8554"}


def test_a_bill_that_somebody_deletes_comes_back_with_its_findings(alive: Living) -> None:
    """The garbage collector takes the old findings; the new ones are the new bill's."""
    gone = bill(alive)["metadata"]["uid"]
    alive.world.plane.api.delete(f"{BILLS}/{name_of(alive)}")
    eventually(lambda: bill(alive)["metadata"]["uid"] != gone)

    def owned() -> bool:
        (owner,) = findings(alive)["metadata"]["ownerReferences"]
        return bool(owner["uid"] == bill(alive)["metadata"]["uid"])

    eventually(owned)


@pytest.mark.parametrize(
    "patch",
    [
        {"report": {"vulnerabilities": []}},
        {"metadata": {"labels": {"trivy-operator.resource.name": "another"}}},
    ],
    ids=["body", "label"],
)
def test_findings_that_somebody_edits_are_made_true_again(
    alive: Living, patch: dict[str, Any]
) -> None:
    """Trap 12."""
    labels = findings(alive)["metadata"]["labels"]
    path = f"{FINDINGS}/{findings(alive)['metadata']['name']}"
    edited = alive.world.plane.api.patch(path, patch)["metadata"]["resourceVersion"]
    eventually(
        lambda: (
            findings(alive)["metadata"]["resourceVersion"] != edited
            and ids(alive) == {"CVE-2020-8554"}
            and findings(alive)["metadata"]["labels"] == labels
        )
    )


def test_a_part_of_the_control_plane_is_in_the_bill_while_it_runs(
    alive: Living, trivy: Trivy, tmp_path: Path
) -> None:
    """By the label that kubeadm gives it; and the bill is the one that Trivy makes.

    Component by component, but for identifiers, which it draws anew each time.
    """
    made = workload(
        "Pod", "kube-apiserver-m1", [Part(name="x", image=alive.image("clean"))],
        namespace="kube-system",
    )  # fmt: skip
    made["metadata"]["labels"] = {
        "component": "kube-apiserver",
        "app.kubernetes.io/version": "1.26.0",
    }
    accounts = "/api/v1/namespaces/kube-system/serviceaccounts"
    eventually(
        lambda: "default" in {one["metadata"]["name"] for one in alive.world.items(accounts)}
    )
    create_all(alive.world.plane.api, [made])

    def named() -> dict[str, str]:
        parts = bill(alive)["report"]["components"]["components"]
        return {one["name"]: one.get("version", "") for one in parts}

    eventually(lambda: named().get("k8s.io/apiserver") == "v1.26.0")
    eventually(lambda: "CVE-2020-8561" in ids(alive))
    theirs = made_by(trivy, alive, tmp_path)
    eventually(lambda: alive.image("clean").split(":1.0")[0] in named())
    ours = bill(alive)["report"]["components"]
    mine, trivys = told(ours["components"]), told(theirs["components"])
    assert [one for one in trivys if one not in mine] == []
    assert [one for one in mine if one not in trivys] == []
    assert edges(ours) == edges(theirs)
    assert ours["specVersion"] == theirs["specVersion"]
    root = theirs["metadata"]["component"]
    assert ours["metadata"]["component"]["type"] == root["type"]
    alive.world.plane.api.delete("/api/v1/namespaces/kube-system/pods/kube-apiserver-m1", grace_s=0)
    eventually(lambda: "k8s.io/apiserver" not in named())
    eventually(lambda: ids(alive) == {"CVE-2020-8554"})


def test_status_and_history_tell_of_it(alive: Living) -> None:
    """By the name that `kubectl get` shows."""
    findings(alive)
    at_rest(alive)
    assert "1 of 1 subjects have true reports" in alive.product.sluice("status")
    told_ = alive.product.sluice("history", f"clustersbomreports/{name_of(alive)}")
    assert f"ClusterVulnerabilityReport/{findings(alive)['metadata']['name']}" in told_


def test_reports_of_a_version_that_is_no_more_are_deleted(alive: Living) -> None:
    """Trap 35. After an upgrade of the cluster; trivy-operator leaves them for ever."""
    old = cluster_sbom_name("k8s.io", "kubernetes", "1.25.0")
    labels = {IMAGE_ID: old, MANAGED_BY: MANAGER, SBOM_TYPE: KBOM}
    left = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterSbomReport",
        "metadata": {"name": old, "labels": labels},
        "report": bill(alive)["report"],
    }
    alive.world.plane.api.create(BILLS, left)
    assert get(alive, BILLS, old)
    alive.product.force_sweep(timeout_s=60)
    eventually(lambda: get(alive, BILLS, old) is None)
    assert bill(alive)


def test_a_new_database_is_asked_at_once_and_the_bill_stays(alive: Living) -> None:
    """trivy-operator never asks again for a version of the cluster."""
    at_rest(alive)
    before = bill(alive)["metadata"]["resourceVersion"]
    folder = alive.place.sub("newer")
    vulndb.build(folder, level=2, updated_at=datetime.now(UTC).replace(microsecond=0))
    vulndb.push(alive.world.registry.address, folder)
    alive.product.sluice("database", "check")
    eventually(lambda: ids(alive) == {"CVE-2020-8554", "CVE-2021-25740"})
    assert bill(alive)["metadata"]["resourceVersion"] == before
