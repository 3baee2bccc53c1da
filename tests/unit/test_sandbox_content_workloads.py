"""The sample workloads cover every kind and every way to name an image, and are counted right."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sandbox import oci
from sandbox.expectation import expected
from sandbox.images import Pushed, samples
from sandbox.manifests import Manifest, Part, workload
from sandbox.workloads import (
    bench_deployments,
    broken_workloads,
    ephemeral_patch,
    namespaces,
    pull_secret,
    sample_workloads,
)

_REGISTRY = "registry.example:5000"


@pytest.fixture(scope="module")
def pushed() -> dict[str, Pushed]:
    """Give the samples as if they stood in a registry."""
    return {
        each.name: Pushed(
            registry="elsewhere.example",
            repository=each.repository,
            tags=each.tags,
            digest=each.build().digest,
            platforms={str(oci.AMD64): each.build().digest},
        )
        for each in samples()
    }


@pytest.fixture(scope="module")
def manifests(pushed: Mapping[str, Pushed]) -> list[Manifest]:
    """Give the sample workloads."""
    return sample_workloads(_REGISTRY, pushed)


def _pod_spec(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = manifest["spec"]
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Mapping[str, Any] = spec if manifest["kind"] == "Pod" else spec["template"]["spec"]
    return found


def _all_containers(manifests: list[Manifest]) -> Iterator[Mapping[str, Any]]:
    for each in manifests:
        spec = _pod_spec(each)
        yield from spec["containers"]
        yield from spec.get("initContainers", ())


def test_about_forty_workloads_of_all_eight_kinds_stand_in_six_namespaces(
    manifests: list[Manifest],
) -> None:
    """Every kind that owns reports must be in every demo and every test on the samples."""
    assert len(manifests) == 41
    kinds = Counter(each["kind"] for each in manifests)
    assert set(kinds) == {
        *("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"),
        *("CronJob", "Job", "Pod", "ReplicationController"),
    }
    assert kinds.most_common(1)[0][0] == "Deployment"
    spaces = {each["metadata"]["namespace"] for each in manifests}
    assert spaces == {each["metadata"]["name"] for each in namespaces()}
    assert len(spaces) == 6


def test_a_workload_is_unique_by_kind_namespace_and_name(manifests: list[Manifest]) -> None:
    """The API server would refuse the second, and one label must not select another's Pods."""
    names = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)


def test_images_are_shared_between_workloads_and_namespaces(
    manifests: list[Manifest], pushed: Mapping[str, Pushed]
) -> None:
    """One scan must serve several workloads, also across namespaces."""
    assert all(
        part["image"].startswith(f"{_REGISTRY}/sample/") for part in _all_containers(manifests)
    )
    users: dict[str, set[str]] = {}
    for manifest in manifests:
        for part in _all_containers([manifest]):
            repository = part["image"].split("/", 1)[1].split("@")[0].split(":")[0]
            users.setdefault(repository, set()).add(manifest["metadata"]["namespace"])
    assert set(users) == {each.repository for each in pushed.values()}
    assert sum(len(spaces) > 1 for spaces in users.values()) >= 7


def test_every_way_to_name_an_image_occurs(
    manifests: list[Manifest], pushed: Mapping[str, Pushed]
) -> None:
    """By tag, by another tag of the same digest, and by the digest itself."""
    named = {part["image"] for part in _all_containers(manifests)}
    app = f"{_REGISTRY}/sample/alpine-app"
    assert {f"{app}:1.0", f"{app}:stable", f"{app}@{pushed['alpine-app'].digest}"} <= named


def test_every_shape_of_pod_occurs(manifests: list[Manifest]) -> None:
    """Init containers and sidecars have reports of their own."""
    specs = [_pod_spec(each) for each in manifests]
    assert any("initContainers" in spec for spec in specs)
    assert any(len(spec["containers"]) > 1 for spec in specs)


def test_only_what_should_end_ends(manifests: list[Manifest]) -> None:
    """A Job that waits never completes; a Deployment that ends restarts for ever."""
    for manifest in manifests:
        spec = _pod_spec(manifest)
        once = manifest["kind"] in ("Job", "CronJob")
        assert (spec.get("restartPolicy") == "Never") is once
        assert all((part.get("command") == ["/done"]) is once for part in spec["containers"])
        assert all(part["command"] == ["/done"] for part in spec.get("initContainers", ()))


def test_the_expectation_counts_init_and_ephemeral_containers(
    manifests: list[Manifest], pushed: Mapping[str, Pushed]
) -> None:
    """Counted here with another method than in the product, and than in `expected`."""
    _, patch = ephemeral_patch(_REGISTRY, pushed)
    before, after = expected(manifests, pushed), expected(manifests, pushed, patches=[patch])
    assert before.workloads == after.workloads == 41
    assert before.containers == len(list(_all_containers(manifests)))
    assert after.containers == before.containers + 1
    assert before.images == {each.digest for each in pushed.values()}


def test_the_expectation_follows_from_the_truth_about_each_image(
    pushed: Mapping[str, Pushed],
) -> None:
    """The empty image has no SBOM, and only images on Alpine change with the update."""

    def of(*names: str) -> Manifest:
        parts = [Part(name=each, image=pushed[each].reference) for each in names]
        return workload("Pod", "x", parts, namespace="y")

    wanted = expected([of("alpine-app", "empty"), of("empty"), of("alpine-app", "clean")], pushed)
    assert wanted.workloads == 3
    assert wanted.containers == 5
    assert len(wanted.images) == 3
    assert wanted.reports == {
        "VulnerabilityReport": 5,
        "ExposedSecretReport": 5,
        "SbomReport": 3,
    }
    assert wanted.changed_by_update == 2


def test_the_ephemeral_container_joins_a_pod_that_is_there(
    manifests: list[Manifest], pushed: Mapping[str, Pushed]
) -> None:
    """The patch names namespace and Pod by itself; a renamed row would leave it behind."""
    path, patch = ephemeral_patch(_REGISTRY, pushed)
    paths = [
        f"/api/v1/namespaces/{each['metadata']['namespace']}/pods/{each['metadata']['name']}"
        for each in manifests
        if each["kind"] == "Pod"
    ]
    assert path.removesuffix("/ephemeralcontainers") in paths
    (container,) = patch["spec"]["ephemeralContainers"]
    assert container["targetContainerName"] == "app"


@pytest.mark.parametrize("prefix", ["sample", "living-1"])
def test_a_prefix_keeps_two_sets_of_samples_apart(
    pushed: Mapping[str, Pushed], prefix: str
) -> None:
    """Tests share one API server."""
    found = {
        each["metadata"]["namespace"] for each in sample_workloads(_REGISTRY, pushed, prefix=prefix)
    }
    assert found == {each["metadata"]["name"] for each in namespaces(prefix)}
    assert all(each.startswith(f"{prefix}-") for each in found)


def test_the_benchmark_has_the_peers_shape(pushed: Mapping[str, Pushed]) -> None:
    """40 Deployments, 8 images of 5 each, 6 namespaces: else numbers cannot be compared."""
    made = bench_deployments(_REGISTRY, pushed)
    used = Counter(part["image"] for part in _all_containers(made))
    assert {each["kind"] for each in made} == {"Deployment"}
    assert len(used) == 8
    assert set(used.values()) == {5}
    assert len({each["metadata"]["namespace"] for each in made}) == 6


def test_broken_workloads_are_named_after_what_is_wrong() -> None:
    """A failing test then says which fault went unseen."""
    made = {each["metadata"]["name"]: each for each in broken_workloads("r:1", namespace="n")}
    assert _pod_spec(made["private"])["imagePullSecrets"] == [{"name": "registry-login"}]
    assert all(
        "imagePullSecrets" not in _pod_spec(made[name]) for name in made if name != "private"
    )
    assert len(made) == 12
    images = [_pod_spec(each)["containers"][0]["image"] for each in made.values()]
    assert len(set(images)) == len(images)


def test_a_pull_secret_is_what_a_kubelet_reads() -> None:
    """The worker must find the credentials where kubectl would have put them."""
    made = pull_secret("r:1", namespace="n", username="u", password="p")  # noqa: S106 -- made up
    config = json.loads(b64decode(made["data"][".dockerconfigjson"]))
    assert b64decode(config["auths"]["r:1"]["auth"]) == b"u:p"
    assert made["type"] == "kubernetes.io/dockerconfigjson"
