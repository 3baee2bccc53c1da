"""A real API server accepts every sample object, and its controllers make of it what is counted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox.controlplane import ControlPlane
from sandbox.expectation import expected
from sandbox.images import Pushed
from sandbox.kubelet import Kubelet
from sandbox.manifests import Manifest
from sandbox.workloads import (
    EPHEMERAL_POD,
    bench_deployments,
    broken_workloads,
    ephemeral_patch,
    namespaces,
    pull_secret,
    sample_workloads,
)

pytestmark = pytest.mark.integration


def _collection(manifest: Mapping[str, Any]) -> str:
    version, kind = manifest["apiVersion"], manifest["kind"].lower()
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{manifest['metadata']['namespace']}/{kind}s"


@pytest.fixture(scope="module")
def prefix(controlplane: ControlPlane) -> Iterator[str]:
    """Give the prefix of six fresh namespaces, whose Pods get a status."""
    prefix = f"living-{secrets.token_hex(3)}"
    for each in namespaces(prefix):
        controlplane.create_namespace(each["metadata"]["name"])
    yield prefix
    for each in namespaces(prefix):
        controlplane.api.delete(f"/api/v1/namespaces/{each['metadata']['name']}")


def test_the_api_server_accepts_every_object_that_is_never_created_here(
    controlplane: ControlPlane, pushed: Mapping[str, Pushed], prefix: str
) -> None:
    """Strict validation: an unknown or misspelt field fails the test, not the benchmark."""
    space = namespaces(prefix)[0]["metadata"]["name"]
    login = pull_secret("r:1", namespace=space, username="u", password="p")  # noqa: S106 -- made up
    for each in (
        *bench_deployments("r:1", pushed, prefix=prefix),
        *broken_workloads("r:1", namespace=space),
        login,
    ):
        path = f"{_collection(each)}?dryRun=All&fieldValidation=Strict"
        assert controlplane.api.create(path, each)["metadata"]["name"]


def test_forty_workloads_come_to_run_and_are_as_many_as_expected(
    controlplane: ControlPlane, kubelet: Kubelet, pushed: Mapping[str, Pushed], prefix: str
) -> None:
    """What is counted from the manifests must be what stands in the cluster."""
    assert kubelet is not None
    registry = next(iter(pushed.values())).registry
    manifests = sample_workloads(registry, pushed, prefix=prefix)
    for each in manifests:
        controlplane.api.create(f"{_collection(each)}?fieldValidation=Strict", each)
    _until_settled(controlplane, manifests, prefix)
    path, patch = ephemeral_patch(registry, pushed, prefix=prefix)
    controlplane.api.patch(path, patch)
    images = _running_images(controlplane, prefix)
    wanted = expected(manifests, pushed, patches=[patch])
    assert len(_owners(controlplane, prefix)) == wanted.workloads
    seen = {image.rpartition("@")[2] for image in images}
    assert seen == wanted.images


def _pods(controlplane: ControlPlane, prefix: str) -> list[Mapping[str, Any]]:
    listed: list[Mapping[str, Any]] = controlplane.api.get("/api/v1/pods")["items"]
    return [pod for pod in listed if pod["metadata"]["namespace"].startswith(prefix)]


def _until_settled(controlplane: ControlPlane, manifests: list[Manifest], prefix: str) -> None:
    """Return when each workload but the CronJobs has a Pod that runs or is done."""
    waiting = sum(each["kind"] != "CronJob" for each in manifests)
    end = time.monotonic() + 60
    while True:
        phases = [pod["status"].get("phase") for pod in _pods(controlplane, prefix)]
        if len(phases) >= waiting and set(phases) <= {"Running", "Succeeded"}:
            return
        assert time.monotonic() < end, f"{len(phases)} of {waiting} Pods, phases {set(phases)}"
        time.sleep(0.1)


def _running_images(controlplane: ControlPlane, prefix: str) -> set[str]:
    return {
        status["imageID"]
        for pod in _pods(controlplane, prefix)
        for field in ("containerStatuses", "initContainerStatuses")
        for status in pod["status"].get(field, ())
    }


def _owners(controlplane: ControlPlane, prefix: str) -> set[tuple[str, str, str]]:
    """Return the top of what runs Pods, with the ReplicaSet for a Deployment; and all CronJobs."""
    owners = {
        (owner["kind"], pod["metadata"]["namespace"], owner["name"])
        for pod in _pods(controlplane, prefix)
        for owner in pod["metadata"].get("ownerReferences", ())
    }
    bare = {
        ("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in _pods(controlplane, prefix)
        if "ownerReferences" not in pod["metadata"]
    }
    crons = {
        ("CronJob", each["metadata"]["namespace"], each["metadata"]["name"])
        for each in controlplane.api.get("/apis/batch/v1/cronjobs")["items"]
        if each["metadata"]["namespace"].startswith(prefix)
    }
    return owners | bare | crons


def test_the_ephemeral_container_is_in_its_pod(
    controlplane: ControlPlane, pushed: Mapping[str, Pushed], prefix: str
) -> None:
    """Through the subresource, as `kubectl debug` does it: anywhere else it is refused."""
    space, name = EPHEMERAL_POD
    pods = {
        (pod["metadata"]["namespace"], pod["metadata"]["name"]): pod
        for pod in _pods(controlplane, prefix)
    }
    path, patch = ephemeral_patch(pushed["empty"].registry, pushed, prefix=prefix)
    stored = controlplane.api.patch(path, patch)  # the same again changes nothing
    assert [each["name"] for each in stored["spec"]["ephemeralContainers"]] == ["debugger"]
    assert (f"{prefix}-{space}", name) in pods
