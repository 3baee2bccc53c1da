"""Reports must name what really runs, by the cluster's own word."""

from __future__ import annotations

from typing import Any

from sandbox.demo.running import ran, unfinished, unlike

A, B = "sha256:a", "sha256:b"


def pod(name: str, *statuses: dict[str, Any], owner: dict[str, Any] | None = None) -> Any:
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            **({"ownerReferences": [owner]} if owner else {}),
        },
        "status": {"containerStatuses": list(statuses)},
    }


def status(digest: str, name: str = "app") -> dict[str, Any]:
    return {"name": name, "imageID": f"127.0.0.1:5000/sample/web@{digest}"}


def report(digest: str, *, kind: str = "VulnerabilityReport", name: str = "web-1") -> Any:
    labels = {
        "trivy-operator.resource.namespace": "shop",
        "trivy-operator.resource.kind": "ReplicaSet",
        "trivy-operator.resource.name": name,
        "trivy-operator.container.name": "app",
    }
    return {
        "kind": kind,
        "metadata": {"labels": labels},
        "report": {"artifact": {"digest": digest}},
    }


OWNER = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
PLACE = ("shop", "ReplicaSet", "web-1", "app")


def test_a_pod_counts_for_its_controller_and_else_for_itself() -> None:
    """Reports stand on the ReplicaSet, or on a Pod that nobody controls."""
    found = ran([pod("web-1-x", status(A), owner=OWNER), pod("alone", status(B))])
    assert found == {PLACE: {A}, ("shop", "Pod", "alone", "app"): {B}}


def test_an_owner_that_is_no_controller_does_not_count() -> None:
    """Garbage collection knows it, workloads do not."""
    assert ran([pod("p", status(A), owner={**OWNER, "controller": False})]) == {
        ("shop", "Pod", "p", "app"): {A}
    }


def test_init_and_ephemeral_containers_count_too() -> None:
    """They run images like any other."""
    one = pod("p")
    one["status"]["initContainerStatuses"] = [status(A, "init")]
    one["status"]["ephemeralContainerStatuses"] = [status(B, "debug")]
    assert set(ran([one])) == {("shop", "Pod", "p", "init"), ("shop", "Pod", "p", "debug")}


def test_a_container_that_waits_ran_nothing() -> None:
    """Its imageID is empty until the pull succeeds."""
    assert ran([pod("p", {"name": "app", "imageID": ""})]) == {}
    assert ran([{"metadata": {"namespace": "shop", "name": "p"}, "status": {}}]) == {}


def test_a_report_of_what_runs_is_no_fault() -> None:
    """So that the faults below come from the digest."""
    assert unlike({PLACE: {A}}, [report(A)]) == []


def test_a_report_of_another_digest_is_told() -> None:
    """The worst fault: findings of an image that does not run."""
    (told,) = unlike({PLACE: {A}}, [report(B)])
    assert "shop/ReplicaSet/web-1/app" in told
    assert A in told
    assert B in told


def test_a_container_without_a_report_is_told() -> None:
    """Another workload's report and another kind's do not stand for it."""
    reports = [report(A, name="other"), report(A, kind="SbomReport")]
    (told,) = unlike({PLACE: {A}}, reports)
    assert "nothing" in told


def test_a_workload_that_runs_two_digests_cannot_have_one_report_of_both() -> None:
    """A tag that moved under a ReplicaSet: the demo has none, and must see it if it had."""
    assert len(unlike({PLACE: {A, B}}, [report(A)])) == 1


def test_jobs_that_did_not_succeed_are_named() -> None:
    """On a real kubelet a Job ends only when its image really runs."""
    done = {"metadata": {"namespace": "shop", "name": "seed"}, "status": {"succeeded": 1}}
    stuck = {"metadata": {"namespace": "shop", "name": "late"}, "status": {"active": 1}}
    assert unfinished([done, stuck]) == ["shop/late"]
