"""The node's configuration says what the programs need: each line here was learnt the hard way."""

from __future__ import annotations

import tomllib
from pathlib import Path

import orjson
import pytest

from sandbox import node_files
from sandbox.certificates import Certificates
from sandbox.node import PROGRAMS
from sandbox.node_components import FIRST, SECOND, Layout, commands
from sandbox.node_plan import CONTAINERD as CONTAINERD_SOCKET
from sandbox.node_plan import PAUSE


@pytest.fixture
def layout() -> Layout:
    pki = Path("/place/node-pki")
    return Layout(
        folder=Path("/place/node"),
        programs={name: Path("/bin-of-ours") / name for name in PROGRAMS},
        certificates=Certificates(
            ca=pki / "ca.crt",
            server_certificate=pki / "server.crt",
            server_key=pki / "server.key",
            accounts_key=pki / "accounts.key",
            accounts_public=pki / "accounts.pub",
        ),
        kubelet_client=(pki / "kubelet-client.crt", pki / "kubelet-client.key"),
    )


def test_containerd_reads_toml_with_the_settings_that_pods_need(layout: Layout) -> None:
    """Without the OOM setting no Pod starts here; with another pause image none starts anywhere."""
    config = tomllib.loads(node_files.containerd(layout, runc="/usr/sbin/runc").decode())
    plugins = config["plugins"]
    images = plugins["io.containerd.cri.v1.images"]
    runtime = plugins["io.containerd.cri.v1.runtime"]
    assert config["version"] == 3
    assert config["grpc"]["address"] == CONTAINERD_SOCKET
    assert images["pinned_images"]["sandbox"] == PAUSE
    assert images["registry"]["config_path"] == "/place/node/config/certs.d"
    assert runtime["restrict_oom_score_adj"] is True
    runc = runtime["containerd"]["runtimes"]["runc"]
    assert runc["options"] == {"BinaryName": "/usr/sbin/runc", "SystemdCgroup": False}


def test_containerd_finds_the_network_plugins_where_they_were_built(layout: Layout) -> None:
    """iproute2 has a program called bridge, which is something else."""
    config = tomllib.loads(node_files.containerd(layout, runc="runc").decode())
    cni = config["plugins"]["io.containerd.cri.v1.runtime"]["cni"]
    assert cni == {"bin_dirs": ["/bin-of-ours"], "conf_dir": "/place/node/config/cni"}


def test_both_names_of_the_registry_speak_plain_http(layout: Layout) -> None:
    """The kubelet uses the host's name, Pods the node's; neither has a certificate."""
    names = node_files.registry_names(5000)
    assert names[0] == "127.0.0.1:5000"
    for name in names:
        path, content = node_files.registry_hosts(name)
        hosts = tomllib.loads(content.decode())
        assert path == f"certs.d/{name}/hosts.toml"
        assert hosts["server"] == f"http://{name}"
        assert hosts["host"][f"http://{name}"]["capabilities"] == ["pull", "resolve"]


def test_the_kubelet_runs_on_cgroup_v1_and_evicts_nothing(layout: Layout) -> None:
    """It refuses v1 by default, and a full disk of the host is none of the node's business."""
    config = orjson.loads(node_files.kubelet(layout))
    assert config["failCgroupV1"] is False
    assert config["cgroupDriver"] == "cgroupfs"
    assert config["evictionHard"]["nodefs.available"] == "0%"
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}


def test_the_proxy_leaves_alone_what_only_the_first_network_may_set(layout: Layout) -> None:
    """It would end at its start."""
    conntrack = orjson.loads(node_files.proxy(layout))["conntrack"]
    assert set(conntrack.values()) == {0, "0s"}


def test_the_network_lets_a_pod_reach_itself_by_its_service(layout: Layout) -> None:
    """Hairpin mode; and addresses live in /run, which ends with the node."""
    bridge, portmap = orjson.loads(node_files.network())["plugins"]
    assert bridge["hairpinMode"] is True
    assert bridge["ipam"]["dataDir"].startswith("/run/")
    assert portmap["type"] == "portmap"


def test_tokens_are_fresh_and_the_table_names_user_and_groups() -> None:
    """A token of an earlier node must not open this one."""
    first, second = node_files.tokens(), node_files.tokens()
    assert not set(first.values()) & set(second.values())
    rows = node_files.token_table(first).decode().splitlines()
    assert f'{first["admin.conf"]},admin,admin,"system:masters"' in rows
    assert f'{first["kubelet.conf"]},system:node:node-1,system:node:node-1,"system:nodes"' in rows
    assert f"{first['proxy.conf']},system:kube-proxy,system:kube-proxy" in rows


def test_every_part_that_starts_has_a_command_and_the_other_way_round(layout: Layout) -> None:
    """A part that is not started is seen only when its work is missing."""
    lines = commands(layout)
    assert {*FIRST, *SECOND} == set(lines)
    for name, line in lines.items():
        assert line[0] == f"/bin-of-ours/{name}"


def test_the_api_server_authorises_the_node_and_advertises_an_address_that_pods_reach(
    layout: Layout,
) -> None:
    """An Endpoints address may not be loopback; a kubelet sees only its own Pods' Secrets."""
    line = commands(layout)["kube-apiserver"]
    assert "--authorization-mode=Node,RBAC" in line
    assert "--enable-admission-plugins=NodeRestriction" in line
    assert "--advertise-address=198.18.0.1" in line


@pytest.mark.parametrize("name", [*FIRST, *SECOND])
def test_no_part_writes_where_the_host_would_see_it(layout: Layout, name: str) -> None:
    """Defaults are system folders: every path is the node's, but for one that is bound over."""
    own = ("/place/", "/bin-of-ours/", "/var/lib/kubelet")
    for word in commands(layout)[name]:
        path = word.partition("=")[2] or word
        assert not path.startswith("/") or path.startswith(own)


def test_controllers_that_need_a_heartbeat_are_on(layout: Layout) -> None:
    """Without the node life-cycle controller the taint of a new node stays, and no Pod runs."""
    assert not [w for w in commands(layout)["kube-controller-manager"] if "--controllers" in w]
