"""The kubelet stand-in against the real API server and the real registry."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import oci, upload
from sandbox.controlplane import ControlPlane
from sandbox.faults import Login
from sandbox.kubelet import NODES, Kubelet
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.pull import USER_AGENT
from sandbox.registry import Registry
from tests.fixtures_sandbox import Programs
from tests.waiting import eventually

pytestmark = pytest.mark.integration


class Cluster:
    """One living namespace, and the registry that its Pods pull from."""

    def __init__(self, controlplane: ControlPlane, registry: Registry, namespace: str) -> None:
        self.api = controlplane.api
        self.registry = registry
        self.namespace = namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def push(self, name: str = "app", tag: str = "1") -> tuple[str, str]:
        """Push a fresh image; return its reference and its imageID."""
        image = oci.image([oci.layer({"data": secrets.token_bytes(64)}, "test")])
        return self._push(image, name, tag)

    def push_index(self, name: str = "multi") -> tuple[str, str]:
        """Push an image for two platforms; return its reference and its imageID."""
        images = [
            oci.image(
                [oci.layer({"arch": architecture}, "test")],
                platform=oci.Platform(architecture=architecture),
            )
            for architecture in ("amd64", "arm64")
        ]
        return self._push(oci.index(images), name, "1")

    def reference(self, name: str, tag: str = "1") -> str:
        """Return the reference of an image that may not be there."""
        return f"{self.registry.address}/{self.namespace}/{name}:{tag}"

    def run(self, name: str, *images: str, **spec: Any) -> None:
        """Create a Pod with one container for each image."""
        containers = [{"name": f"c{n}", "image": image} for n, image in enumerate(images)]
        body = {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}
        self.api.create(self.pods, body)

    def pod(self, name: str) -> dict[str, Any]:
        """Read a Pod."""
        return self.api.get(f"{self.pods}/{name}")

    def becomes(self, name: str, claim: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until a claim holds of a Pod, and return the Pod."""
        assert eventually(lambda: claim(self.pod(name))), self.pod(name)["status"]
        return self.pod(name)

    def _push(self, content: oci.Image | oci.Index, name: str, tag: str) -> tuple[str, str]:
        repository = f"{self.namespace}/{name}"
        with upload.Registry(self.registry.address) as target:
            target.push(repository, content, tag)
            digest = target.digest(repository, tag)
        address = self.registry.address
        return f"{address}/{repository}:{tag}", f"{address}/{repository}@{digest}"


@pytest.fixture
def cluster(controlplane: ControlPlane, registry: Registry, living_namespace: str) -> Cluster:
    """Give a living namespace with its registry."""
    return Cluster(controlplane, registry, living_namespace)


def runs(pod: dict[str, Any]) -> bool:
    """Say whether a Pod runs."""
    return bool(pod["status"]["phase"] == "Running")


def waits_for(reason: str) -> Callable[[dict[str, Any]], bool]:
    """Say whether the first container waits for a reason."""

    def waits(pod: dict[str, Any]) -> bool:
        entries = pod["status"].get("containerStatuses", [{"state": {}}])
        return bool(entries[0]["state"].get("waiting", {}).get("reason") == reason)

    return waits


def image_ids(pod: dict[str, Any], field: str = "containerStatuses") -> list[str]:
    """Return what the status tells of each container."""
    return [entry["imageID"] for entry in pod["status"].get(field, ())]


def templated(image: str) -> dict[str, Any]:
    """Return the part of a spec that every controller has: selector and template."""
    labels = {"app": "web"}
    spec = {"containers": [{"name": "web", "image": image}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"selector": {"matchLabels": labels}, "template": template}


def test_a_running_pod_tells_the_registry_s_digest(cluster: Cluster) -> None:
    """The product takes its word for what runs."""
    image, image_id = cluster.push()
    cluster.run("web", image)
    pod = cluster.becomes("web", runs)
    assert image_ids(pod) == [image_id]
    assert pod["spec"]["nodeName"] in NODES
    assert pod["status"]["podIP"].startswith("10.244.")


def test_an_index_gives_the_index_s_digest(cluster: Cluster) -> None:
    """As containerd does: the platform's own digest is for the product to find."""
    image, image_id = cluster.push_index()
    cluster.run("web", image)
    assert image_ids(cluster.becomes("web", runs)) == [image_id]


def test_init_and_ephemeral_containers_tell_theirs(cluster: Cluster) -> None:
    """They run images that nobody else does."""
    main, main_id = cluster.push("main")
    init, init_id = cluster.push("init")
    debug, debug_id = cluster.push("debug")
    cluster.run("web", main, initContainers=[{"name": "init", "image": init}])
    pod = cluster.becomes("web", runs)
    assert image_ids(pod, "initContainerStatuses") == [init_id]
    added = {"spec": {"ephemeralContainers": [{"name": "debug", "image": debug}]}}
    cluster.api.patch(f"{cluster.pods}/web/ephemeralcontainers", added)
    pod = cluster.becomes("web", lambda pod: image_ids(pod, "ephemeralContainerStatuses"))
    assert image_ids(pod, "ephemeralContainerStatuses") == [debug_id]
    assert image_ids(pod) == [main_id]


def test_an_unknown_image_backs_off_until_it_is_pushed(cluster: Cluster) -> None:
    """A rollout to a tag that does not exist yet heals by itself."""
    image = cluster.reference("late")
    cluster.run("web", image)
    pod = cluster.becomes("web", waits_for("ImagePullBackOff"))
    assert pod["status"]["phase"] == "Pending"
    assert "not found" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    _, image_id = cluster.push("late")
    assert image_ids(cluster.becomes("web", runs)) == [image_id]


def test_a_private_image_needs_the_pod_s_secret(cluster: Cluster) -> None:
    """Who may pull is decided by credentials, not by who asks."""
    image, image_id = cluster.push("private")
    host = cluster.registry.address
    content = json.dumps({"auths": {host: {"username": "ann", "password": "pw"}}})
    secret = {
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(content.encode()).decode()},
    }
    cluster.api.create(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    login = Login(username="ann", password="pw")  # noqa: S106 (the test's own registry)
    with cluster.registry.fail(login, repository=f"{cluster.namespace}/private"):
        cluster.run("without", image)
        cluster.becomes("without", waits_for("ImagePullBackOff"))
        names = [{"name": "missing"}, {"name": "pull"}]
        cluster.run("with", image, imagePullSecrets=names)
        assert image_ids(cluster.becomes("with", runs)) == [image_id]


def test_a_moved_tag_matters_to_new_pods_only(cluster: Cluster) -> None:
    """Old Pods keep what they run; a Pod that pulls always gets the new digest."""
    image, old_id = cluster.push("web", "latest")
    cluster.run("old", image)
    cluster.becomes("old", runs)
    _, new_id = cluster.push("web", "latest")
    cluster.run("new", image)
    assert image_ids(cluster.becomes("new", runs)) == [new_id]
    assert image_ids(cluster.pod("old")) == [old_id]


def test_an_image_is_pulled_once_per_node(cluster: Cluster) -> None:
    """IfNotPresent: what is on the node costs the registry nothing."""
    image, _ = cluster.push()
    mark = cluster.registry.mark()
    for number in range(6):
        cluster.run(f"web-{number}", image)
    for number in range(6):
        cluster.becomes(f"web-{number}", runs)
    requests = cluster.registry.requests(since=mark)
    pulls = [request for request in requests if request.user_agent == USER_AGENT]
    assert 1 <= len(pulls) <= len(NODES)


def test_a_job_completes(cluster: Cluster) -> None:
    """The real Job controller sees its Pod succeed."""
    image, image_id = cluster.push()
    jobs = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"
    spec = {"containers": [{"name": "once", "image": image}], "restartPolicy": "Never"}
    cluster.api.create(jobs, {"metadata": {"name": "once"}, "spec": {"template": {"spec": spec}}})
    assert eventually(lambda: cluster.api.get(f"{jobs}/once")["status"].get("succeeded") == 1)
    (pod,) = cluster.api.get(cluster.pods)["items"]
    assert pod["status"]["phase"] == "Succeeded"
    assert image_ids(pod) == [image_id]


def test_a_daemon_set_runs_on_every_node(cluster: Cluster) -> None:
    """Its controller names the node by affinity and expects a scheduler to obey."""
    image, _ = cluster.push()
    sets = f"/apis/apps/v1/namespaces/{cluster.namespace}/daemonsets"
    cluster.api.create(sets, {"metadata": {"name": "agent"}, "spec": templated(image)})
    # Other tests may have nodes of their own, which nobody serves.
    assert eventually(
        lambda: cluster.api.get(f"{sets}/agent")["status"].get("numberReady", 0) >= len(NODES)
    )
    served = {pod["spec"].get("nodeName") for pod in cluster.api.get(cluster.pods)["items"]}
    assert served >= set(NODES)


def test_a_deployment_rolls_over(cluster: Cluster) -> None:
    """Scaling down deletes Pods: the stand-in lets them go at once."""
    first, _ = cluster.push("web", "1")
    second, second_id = cluster.push("web", "2")
    deployments = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
    spec = {"replicas": 2, **templated(first)}
    cluster.api.create(deployments, {"metadata": {"name": "web"}, "spec": spec})
    path = f"{deployments}/web"
    assert eventually(lambda: cluster.api.get(path)["status"].get("readyReplicas") == 2)
    cluster.api.patch(path, {"spec": templated(second)})
    assert eventually(
        lambda: (
            [image_ids(pod) for pod in cluster.api.get(cluster.pods)["items"]] == [[second_id]] * 2
        )
    )


def test_it_goes_on_after_the_api_server_came_back(programs: Programs, registry: Registry) -> None:
    """Its watch breaks and its writes fail meanwhile; all it must know stands in the Pods."""
    with Place() as place, Stack() as stack:
        controlplane = ControlPlane(place, programs, stack).start()
        Kubelet(controlplane, stack).start()
        namespace = f"restarted-{secrets.token_hex(4)}"
        controlplane.create_namespace(namespace)
        cluster = Cluster(controlplane, registry, namespace)
        image, image_id = cluster.push()
        cluster.run("before", image)
        controlplane.restart_apiserver()
        cluster.run("after", image)
        for name in ("before", "after"):
            assert image_ids(cluster.becomes(name, runs)) == [image_id]


def test_other_namespaces_are_left_alone(
    cluster: Cluster, controlplane: ControlPlane, namespace: str
) -> None:
    """Tests that write status themselves must not race it."""
    image, _ = cluster.push()
    alone = Cluster(controlplane, cluster.registry, namespace)
    alone.run("web", image)
    cluster.run("web", image)
    cluster.becomes("web", runs)  # created later: it would have got to the other one by now
    assert "nodeName" not in alone.pod("web")["spec"]
