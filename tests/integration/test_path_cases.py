"""Cases of what hurt users elsewhere, end to end with real parts, disturbed by none.

One product for all, a namespace each. Only the kubelet is a stand-in. The names of the tests are
those of the cases.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.model.facts import Fact
from common.ops.trivy_program import Trivy
from common.reports.fit import REPORT_LIMIT_BYTES, size_bytes
from sandbox import oci, vulndb
from sandbox.advisories import ADVISORIES, OsAdvisory
from sandbox.demo.world import GROUP, create_all
from sandbox.images import Pushed, Sample, push, touch
from sandbox.manifests import Part, workload
from sandbox.packages import alpine, apk
from sandbox.pull import USER_AGENT as KUBELET
from sandbox.vulnerabilities import VULNERABILITIES, Vulnerability
from tests.fixtures_sandbox import lacking
from tests.garbling import Garbling
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

REPORT = f"/apis/{GROUP}/v1alpha1/namespaces/{{}}/vulnerabilityreports"
# 12,000 findings: so many identifiers of each severity, in each of so many packages.
PACKAGES = 10
IDENTIFIERS = {"CRITICAL": 40, "HIGH": 110, "MEDIUM": 350, "LOW": 600, "UNKNOWN": 100}
RANK = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
COUNTS = {f"{name.lower()}Count": PACKAGES * count for name, count in IDENTIFIERS.items()}


def many() -> list[Vulnerability]:
    """Return the identifiers, with titles as long as people write them."""
    names = [name for name, count in IDENTIFIERS.items() for _ in range(count)]
    return [
        Vulnerability(
            id=f"CVE-2026-{10_000 + at}",
            title=f"many: {'a long story of how it can be reached, ' * 5}{at}",
            severity=RANK.index(name),
            published="2026-01-01T00:00:00Z",
        )
        for at, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def garbling(trivy: Trivy, tmp_path_factory: pytest.TempPathFactory) -> Garbling:
    """Give the product's Trivy, which can be spoiled."""
    return Garbling.make(tmp_path_factory.mktemp("garbling"), trivy.path)


@pytest.fixture(scope="module")
def alive(garbling: Garbling) -> Iterator[Living]:
    """Give the product at work, with a database that knows a package with too many findings."""
    known = many()
    advisories = [
        OsAdvisory(release="alpine 3.18", package="many", id=one.id, fixed="2.0-r0")
        for one in known
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vulndb, "ADVISORIES", (*ADVISORIES, *advisories))
        patch.setattr(vulndb, "VULNERABILITIES", (*VULNERABILITIES, *known))
        try:
            with living(
                SLUICE_TRIVY_PATH=str(garbling.path),
                OPERATOR_EXCLUDE_NAMESPACES="excluded-*",
                TRIVY_MAX_IMAGE_SIZE="100MB",
            ) as one:
                yield one
        except PreconditionError as error:
            lacking(error)


def own_image(alive: Living, name: str) -> Pushed:
    """Push an image that no other test uses."""
    mark = f"{name}-{secrets.token_hex(4)}"
    one = replace(touch("alpine-app", mark), name=mark, tags=("1",))
    return push(alive.world.registry.address, [one])[mark]


def facts_about(alive: Living, word: str, *kinds: str) -> list[Fact]:
    """Return the facts of these kinds whose key holds the word."""
    return [one for one in alive.facts(0.0) if word in one.key and one.kind in kinds]


def by_container(alive: Living, namespace: str) -> dict[str, Any]:
    """Return the reports of a namespace by the container that they are about."""
    label = "trivy-operator.container.name"
    return {one["metadata"]["labels"][label]: one for one in alive.reports(namespace).values()}


def owner(report: Any) -> tuple[str, str]:
    """Return kind and name of who owns a report."""
    (one,) = report["metadata"]["ownerReferences"]
    return one["kind"], one["name"]


def refused_writes(alive: Living) -> int:
    """Return how many writes of reports the API server refused since it started."""
    return sum(
        one.count
        for one in alive.world.plane.metrics()
        if (one.group, one.resource) == (GROUP, "vulnerabilityreports")
        and one.verb in ("POST", "PUT", "PATCH")
        and not one.code.startswith("2")
    )


def test_c04_a_container_that_is_added_costs_its_own_image_alone(alive: Living) -> None:
    """Init, two main ones, and an ephemeral one later: a report each, and no second look."""
    here = alive.namespace()
    parts = [
        Part(name="first", image=own_image(alive, "c04-init").reference, init=True),
        Part(name="app", image=own_image(alive, "c04-app").reference),
        Part(name="helper", image=own_image(alive, "c04-helper").reference),
    ]
    create_all(alive.world.plane.api, [workload("Pod", "web", parts, namespace=here)])
    eventually(lambda: set(by_container(alive, here)) == {"first", "app", "helper"})
    alive.product.await_settled(timeout_s=60)
    before = {name: one["metadata"]["uid"] for name, one in by_container(alive, here).items()}
    work, mark = alive.product.work(), alive.world.registry.mark()
    added = own_image(alive, "c04-shell")
    shell = {"name": "shell", "image": added.reference, "command": ["/none"]}
    alive.patch(
        f"/api/v1/namespaces/{here}/pods/web/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [shell]}},
    )
    eventually(lambda: "shell" in by_container(alive, here))
    alive.product.await_settled(timeout_s=60)
    assert alive.product.work().inventories - work.inventories == 1
    assert len(facts_about(alive, added.digest, "inventoried")) == 1
    ours = [
        one for one in alive.world.registry.requests(since=mark) if KUBELET not in one.user_agent
    ]
    assert {one.repository for one in ours if one.kind} <= {added.repository}
    after = {name: one["metadata"]["uid"] for name, one in by_container(alive, here).items()}
    assert {name: uid for name, uid in after.items() if name != "shell"} == before


def test_c05_one_digest_in_four_containers_of_two_namespaces_is_scanned_once(
    alive: Living,
) -> None:
    """Init, main, side-car, and a Deployment elsewhere: four reports with their own owners."""
    here, elsewhere = alive.namespace(), alive.namespace()
    image = own_image(alive, "c05")
    mark = alive.world.registry.mark()
    parts = [
        Part(name="first", image=image.reference, init=True),
        Part(name="sidecar", image=image.reference, init=True),
        Part(name="app", image=image.reference),
    ]
    pod = workload("Pod", "web", parts, namespace=here)
    pod["spec"]["initContainers"][1]["restartPolicy"] = "Always"
    create_all(alive.world.plane.api, [pod])
    alive.deploy(elsewhere, "other", image.pinned)
    eventually(lambda: set(by_container(alive, here)) == {"first", "sidecar", "app"})
    eventually(lambda: set(by_container(alive, elsewhere)) == {"c0"})
    alive.product.await_settled(timeout_s=60)
    assert len(facts_about(alive, image.digest, "inventoried")) == 1
    ours = [
        one.path
        for one in alive.world.registry.requests(since=mark)
        if one.repository == image.repository
        and one.kind == "blob"
        and KUBELET not in one.user_agent
    ]
    assert ours
    assert max(Counter(ours).values()) == 1
    assert {owner(one) for one in by_container(alive, here).values()} == {("Pod", "web")}
    (kind, name) = owner(by_container(alive, elsewhere)["c0"])
    assert kind == "ReplicaSet"
    assert name.startswith("other-")
    names = [*alive.reports(here), *alive.reports(elsewhere)]
    assert len(set(names)) == 4


def test_c14_a_report_deleted_in_an_excluded_namespace_is_nobodys_work(alive: Living) -> None:
    """One in an included namespace comes back, from what is known of the image already."""
    here, out = alive.namespace(), f"excluded-{secrets.token_hex(3)}"
    alive.world.create_namespace(out)
    api = alive.world.plane.api
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.deploy(out, "web", alive.image("alpine-app"))
    report = alive.await_report(here)
    kept = ("apiVersion", "kind", "report")
    foreign = {name: report[name] for name in kept} | {
        "metadata": {"name": "by-hand", "namespace": out, "labels": report["metadata"]["labels"]}
    }
    api.create(REPORT.format(out), foreign)
    alive.product.await_settled(timeout_s=60)
    since, work = alive.product.work(), alive.world.registry.mark()
    api.delete(f"{REPORT.format(out)}/by-hand")
    api.delete(f"{REPORT.format(here)}/{report['metadata']['name']}")
    back = eventually(lambda: alive.of(here))[0]  # whoever follows reports has seen both by now
    assert back["metadata"]["uid"] != report["metadata"]["uid"]
    assert back["report"]["vulnerabilities"] == report["report"]["vulnerabilities"]
    alive.product.force_sweep(timeout_s=60)
    alive.product.await_settled(timeout_s=60)
    spent = alive.product.work() - since
    assert (spent.inventories, spent.writes) == (0, 1)
    assert [one for one in alive.world.registry.requests(since=work) if one.kind] == []
    assert alive.reports(out) == {}
    told = facts_about(alive, f"/{out}/", "converged", "written", "retried", "parked")
    # Its row goes with its report; that is all there is to do.
    assert {one.data.get("outcome") for one in told} <= {"Rest:NamespaceExcluded", "Gone"}
    assert facts_about(alive, f"/{out}/", "written") == []


def test_c15_twelve_thousand_findings_are_told_as_far_as_they_fit(alive: Living) -> None:
    """The highest severities whole, exact counts, a mark, an Event, one write; others go on."""
    here = alive.namespace()
    packages = [apk(f"many-{at}", "1.0-r0", "MIT", source="many") for at in range(PACKAGES)]
    layer = oci.layer(alpine("3.18.2", packages), "ADD rootfs / # test")
    content = oci.image([layer], entrypoint=["/none"])
    sample = Sample(name="many", tags=("1",), build=lambda: content)
    image = push(alive.world.registry.address, [sample])["many"]
    refused = refused_writes(alive)
    alive.deploy(here, "web", image.reference)
    alive.deploy(here, "next", alive.image("clean"))
    eventually(lambda: len(alive.reports(here)) == 2, within_s=120)
    alive.product.await_settled(timeout_s=60)
    (large,) = [one for name, one in alive.reports(here).items() if "-web-" in name]
    summary = {name: large["report"]["summary"][name] for name in COUNTS}
    assert summary == COUNTS
    assert sum(summary.values()) == 12_000
    left_out = large["metadata"]["annotations"]["kube-sluice/truncated"].split(",")
    assert left_out[:2] == ["text", "UNKNOWN"]
    told = Counter(one["severity"] for one in large["report"]["vulnerabilities"])
    kept = [name for name in IDENTIFIERS if name not in left_out]
    assert told == {name: PACKAGES * IDENTIFIERS[name] for name in kept}
    assert "CRITICAL" in kept
    assert REPORT_LIMIT_BYTES // 8 < size_bytes(large["report"]) <= REPORT_LIMIT_BYTES
    event = eventually(lambda: [e for e in alive.events(here) if e["reason"] == "ReportTruncated"])
    about = event[0]["involvedObject"]
    assert (about["kind"], about["name"]) == ("Deployment", "web")
    assert "left out: text, UNKNOWN" in event[0]["message"]
    name = large["metadata"]["name"]
    shown = f"VulnerabilityReport/{here}/{name}"
    writes = [one for one in facts_about(alive, here, "written") if one.data["report"] == shown]
    assert [one.data["how"] for one in writes] == ["created"]
    assert refused_writes(alive) == refused
    assert facts_about(alive, here, "retried", "parked") == []


def test_c18_a_trivy_that_writes_nonsense_leaves_the_old_report(
    alive: Living, garbling: Garbling
) -> None:
    """All that Redis knew is lost, and the image is scanned again by a spoiled Trivy."""
    here = alive.namespace()
    image = own_image(alive, "c18")
    alive.deploy(here, "web", image.reference)
    before = alive.await_report(here)
    alive.product.await_settled(timeout_s=60)
    garbling.spoil("warned")
    try:
        alive.flush_redis()
        told = eventually(lambda: facts_about(alive, image.digest, "retried", "parked"))
        assert told[0].data["reason"] == "ReportUnreadable"
        assert alive.of(here) == [before]
    finally:
        garbling.spoil("")
    eventually(lambda: facts_about(alive, image.digest, "inventoried"))
    alive.product.await_settled(timeout_s=60)
    assert alive.of(here) == [before]


def test_an_image_that_is_too_large_says_so_on_its_workload(alive: Living) -> None:
    """With limit and setting: whoever reads the Event must know what to ask for, and whom."""
    here, name = alive.namespace(), f"large-{secrets.token_hex(4)}"
    files = {**alpine("3.18.2", []), "opt/zeros.bin": bytes(120_000_000), "etc/x": name}
    content = oci.image([oci.layer(files, "COPY . # test")], entrypoint=["/none"])
    sample = Sample(name=name, tags=("1",), build=lambda: content)
    image = push(alive.world.registry.address, [sample])[name]
    alive.deploy(here, "web", image.reference)
    event = eventually(lambda: [e for e in alive.events(here) if e["reason"] == "ScanFailed"])[0]
    assert event["involvedObject"]["kind"] == "Deployment"
    assert "ImageTooLarge" in event["message"]
    assert "100000000 bytes (TRIVY_MAX_IMAGE_SIZE)" in event["message"]
    told = eventually(lambda: facts_about(alive, image.digest, "parked", "retried"))
    assert [one.kind for one in told] == ["parked"]
