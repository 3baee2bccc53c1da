"""The main job on a real kubelet: every promise of the demo, and what only a kubelet can show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox.api import ApiError
from sandbox.demo.proof import Measured, Phase, Seen, Work, document, faults
from sandbox.demo.stage import EPHEMERAL_POD_PLACE, Stage
from sandbox.demo.world import create_all
from sandbox.images import push, touch
from sandbox.manifests import Part, workload
from tests.living import Living, eventually

pytestmark = pytest.mark.e2e


def digest_of(report: Any) -> str:
    return str(report["report"]["artifact"]["digest"])


def running(alive: Living, namespace: str) -> dict[str, str]:
    """Return the Pods whose container c0 runs, by name, with the digest that runs."""
    pods = alive.world.plane.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    found = {}
    for pod in pods:
        for status in pod["status"].get("containerStatuses", ()):
            if status["name"] == "c0" and "running" in status["state"]:
                found[pod["metadata"]["name"]] = status["imageID"].partition("@")[2]
    return found


def test_every_promise_of_the_demo_holds_on_a_real_node(measured: Measured) -> None:
    """`make demo NODE=1 ONCE=1` exits 0."""
    assert faults(measured) == []


def test_one_inventory_and_one_match_for_each_distinct_image(measured: Measured) -> None:
    """Two laws in two numbers, with the registry's log as the second book."""
    assert measured.distinct_images == 10
    assert measured.first.work.inventories == 10
    assert measured.first.work.matches == 10
    assert set(measured.pulls_per_image.values()) == {1}


def test_every_container_of_every_workload_has_its_reports(measured: Measured) -> None:
    """Completeness; 148 reports for 50 containers, two of which have no packages."""
    shown = document(measured)
    assert shown["missing"] == []
    assert (shown["workloads"], shown["containers"]) == (41, 50)
    assert shown["reports"] == {
        "VulnerabilityReport": 50,
        "ExposedSecretReport": 50,
        "SbomReport": 48,
    }
    assert measured.first.work.writes == measured.first.seen.report_writes == 148


@pytest.mark.parametrize("phase", ["second_pass", "after_restart", "after_redis_restart"])
def test_nothing_is_done_again_when_nothing_changed(measured: Measured, phase: str) -> None:
    """A sweep, a restart and a Redis that was away cost no work, in both books."""
    done: Phase = getattr(measured, phase)
    assert done.work == Work()
    assert done.seen == Seen()


def test_a_new_database_pulls_nothing_and_writes_what_changed(measured: Measured) -> None:
    """Matching again needs no image."""
    done = measured.after_db_update
    assert done.work.inventories == 0
    assert done.work.matches == 10
    assert done.work.writes == done.seen.report_writes == measured.changed_by_update
    assert done.seen.registry_requests == 0


def test_every_report_names_the_digest_that_really_runs(measured: Measured) -> None:
    """The kubelet's own word for it, for all containers but those of two CronJobs never run."""
    assert measured.unlike == []
    assert measured.ran == measured.containers - 2
    assert measured.unfinished == []


def test_a_cron_job_that_never_ran_is_reported_and_has_no_pod(
    stage: Stage, measured: Measured
) -> None:
    """Its image is known from its template alone."""
    assert not measured.missing
    names = {
        report["metadata"]["name"]
        for report in stage.world.reports()
        if report["kind"] == "VulnerabilityReport"
    }
    assert {"cronjob-report-job", "cronjob-settle-job"} <= names
    jobs = {job["metadata"]["name"] for job in stage.world.items("/apis/batch/v1/jobs")}
    assert jobs == {"seed", "reindex", "migrate"}


def test_an_ephemeral_container_runs_and_is_reported(stage: Stage, measured: Measured) -> None:
    """It came after its Pod was reported."""
    assert not measured.missing
    namespace, name = EPHEMERAL_POD_PLACE
    pod = stage.world.plane.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    (status,) = pod["status"]["ephemeralContainerStatuses"]
    assert "running" in status["state"]
    assert status["imageID"].endswith(stage.world.images["debian-app"].digest)


def test_the_kubelets_pulls_are_told_from_the_products(stage: Stage, measured: Measured) -> None:
    """Both use one name of one registry; only the product's requests count against it."""
    repositories = {image.repository for image in stage.world.images.values()}
    requests = [
        one
        for one in stage.world.registry.requests()
        if one.repository in repositories and one.method in ("GET", "HEAD")
    ]
    agents = {one.user_agent.partition("/")[0] for one in requests}
    kubelets = [one for one in requests if one.user_agent.startswith("containerd/")]
    assert {"containerd", "sandbox-push"} < agents  # and the product's
    assert {one.repository for one in kubelets} == repositories
    assert stage.world.seen().registry_requests == len(requests) - len(kubelets)
    assert measured.first.seen.registry_requests < len(kubelets)


def test_a_moved_tag_gives_a_report_of_the_digest_that_now_runs(alive: Living) -> None:
    """Trap 4. Running digests are part of the fingerprint: the ReplicaSet did not change."""
    here, registry = alive.namespace(), alive.world.registry.address
    first = push(registry, [replace(touch("clean", "1"), tags=("moving",))])["clean"]
    made = workload("Deployment", "web", [Part(name="c0", image=first.reference)], namespace=here)
    made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    create_all(alive.world.plane.api, [made])
    assert digest_of(alive.await_report(here)) == first.digest
    (name,) = alive.reports(here)

    second = push(registry, [replace(touch("alpine-app", "2"), name="clean", tags=("moving",))])
    alive.delete_pods(here)
    eventually(lambda: digest_of(alive.of(here)[0]) == second["clean"].digest)
    eventually(lambda: set(running(alive, here).values()) == {second["clean"].digest})
    assert list(alive.reports(here)) == [name]  # the same ReplicaSet's, under the same name
    assert alive.of(here)[0]["report"]["summary"]["criticalCount"] > 0


def test_a_rollout_to_a_missing_tag_keeps_the_report_of_what_runs(alive: Living) -> None:
    """Trap 37. The old pods keep serving, one of them restarts: what runs keeps its report."""
    here, api = alive.namespace(), alive.world.plane.api
    alive.deploy(here, "web", alive.image("alpine-app"))
    report = alive.await_report(here)
    eventually(lambda: running(alive, here))
    bad = [{"name": "c0", "image": alive.image("alpine-app").replace(":1.0", ":never")}]
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    patch = {"spec": {"strategy": strategy, "template": {"spec": {"containers": bad}}}}
    alive.patch(f"/apis/apps/v1/namespaces/{here}/deployments/web", patch)
    eventually(lambda: "ScanFailed" in alive.reasons(here))

    (old,) = running(alive, here)
    api.delete(f"/api/v1/namespaces/{here}/pods/{old}")
    eventually(lambda: set(running(alive, here)) - {old})
    alive.product.force_sweep(timeout_s=30)
    alive.product.await_quiet(timeout_s=60)
    kept = alive.reports(here)[report["metadata"]["name"]]
    assert kept["metadata"]["uid"] == report["metadata"]["uid"]
    assert digest_of(kept) in running(alive, here).values()


def test_an_image_that_cannot_be_pulled_is_told_and_heals_when_it_appears(alive: Living) -> None:
    """The user sees an Event on what the user made; nobody needs to ask again."""
    here, registry = alive.namespace(), alive.world.registry.address
    late = alive.image("debian-app").replace(":1.0", ":late")
    alive.deploy(here, "web", alive.image("clean"), late)
    alive.await_report(here, "c0")
    failed = eventually(lambda: [e for e in alive.events(here) if e["reason"] == "ScanFailed"])[0]
    assert failed["involvedObject"]["kind"] == "Deployment"
    assert "late" in failed["message"]
    assert not alive.of(here, "c1")

    pushed = push(registry, [replace(touch("debian-app", "late"), tags=("late",))])["debian-app"]
    report = alive.await_report(here, "c1")
    assert digest_of(report) == pushed.digest
    eventually(lambda: "ScanRecovered" in alive.reasons(here))


def test_a_deleted_workload_leaves_no_report(alive: Living) -> None:
    """The garbage collector's work, by our owner references, on a real cluster."""
    here, api = alive.namespace(), alive.world.plane.api
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.await_report(here)
    api.delete(f"/apis/apps/v1/namespaces/{here}/deployments/web")
    eventually(lambda: not alive.reports(here))
    with pytest.raises(ApiError, match="404"):
        api.get(f"/apis/apps/v1/namespaces/{here}/deployments/web")
    alive.product.await_quiet(timeout_s=60)
