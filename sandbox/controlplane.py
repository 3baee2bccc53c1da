"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager.

No scheduler and no kubelet: Pods stay Pending until the stand-in (`sandbox.kubelet`) or a test
writes their status. Ready in about 3 s, 400 MB resident. RBAC is on; the admin token is in
`system:masters`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from sandbox import certificates, components
from sandbox.api import Api, ApiError
from sandbox.metrics import RequestCount, parse_request_counts
from sandbox.place import Place
from sandbox.processes import POLL_S, Process, Stack

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_READY_S = 90.0  # 3 s on two idle cores; loaded ones need several times that
_ACCOUNT_S = 60.0
_CONFLICT = 409


class ControlPlane:
    """One control plane in one place. `start` it, use `kubeconfig` or `api`, `stop` it."""

    def __init__(self, place: Place, programs: Mapping[str, Path], stack: Stack) -> None:
        """Make keys, unless the place has some; nothing else is written or runs before `start`."""
        self._stack = stack
        pki = certificates.make(place.sub("pki"), names=components.NAMES)
        self._layout = layout = components.Layout(
            place=place,
            programs=programs,
            certificates=pki,
            kubeconfig=place.folder / "kubeconfig",
            tokens=place.folder / "tokens.csv",
            etcd_port=place.port(),
            peer_port=place.port(),
            server_port=place.port(),
            controllers_port=place.port(),
        )
        self.ca = pki.ca
        self.kubeconfig = layout.kubeconfig
        self.server = f"https://127.0.0.1:{layout.server_port}"
        self.admin_token = secrets.token_hex(16)
        self.api = Api(self.server, self.admin_token, self.ca)
        self._apiserver = Process(components.apiserver(layout))
        self._controllers = Process(components.controllers(layout))
        self._etcd: Process | None = None  # None: stopped; each start locks the data anew

    def start(self) -> Self:
        """Start the three programs; return when the API server is ready.

        The controllers may still be starting: `create_namespace` waits for what they must do.
        Raises PreconditionError when a program fails, or when another etcd lives on this data.
        """
        self._stack.push(self)
        layout = self._layout
        self._start_etcd()  # first: the folder may be another one's, with its tokens
        token = f'{self.admin_token},admin,admin,"system:masters"\n'
        _write_private(layout.tokens, token.encode())
        _write_private(layout.kubeconfig, kubeconfig(self.server, self.admin_token, self.ca))
        self.start_apiserver()  # it waits for etcd by itself
        self._controllers.start()
        return self

    def _start_etcd(self) -> None:
        lock = self._layout.place.claim("etcd")
        try:
            self._etcd = Process(components.etcd(self._layout, lock=lock)).start()
        finally:
            os.close(lock)

    def stop(self) -> None:
        """Stop in this order: an API server whose etcd is gone ignores SIGTERM for a minute."""
        self._controllers.stop()
        self._apiserver.stop()
        if self._etcd is not None:
            self._etcd.stop()
            self._etcd = None
        self.api.close()

    def kill_apiserver(self) -> None:
        """End the API server as a crash would; every watch breaks. `start_apiserver` heals."""
        self._apiserver.kill()

    def start_apiserver(self) -> None:
        """Start the API server, again on the same port and data, and wait until it is ready."""
        self._apiserver.start()
        self._apiserver.wait_ready(self._is_ready, timeout_s=_READY_S)

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again on the same port and data."""
        self.kill_apiserver()
        self.start_apiserver()

    def save(self) -> Path:
        """Return a copy of etcd's data for `restore`; it is away meanwhile, and the server too."""
        copy = self._layout.place.folder / "etcd-saved"
        self._while_away(lambda data: shutil.copytree(data, copy))
        return copy

    def restore(self, copy: Path) -> None:
        """Bring saved data back: resourceVersions then count from there, as after any restore."""

        def swap(data: Path) -> None:
            shutil.rmtree(data)
            shutil.copytree(copy, data)

        self._while_away(swap)

    def _while_away(self, act: Callable[[Path], object]) -> None:
        self.kill_apiserver()
        if self._etcd is not None:
            self._etcd.kill()
        act(self._layout.place.folder / "etcd")
        self._start_etcd()
        self.start_apiserver()

    @property
    def apiserver_pid(self) -> int:
        """The API server's process id, to measure its CPU time and memory."""
        return self._apiserver.pid

    @property
    def etcd_metrics_url(self) -> str:
        """Where etcd serves its own metrics."""
        return f"http://127.0.0.1:{self._layout.etcd_port}/metrics"

    def metrics(self) -> list[RequestCount]:
        """Return what the API server counted of its own requests: independent of any client."""
        return parse_request_counts(self.api.request("GET", "/metrics").decode())

    def add_node(self, name: str, platform: str = "linux/amd64") -> None:
        """Create a Ready Node of `platform` ("os/architecture"); it may be there already."""
        node = _node(name, platform)
        try:
            self.api.create("/api/v1/nodes", node)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
        self.api.patch(f"/api/v1/nodes/{name}/status", {"status": node["status"]})
        # Admission taints every new node as not ready, and DaemonSets keep away from it.
        self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})

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
        raise self._controllers.failure(f"made no ServiceAccount in {name} for {_ACCOUNT_S:g} s")

    def _is_ready(self) -> bool:
        return self.api.request("GET", "/readyz") == b"ok"


def kubeconfig(server: str, token: str, ca: Path) -> bytes:
    """Return a kubeconfig file for one user; JSON is YAML."""
    cluster = {
        "server": server,
        "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
    }
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sandbox",
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": "sandbox", "user": {"token": token}}],
        },
        option=orjson.OPT_INDENT_2,
    )


def _node(name: str, platform: str) -> dict[str, Any]:
    system, _, architecture = platform.partition("/")
    labels = {
        "kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
    }
    size = {"cpu": "64", "memory": "256Gi", "pods": "10000"}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": size,
            "allocatable": size,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "SandboxNode", "message": "stand-in"}
            ],
            "nodeInfo": {
                "operatingSystem": system,
                "architecture": architecture,
                "osImage": "sandbox",
                "kernelVersion": "",
                "kubeletVersion": "",
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "containerd://2",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    }


def _write_private(path: Path, content: bytes) -> None:
    """Write `content` so that only this user can ever read it."""
    path.touch(mode=0o600)
    path.write_bytes(content)
