"""What a host must have to run a node, and how to get what it lacks.

Promise: every lack is named at once, each with its remedy; nothing on the host is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError, shorten
from sandbox.node_cgroups import Hierarchy, hierarchies

# Program → the Debian package that brings it.
PROGRAMS = {
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "openssl": "openssl",
}
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "devices", "memory", "pids")  # kubelet and runc use them
_PROBE_S = 20.0
# What the node does first, in namespaces that end with the probe.
_NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork")
_NETWORK = (
    "ip link add node0 type bridge && ip link add veth0 type veth peer name veth1 && "
    "iptables --table nat --list --numeric >/dev/null && test -d /proc/sys/net/bridge"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing that the host does not have."""

    what: str
    remedy: str
    package: str = ""  # the Debian package that brings it; "": no package does

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What was found."""

    system: str  # sys.platform
    is_root: bool
    programs: frozenset[str]
    controllers: frozenset[str]  # mounted as cgroup v1


def look() -> Host:
    """Look at this host; changes nothing."""
    return Host(
        system=sys.platform,
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
        programs=frozenset(name for name in PROGRAMS if shutil.which(name, path=_search_path())),
        controllers=frozenset(name for each in here() for name in each.controllers),
    )


def here() -> list[Hierarchy]:
    """Return the cgroup v1 hierarchies of this process; none where there is no Linux."""
    if sys.platform != "linux":
        return []
    return hierarchies(Path("/proc/self/cgroup").read_text(), Path("/proc/mounts").read_text())


def lacks(host: Host) -> list[Lack]:
    """Say what `host` does not have. Pure. An empty answer is no proof: `probes` tries it."""
    if host.system != "linux":
        return [Lack(what=f"a node needs Linux, this is {host.system}", remedy="use another host")]
    found = []
    if not host.is_root:
        found.append(Lack(what="a node needs root", remedy="run it with sudo"))
    found += [
        Lack(
            what=f"{name} is not installed",
            remedy=f"apt-get install {PROGRAMS[name]}",
            package=PROGRAMS[name],
        )
        for name in PROGRAMS
        if name not in host.programs
    ]
    if absent := [name for name in CONTROLLERS if name not in host.controllers]:
        found.append(
            Lack(
                what=f"no cgroup v1 controller {', '.join(absent)} is mounted",
                remedy="a node needs a host with cgroup v1: boot Linux with "
                "systemd.unified_cgroup_hierarchy=0",
            )
        )
    return found


def probes(run: Callable[[tuple[str, ...]], str] | None = None) -> Iterator[Lack]:
    """Try what a node does first, in namespaces that end at once. Needs the programs and root."""
    run = run or _complaint
    if said := run((*_NAMESPACES, "true")):
        yield Lack(
            what=f"namespaces of its own are refused: {shorten(said)}",
            remedy="run it outside a container, or in one with all capabilities",
        )
    elif said := run((*_NAMESPACES, "sh", "-c", _NETWORK)):
        yield Lack(
            what=f"bridge, veth or iptables do not work here: {shorten(said)}",
            remedy="load the modules: modprobe bridge br_netfilter veth ip_tables nf_nat",
        )


def require() -> None:
    """Raise PreconditionError naming everything that this host lacks, with the remedies."""
    found = lacks(look()) or list(probes())
    if found:
        raise PreconditionError(
            "this host cannot run a node: " + "; ".join(map(str, found)), reason="NoNodeHere"
        )


def environ() -> dict[str, str]:
    """Return our environment with the system programs in PATH, where users often have them not."""
    return {**os.environ, "PATH": _search_path()}


def program(name: str) -> str:
    """Return the path of a system program. Raises PreconditionError."""
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise PreconditionError(f"{name} is not installed; apt-get install {PROGRAMS[name]}")
    return found


def _search_path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def _complaint(command: tuple[str, ...]) -> str:
    """Run `command`; return "" for success, else what it says."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PROBE_S,
            env=environ(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (done.stderr or done.stdout).strip()
    return (said or f"status {done.returncode}") if done.returncode else ""
