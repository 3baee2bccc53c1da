"""A real Kubernetes node on this machine, with the control plane it belongs to: it runs containers.

etcd, kube-apiserver, controllers, scheduler, kubelet, kube-proxy, containerd, CoreDNS and a bridge
for Pods, in namespaces of their own. Ready in about 5 s on two cores, 700 MB resident. The host
sees one loopback port, the API server's; several nodes run side by side.

Needs Linux, root and cgroup v1; `node_host` tells what a host lacks. Ends with its starter, also
when that is killed: one process outside holds the namespaces, and a sweeper removes the cgroups.
Not there: a second node, storage classes, network policies, a way to the Internet.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from common.model.errors import PreconditionError
from sandbox import families, node_host, node_plan, node_store
from sandbox.api import Api, ApiError
from sandbox.enclosure import ROOT, Enclosure
from sandbox.metrics import RequestCount, parse_request_counts
from sandbox.node_audit import AuditedRequest, read_audit
from sandbox.node_plan import NAME
from sandbox.place import Place
from sandbox.processes import POLL_S, Command, Process, Stack

PROGRAMS = (*families.COMPONENTS, *families.CONTAINERD, *families.CNI, "coredns", "pause")
_READY_S = 120.0  # 5 s on two idle cores; loaded ones need several times that
_ACCOUNT_S = 60.0
_BACKLOG = 256  # a burst of clients must not meet a full one


class Node:
    """One node in one place. `start` it, use `kubeconfig` or `api`, `stop` it.

    It starts fresh: what an earlier node left in the place is removed.
    """

    def __init__(
        self, place: Place, programs: Mapping[str, Path], stack: Stack, *, registry_port: int
    ) -> None:
        """Make keys, unless the place has some; nothing else is written or runs before `start`.

        `127.0.0.1:registry_port` names the host's registry inside the node too, so one reference
        serves kubelet and host; Pods reach it as `198.18.0.1:registry_port`.
        Raises PreconditionError when this host cannot run a node.
        """
        node_host.require()
        self._place = place
        self._stack = stack
        self._port = place.port()
        self._registry_port = registry_port
        self._store = store = node_store.Store(place, programs)
        self.ca = store.layout.certificates.ca
        self.kubeconfig = place.folder / "kubeconfig"
        self.product_kubeconfig = place.folder / "product.kubeconfig"
        self.server = f"https://127.0.0.1:{self._port}"
        self.admin_token = store.tokens["admin.conf"]
        self.api = Api(self.server, self.admin_token, self.ca)
        self._enclosure = Enclosure(place, "node", store.layout.folder)
        self._began = datetime.now(UTC)

    def start(self) -> Self:
        """Start everything; return when Pods can be scheduled.

        Raises PreconditionError when a part fails, or when another node lives in this place.
        """
        self._stack.push(self)
        self._bring_up(self._launch_fresh)
        return self

    def restart(self) -> None:
        """Power it off and on: every process ends at once, what stands on its disk is there still.

        Return when Pods can be scheduled; a moment later those that were there run again.
        """
        self.stop()
        self._bring_up(self._launch)

    def stop(self) -> None:
        """End everything in it at once, and wait until its cgroups are gone.

        Raises PreconditionError when some stay.
        """
        self.api.close()
        self._enclosure.stop()

    @property
    def pid(self) -> int:
        """The one process outside; whoever kills it ends the node."""
        return self._enclosure.pid

    @property
    def cgroups(self) -> tuple[Path, ...]:
        """The node's groups in each hierarchy; none exists after `stop`."""
        return self._enclosure.groups

    def audited(self) -> list[AuditedRequest]:
        """Return what was asked with `product_kubeconfig` since the start, by the API server."""
        return read_audit(self._store.layout.audit_log)

    def cpu_seconds(self) -> float:
        """Return the CPU time of everything in it since its start, containers included."""
        for each in self._enclosure.cgroups:
            if "cpuacct" in each.controllers:
                return int((each.group / "cpuacct.usage").read_text()) / 1e9
        raise PreconditionError("no cgroup v1 controller cpuacct is mounted")

    def metrics(self) -> list[RequestCount]:
        """Return what the API server counted of its own requests: independent of any client."""
        return parse_request_counts(self.api.request("GET", "/metrics").decode())

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace and wait until Pods can be made in it.

        That needs its `default` ServiceAccount, which the controllers create.
        Raises PreconditionError after 60 s.
        """
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        deadline = time.monotonic() + _ACCOUNT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ApiError):
                self.api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
                return
            time.sleep(POLL_S)
        raise PreconditionError(f"no ServiceAccount in {name} after {_ACCOUNT_S:g} s")

    def _bring_up(self, launch: Callable[[int], Process]) -> None:
        self._began = datetime.now(UTC).replace(microsecond=0)
        self._enclosure.start(launch).wait_ready(self._is_ready, timeout_s=_READY_S)

    def _launch_fresh(self, lock: int) -> Process:
        """Begin with an empty disk; the lock says that it is nobody's."""
        self._store.clear()
        return self._launch(lock)

    def _launch(self, lock: int) -> Process:
        """Start the process outside. What is inside holds `lock` as long as it lives."""
        outside = {self.kubeconfig: "admin.conf", self.product_kubeconfig: "product.conf"}
        self._store.write(self.server, outside, registry_port=self._registry_port)
        plan_file = self._store.layout.folder / "plan.json"
        with self._listening() as listener, _own_network() as network:
            plan = self._store.plan(
                cgroups=self._enclosure.cgroups,
                registry_port=self._registry_port,
                server_socket=listener.fileno(),
                host_network=network,
            )
            node_plan.write(plan, plan_file)
            command = Command(
                name="node",
                argv=(sys.executable, "-m", "sandbox.node_launch", str(plan_file)),
                log=self._place.log("node"),
                environ={**node_host.environ(), "PYTHONPATH": str(ROOT)},
                pass_fds=(lock, listener.fileno(), network),
            )
            return Process(command).start()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            listener.listen(_BACKLOG)
            yield listener

    def _is_ready(self) -> bool:
        node = self.api.get(f"/api/v1/nodes/{NAME}")
        (ready,) = (one for one in node["status"]["conditions"] if one["type"] == "Ready")
        heard = datetime.fromisoformat(ready["lastHeartbeatTime"])  # may be of its last life
        return ready["status"] == "True" and heard >= self._began and not node["spec"].get("taints")


@contextlib.contextmanager
def _own_network() -> Iterator[int]:
    """Give a descriptor of this process's network namespace: the way out for the registry."""
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
