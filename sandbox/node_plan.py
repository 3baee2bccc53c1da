"""What the processes of a node must know, and the addresses inside it. Values only.

The plan is a file in the node's folder: written outside, read by each process inside.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

NAME = "node-1"
# Inside, addresses and ports are fixed: the network namespace is the node's own. 198.18.0.0/15 is
# set aside for tests of networks (RFC 2544), so it is nobody's real address.
ADDRESS = "198.18.0.1"
PODS = "10.244.0.0/24"
DOMAIN = "cluster.local"
SERVER_PORT = 6443
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
CONTAINERD = "/run/containerd/containerd.sock"
PAUSE = "node.local/pause:1"
# Mount points that Kubernetes has in its code, whatever its flags say.
HOST_FOLDERS = ("/var/lib/kubelet", "/var/log/pods", "/var/log/containers")


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One cgroup v1 hierarchy to be mounted again inside."""

    controllers: tuple[str, ...]
    group: Path  # the node's group, as a path outside


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    folder: Path
    logs: Path
    cgroups: tuple[Mount, ...]
    commands: dict[str, tuple[str, ...]]  # name of a part → its command line
    search_path: str  # PATH of every part: containerd finds its own shim there
    ctr: Path
    pause_archive: Path
    ca: Path
    registry_port: int  # the same inside and on the host
    server_socket: int  # a listening socket of the host's network
    host_network: int  # the host's network namespace

    def log(self, name: str) -> Path:
        """Return the log of a part."""
        return self.logs / f"{name}.log"


def write(plan: Plan, path: Path) -> None:
    """Store the plan. No secret stands in it."""
    path.write_bytes(msgspec.json.encode(plan, enc_hook=str))


def read(path: Path) -> Plan:
    """Load a plan."""
    return msgspec.json.decode(path.read_bytes(), type=Plan, dec_hook=lambda kind, text: kind(text))
