"""The sandbox's control plane is a real one: secured, garbage-collected, and it comes back."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import ssl
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from common.model.errors import PreconditionError
from sandbox.api import Api, ApiError
from sandbox.controlplane import ControlPlane
from sandbox.gobuild import pinned
from sandbox.place import Place
from sandbox.processes import Stack
from tests.fixtures_sandbox import Programs
from tests.waiting import PATIENCE_S, eventually, is_alive

pytestmark = pytest.mark.integration


def config_map(name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a ConfigMap, owned or not."""
    owners = [] if owner is None else [reference(owner)]
    return {"metadata": {"name": name, "ownerReferences": owners}}


def reference(owner: dict[str, Any]) -> dict[str, Any]:
    """Return the owner reference that a report bears."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def deployment(image: str, *, replicas: int = 1) -> dict[str, Any]:
    """Return a Deployment."""
    pod = {"containers": [{"name": "web", "image": image}]}
    labels = {"app": "web"}
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@pytest.fixture(scope="module")
def own(programs: Programs) -> Iterator[ControlPlane]:
    """Give a control plane of this file's own, to be killed and stopped."""
    with Place() as place, Stack() as stack:
        yield ControlPlane(place, programs, stack).start()


def test_the_server_tells_a_version_that_clients_parse(
    controlplane: ControlPlane, programs: Programs
) -> None:
    """Programs that were built without stamps say v0.0.0-master+$Format:%H$."""
    version = controlplane.api.get("/version")
    assert version["gitVersion"].startswith("v1.")
    assert version["minor"].isdigit()
    if "kube-sluice" in str(programs["kube-apiserver"]):  # ours, not the user's
        assert version["gitVersion"] == f"v{pinned('kubernetes', 'k8s.io/kubernetes')}"


def test_kubectl_needs_nothing_but_the_kubeconfig(
    controlplane: ControlPlane, programs: Programs, namespace: str
) -> None:
    """What we print is what a user pastes; certificates are verified."""
    done = subprocess.run(
        [programs["kubectl"], "get", "namespace", namespace, "--output", "name"],
        env={"KUBECONFIG": str(controlplane.kubeconfig), "HOME": str(controlplane.ca.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"namespace/{namespace}"
    cluster = json.loads(controlplane.kubeconfig.read_text())["clusters"][0]["cluster"]
    assert "insecure-skip-tls-verify" not in cluster


def test_a_client_without_our_ca_refuses_the_server(controlplane: ControlPlane) -> None:
    """The product's TLS is tested for real only if the certificate is one to refuse."""
    address = controlplane.server.removeprefix("https://")
    connection = http.client.HTTPSConnection(address, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/readyz")


def test_the_certificates_satisfy_the_strictest_python(controlplane: ControlPlane) -> None:
    """Python 3.13 checks like this by default: key usages and key identifiers must be there."""
    strict = ssl.create_default_context(cafile=str(controlplane.ca))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    address = controlplane.server.removeprefix("https://")
    connection = http.client.HTTPSConnection(address, context=strict)
    connection.request("GET", "/livez")
    assert connection.getresponse().status in {200, 401}  # what counts is that TLS stands
    connection.close()


def test_a_wrong_token_is_unauthorized(controlplane: ControlPlane) -> None:
    """Errors of credentials are tested against the real answer."""
    stranger = Api(controlplane.server, "wrong", controlplane.ca)
    with pytest.raises(ApiError) as caught:
        stranger.get("/api/v1/namespaces")
    stranger.close()
    assert caught.value.status == 401


def test_rbac_is_on(controlplane: ControlPlane, namespace: str) -> None:
    """A ServiceAccount without a role may do nothing: the chart's rules are tested like this."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = controlplane.api.create(path, {"spec": {}})["status"]["token"]
    account = Api(controlplane.server, token, controlplane.ca)
    with pytest.raises(ApiError) as caught:
        account.get(f"/api/v1/namespaces/{namespace}/pods")
    account.close()
    assert caught.value.status == 403


def test_deployments_become_pods(controlplane: ControlPlane, namespace: str) -> None:
    """The real controllers make ReplicaSets and Pods, with their real owners."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    controlplane.api.create(path, deployment("127.0.0.1:1/none:1", replicas=2))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert eventually(lambda: len(controlplane.api.get(pods)["items"]) == 2)
    pod = controlplane.api.get(pods)["items"][0]
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    assert pod["status"]["phase"] == "Pending"
    assert "nodeName" not in pod["spec"]


def test_what_a_workload_owns_is_garbage_collected(
    controlplane: ControlPlane, namespace: str
) -> None:
    """Reports go with their workload because the real controller deletes them."""
    api, maps = controlplane.api, f"/api/v1/namespaces/{namespace}/configmaps"
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    owner = api.create(path, deployment("127.0.0.1:1/none:1", replicas=0))
    owner |= {"apiVersion": "apps/v1", "kind": "Deployment"}
    api.create(maps, config_map("owned", owner))
    api.create(maps, config_map("free"))
    api.delete(f"{path}/web")
    assert eventually(lambda: "owned" not in names(api, maps))
    assert "free" in names(api, maps)


def names(api: Api, path: str) -> set[str]:
    """Return the names of a collection's objects."""
    return {item["metadata"]["name"] for item in api.get(path)["items"]}


def test_the_server_counts_requests_itself(controlplane: ControlPlane, namespace: str) -> None:
    """The product's claim "no write" is checked against these numbers."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"

    def made() -> int:
        return sum(
            sample.count
            for sample in controlplane.metrics()
            if (sample.verb, sample.resource, sample.code) == ("POST", "configmaps", "201")
            and not sample.subresource
        )

    before = made()
    for number in range(7):
        controlplane.api.create(maps, config_map(f"counted-{number}"))
    # Other tests run before or after, not meanwhile; kube-root-ca.crt is the controllers' own.
    assert 7 <= made() - before <= 8


def test_nobody_taints_a_node_without_heartbeats(controlplane: ControlPlane) -> None:
    """After 50 s two controllers would take the stand-in's Pods away: they are off."""
    log = controlplane._controllers.command.log
    for name in ("node-lifecycle-controller", "taint-eviction-controller"):
        pattern = re.compile(rf'is disabled.*controller="{name}"')
        assert eventually(lambda pattern=pattern: pattern.search(log.read_text()))  # type: ignore[misc] # mypy cannot type a lambda's default


def test_a_node_is_of_its_platform_and_ready(controlplane: ControlPlane) -> None:
    """Adding it twice is harmless: a restarted stand-in finds its nodes."""
    name = f"node-{secrets.token_hex(4)}"
    controlplane.add_node(name, "linux/arm64")
    controlplane.add_node(name, "linux/arm64")
    node = controlplane.api.get(f"/api/v1/nodes/{name}")
    assert node["metadata"]["labels"]["kubernetes.io/arch"] == "arm64"
    assert node["status"]["nodeInfo"]["architecture"] == "arm64"
    assert node["status"]["conditions"][0]["status"] == "True"
    controlplane.api.delete(f"/api/v1/nodes/{name}")


def test_two_stand_side_by_side(
    controlplane: ControlPlane, own: ControlPlane, namespace: str
) -> None:
    """They share no data: two test runs on one machine must not see each other."""
    own.create_namespace("only-here")
    assert "only-here" not in names(controlplane.api, "/api/v1/namespaces")
    assert namespace not in names(own.api, "/api/v1/namespaces")


def test_a_killed_server_comes_back_on_its_port_and_data(own: ControlPlane) -> None:
    """How the product survives that is tested with exactly this."""
    own.create_namespace("before")
    server, pid = own.server, own.apiserver_pid
    own.kill_apiserver()
    with pytest.raises(OSError, match=r"refused|closed|reset"):
        own.api.get("/readyz")
    own.start_apiserver()
    assert own.server == server
    assert own.apiserver_pid != pid
    assert "before" in names(own.api, "/api/v1/namespaces")
    own.create_namespace("after")  # needs the controllers: they found the way back


def test_the_whole_stops_in_order_and_starts_again_on_its_data(own: ControlPlane) -> None:
    """In the wrong order the API server takes a minute to end."""
    own.create_namespace("kept")
    pid = own.apiserver_pid
    own.stop()
    assert not is_alive(pid)
    assert own._apiserver.exit_status == 0  # it ended by itself: -9 would be our deadline
    own.start()
    assert "kept" in names(own.api, "/api/v1/namespaces")


def test_a_second_one_in_the_same_place_is_refused(
    controlplane: ControlPlane, sandbox_place: Place, programs: Programs
) -> None:
    """Its etcd would write into the first one's folder, its tokens replace the first one's."""
    before = controlplane.kubeconfig.read_bytes()
    with Stack() as stack:
        second = ControlPlane(sandbox_place, programs, stack)
        with pytest.raises(PreconditionError, match="etcd belongs to a program that still runs"):
            second.start()
    assert controlplane.kubeconfig.read_bytes() == before
    assert controlplane.api.get("/version")


def test_a_delete_with_another_s_uid_is_refused(controlplane: ControlPlane, namespace: str) -> None:
    """A Pod of the same name may be a new one: a StatefulSet makes it within milliseconds."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    uid = controlplane.api.create(maps, config_map("mine"))["metadata"]["uid"]
    with pytest.raises(ApiError) as caught:
        controlplane.api.delete(f"{maps}/mine", uid="another")
    assert caught.value.status == 409
    controlplane.api.delete(f"{maps}/mine", uid=uid)
    controlplane.api.delete(f"{maps}/mine", uid=uid)  # gone is no error
    assert "mine" not in names(controlplane.api, maps)


def test_a_watch_can_be_ended_from_another_thread(controlplane: ControlPlane) -> None:
    """The kubelet stand-in stops at once although its stream is silent."""
    listed = controlplane.api.get("/api/v1/namespaces")
    watch = controlplane.api.watch(
        "/api/v1/namespaces", resourceVersion=listed["metadata"]["resourceVersion"]
    )
    seen: list[str] = []

    def follow() -> None:
        try:
            seen.extend(event["type"] for event in watch)
        except OSError:
            seen.append("ended")

    thread = threading.Thread(target=follow)
    thread.start()
    name = f"watched-{secrets.token_hex(4)}"
    controlplane.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    assert eventually(lambda: "ADDED" in seen)
    watch.interrupt()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    watch.close()
    controlplane.api.delete(f"/api/v1/namespaces/{name}")
