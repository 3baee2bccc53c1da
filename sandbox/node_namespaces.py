"""Furnishes a node's namespaces: mounts, host name, network. Called once, inside, as root.

Nothing here is seen outside: every mount and every device ends with the node. Three empty folders
below /var stay on the host, because a mount needs a place.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from common.model.errors import PreconditionError, shorten
from sandbox.node_plan import ADDRESS, HOST_FOLDERS, NAME, Mount, Plan

_CGROUPS = Path("/sys/fs/cgroup")
_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",  # services must work between Pods of one bridge
}


def prepare(plan: Plan) -> None:
    """Do it all. Raises PreconditionError that names the command which failed."""
    _run("mount", "--make-rshared", "/")  # volumes of Pods ask for propagation
    socket.sethostname(NAME)
    mount_system(plan.cgroups)
    for folder in HOST_FOLDERS:
        _bind_folder(plan.folder / "host" / folder.lstrip("/"), Path(folder))
    _bind_file(plan.folder / "host" / "resolv.conf", "/etc/resolv.conf", "options attempts:1\n")
    hosts = f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n"
    _bind_file(plan.folder / "host" / "hosts", "/etc/hosts", hosts)
    _network()


def mount_system(cgroups: Iterable[Mount]) -> None:
    """Mount /sys with these cgroups only, and an empty /run."""
    # A sysfs of this network namespace; it hides the host's cgroup mounts, which show too much.
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(_CGROUPS))
    for mount in cgroups:
        _mount_cgroup(mount)
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    Path("/run/lock").mkdir()


def bring_loopback_up() -> None:
    """Switch the loopback device on: a new network namespace has one, but down."""
    _run("ip", "link", "set", "lo", "up")


def _mount_cgroup(mount: Mount) -> None:
    """Mount one hierarchy again: within the cgroup namespace it shows the node's groups only."""
    names = [name.removeprefix("name=") for name in mount.controllers]
    place = _CGROUPS / ",".join(names)
    place.mkdir()
    options = ",".join(mount.controllers)
    without = "none," if "=" in options else ""
    _run("mount", "-t", "cgroup", "-o", f"{without}{options}", "cgroup", str(place))
    if len(names) > 1:  # as systemd does: each controller has a name of its own
        for name in names:
            (_CGROUPS / name).symlink_to(place.name)


def _bind_folder(source: Path, target: Path) -> None:
    source.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", str(source), str(target))


def _bind_file(source: Path, target: str, content: str) -> None:
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(content)
    place = Path(target).resolve()
    if not place.exists():  # with systemd-resolved it points into the /run that we just hid
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _run("mount", "--bind", str(source), str(place))


def _network() -> None:
    """Give the node an address that no other host has, and a default route into a dead end.

    Service addresses need a route before iptables rewrites them; there is no way out.
    """
    bring_loopback_up()
    _run("ip", "link", "add", "node0", "type", "bridge")
    _run("ip", "address", "add", f"{ADDRESS}/24", "dev", "node0")
    _run("ip", "link", "set", "node0", "up")
    _run("ip", "route", "add", "default", "dev", "node0")
    for name, value in _SETTINGS.items():
        (Path("/proc/sys") / name).write_text(value)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise PreconditionError(f"{' '.join(command)} failed: {shorten(done.stderr.strip())}")
