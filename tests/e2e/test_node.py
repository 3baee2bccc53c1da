"""A node comes up, runs containers, ends with its starter, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import PreconditionError
from sandbox import oci
from sandbox.demo.world import World
from sandbox.images import Sample, push
from sandbox.node import PROGRAMS, Node
from sandbox.node_plan import ADDRESS
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from tests.waiting import eventually, is_alive

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
# A starter that says where its node is, and then waits to be killed.
STARTER = """
import sys, threading
from pathlib import Path
from sandbox.node import PROGRAMS, Node
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
with Place(Path(sys.argv[1])) as place, Stack() as stack:
    node = Node(place, find(PROGRAMS, say=print), stack, registry_port=int(sys.argv[2])).start()
    print("ready", node.pid, *node.cgroups, flush=True)
    threading.Event().wait()
"""


def members(groups: tuple[Path, ...]) -> set[int]:
    """Return the processes in a node's groups, those of its containers too."""
    return {
        int(pid)
        for group in groups
        for procs in group.rglob("cgroup.procs")
        for pid in procs.read_text().split()
    }


def gone(node: Node, folder: Path) -> bool:
    """Say whether nothing of a node is left: no group, no mount, no listener."""
    no_group = not any(group.exists() for group in node.cgroups)
    no_mount = str(folder) not in Path("/proc/mounts").read_text()
    return no_group and no_mount


@pytest.fixture
def registry_port(world: World) -> int:
    return int(world.registry.address.rpartition(":")[2])


@pytest.fixture
def another(world: World, registry_port: int, tmp_path: Path) -> Iterator[Callable[[], Node]]:
    """Give a way to make a node beside the shared one, in the same place each time."""
    del world  # it is there: this host can run nodes
    programs = find(PROGRAMS, say=print)
    with Place(tmp_path / "place") as place, Stack() as stack:
        yield lambda: Node(place, programs, stack, registry_port=registry_port)


def pod(name: str, image: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": image, **spec.pop("container", {})}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def await_phase(node: Node, namespace: str, name: str, phase: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    seen: dict[str, Any] = {}

    def reached() -> bool:
        seen.update(node.api.get(path))
        return bool(seen["status"].get("phase") == phase)

    assert eventually(reached, within_s=60), seen["status"]
    return seen


def test_a_second_node_runs_beside_the_first_and_leaves_nothing(
    world: World, node: Node, another: Callable[[], Node], tmp_path: Path
) -> None:
    """Two checkouts test on one machine; each has all ports of its own, and every trace goes."""
    second = another().start()
    second.create_namespace("mine")
    image = world.images["clean"].reference
    second.api.create("/api/v1/namespaces/mine/pods", pod("web", image))
    await_phase(second, "mine", "web", "Running")
    names = [one["metadata"]["name"] for one in node.api.get("/api/v1/namespaces")["items"]]
    assert "mine" not in names
    running = members(second.cgroups)
    assert running
    assert second.cpu_seconds() > 0
    second.stop()
    assert gone(second, tmp_path)
    assert not [pid for pid in running if is_alive(pid)]
    with pytest.raises(OSError, match="refused"):
        second.api.get("/version")
    assert node.api.get("/api/v1/nodes/node-1")


def test_a_node_starts_fresh_where_another_was(another: Callable[[], Node]) -> None:
    """Old etcd data would bring back Pods of containers that are gone, and a node that is not."""
    first = another().start()
    first.create_namespace("old")
    first.stop()
    second = another().start()
    names = [one["metadata"]["name"] for one in second.api.get("/api/v1/namespaces")["items"]]
    assert "old" not in names
    assert second.admin_token != first.admin_token


def test_a_node_that_is_switched_off_and_on_runs_its_pods_again(
    another: Callable[[], Node], world: World
) -> None:
    """A machine that is restarted keeps its disk: etcd's objects, images, the kubelet's Pods."""
    node = another().start()
    node.create_namespace("mine")
    image = world.images["clean"].reference
    node.api.create("/api/v1/namespaces/mine/pods", pod("web", image))
    before = await_phase(node, "mine", "web", "Running")
    node.restart()

    def again() -> bool:
        seen = node.api.get("/api/v1/namespaces/mine/pods/web")
        assert seen["metadata"]["uid"] == before["metadata"]["uid"]
        (status,) = seen["status"]["containerStatuses"]
        return bool(status["restartCount"] == 1 and "running" in status["state"])

    assert eventually(again, within_s=60)


def test_killing_the_starter_ends_the_node_and_sweeps_its_cgroups(
    world: World, registry_port: int, tmp_path: Path
) -> None:
    """A test run that is killed must leave neither containers nor mounts nor groups."""
    del world
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "place"), str(registry_port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert starter.stdout is not None
    with starter, starter.stdout as lines:
        word, pid, *groups = next(line for line in lines if line.startswith("ready")).split()
        running = members(tuple(map(Path, groups)))
        assert word == "ready"
        assert int(pid) in running
        os.kill(starter.pid, signal.SIGKILL)
    assert eventually(lambda: not any(Path(group).exists() for group in groups))
    assert not [pid for pid in running if is_alive(pid)]
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_a_part_that_dies_ends_the_node_and_its_log_tells_why(another: Callable[[], Node]) -> None:
    """Half a node would let tests wait for minutes for what cannot come."""
    node = another().start()
    (kubelet,) = [
        pid
        for pid in members(node.cgroups)
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/kubelet")
    ]
    os.kill(kubelet, signal.SIGKILL)
    assert eventually(lambda: not is_alive(node.pid))
    log = node.kubeconfig.parent / "log" / "node.log"
    assert "kubelet ended, and with it the node" in log.read_text()


def test_two_nodes_in_one_place_are_refused(
    node: Node, e2e_place: Place, registry_port: int
) -> None:
    """The second would remove the first one's data under it."""
    with Stack() as stack:
        twin = Node(e2e_place, find(PROGRAMS, say=print), stack, registry_port=registry_port)
        with pytest.raises(PreconditionError, match="still runs"):
            twin.start()
    assert node.api.get("/api/v1/nodes/node-1")


@pytest.fixture(scope="module")
def kubectl_image(world: World) -> str:
    """Give an image that holds kubectl: the one client at hand that needs nothing beside it."""
    program = find(["kubectl"], say=print)["kubectl"].read_bytes()
    layer = oci.layer({"kubectl": oci.Executable(content=program)}, "COPY kubectl /")
    image = oci.image([layer], entrypoint=["/kubectl"])
    tools = Sample(name="kubectl", tags=("1",), build=lambda: image)
    return push(world.registry.address, [tools])["kubectl"].reference


def run_to_end(node: Node, namespace: str, name: str, image: str, *arguments: str) -> str:
    """Run one Pod until it succeeds and return what it printed."""
    body = pod(name, image, container={"args": list(arguments)}, restartPolicy="OnFailure")
    node.api.create(f"/api/v1/namespaces/{namespace}/pods", body)
    await_phase(node, namespace, name, "Succeeded")
    return node.api.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}/log").decode()


@pytest.fixture(scope="module")
def own(world: World) -> Iterator[Node]:
    """Give a node for this file's Pods; the product on the shared one would report on them."""
    port = int(world.registry.address.rpartition(":")[2])
    with Place() as place, Stack() as stack:
        yield Node(place, find(PROGRAMS, say=print), stack, registry_port=port).start()


def test_a_pod_reaches_the_api_server_with_its_own_account(own: Node, kubectl_image: str) -> None:
    """Service address, kube-proxy, token and CA: what the chart's Pods live on."""
    own.create_namespace("inside")
    said = run_to_end(own, "inside", "who", kubectl_image, "auth", "whoami", "-o", "json")
    assert "system:serviceaccount:inside:default" in said


def test_a_pod_finds_a_service_by_its_name(own: Node, kubectl_image: str) -> None:
    """The chart's Pods know each other by names alone."""
    own.create_namespace("names")
    server = ("--server=https://kubernetes.default.svc", "--insecure-skip-tls-verify")
    nobody = ("--username=nobody", "--password=none")  # else it asks for them
    ask = (*server, *nobody, "get", "--raw", "/version")
    said = run_to_end(own, "names", "name", kubectl_image, *ask)
    assert "gitVersion" in said


def test_a_pod_reaches_the_hosts_registry_by_the_nodes_address(
    own: Node, world: World, registry_port: int, kubectl_image: str
) -> None:
    """A scanner in a Pod pulls what the kubelet pulled; its loopback is its own."""
    own.create_namespace("puller")
    mark = world.registry.mark()
    server = f"--server=http://{ADDRESS}:{registry_port}"
    run_to_end(own, "puller", "pull", kubectl_image, server, "get", "--raw", "/v2/_catalog")
    seen = [one for one in world.registry.requests(since=mark) if "_catalog" in one.path]
    assert [one.user_agent.partition("/")[0] for one in seen] == ["kubectl"]
