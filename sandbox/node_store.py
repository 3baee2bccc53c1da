"""What a node keeps in its place: keys, configuration, the pause image, the plan."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from sandbox import certificates, components, node_files, node_host, oci
from sandbox.controlplane import kubeconfig
from sandbox.node_archive import archive
from sandbox.node_components import Layout, commands
from sandbox.node_plan import ADDRESS, PAUSE, SERVER_PORT, Mount, Plan
from sandbox.place import Place

_NAMES = (*components.NAMES, f"IP:{ADDRESS}", "DNS:kubernetes.default.svc.cluster.local")
_MADE = ("host", "plugins", "audit")  # the parts make their own others


class Store:
    """The folder `node` of a place."""

    def __init__(self, place: Place, programs: Mapping[str, Path]) -> None:
        """Make the keys, unless the place has some; nothing else is written."""
        self._logs = place.sub("log")
        pki = place.sub("node-pki")
        made = certificates.make(pki, names=_NAMES)
        self.tokens = node_files.tokens()
        self.layout = Layout(
            folder=place.folder / "node",
            programs=programs,
            certificates=made,
            kubelet_client=_kubelet_client(pki),
        )

    def clear(self) -> None:
        """Remove what an earlier node left: data and state of its parts."""
        shutil.rmtree(self.layout.folder, ignore_errors=True)

    def write(self, server: str, outside: Mapping[Path, str], *, registry_port: int) -> None:
        """Write every file anew; `outside` says where and whose files go that reach `server`."""
        layout = self.layout
        for name in _MADE:
            (layout.folder / name).mkdir(parents=True, mode=0o700, exist_ok=True)
        for name, content in self._files(registry_port).items():
            _write(layout.config(name), content)
        _write(layout.folder / "pause.tar", archive(self._pause(), PAUSE))
        ca = layout.certificates.ca
        inside = f"https://127.0.0.1:{SERVER_PORT}"
        for name, token in self.tokens.items():
            _write(layout.config(name), kubeconfig(inside, token, ca))
        for path, name in outside.items():
            _write(path, kubeconfig(server, self.tokens[name], ca))

    def plan(
        self,
        *,
        cgroups: tuple[Mount, ...],
        registry_port: int,
        server_socket: int,
        host_network: int,
    ) -> Plan:
        """Return the plan; the two last are descriptors that the node's processes inherit."""
        layout = self.layout
        return Plan(
            folder=layout.folder,
            logs=self._logs,
            cgroups=cgroups,
            commands=commands(layout),
            search_path=os.pathsep.join(
                # containerd must find its own shim before another version's.
                (str(layout.programs["containerd"].parent), node_host.environ()["PATH"])
            ),
            ctr=layout.programs["ctr"],
            pause_archive=layout.folder / "pause.tar",
            ca=layout.certificates.ca,
            registry_port=registry_port,
            server_socket=server_socket,
            host_network=host_network,
        )

    def _files(self, registry_port: int) -> dict[str, bytes]:
        """Return the configuration files by their path in the folder `config`."""
        layout = self.layout
        return {
            "audit.json": node_files.audit_policy(),
            "tokens.csv": node_files.token_table(self.tokens),
            "kubelet.json": node_files.kubelet(layout),
            "proxy.json": node_files.proxy(layout),
            "Corefile": node_files.names(layout),
            "cni/10-pods.conflist": node_files.network(),
            "containerd.toml": node_files.containerd(layout, runc=node_host.program("runc")),
            **dict(map(node_files.registry_hosts, node_files.registry_names(registry_port))),
        }

    def _pause(self) -> oci.Image:
        arm = platform.machine() in ("aarch64", "arm64")
        program = oci.Executable(content=self.layout.programs["pause"].read_bytes())
        return oci.image(
            [oci.layer({"pause": program}, "COPY pause / # sandbox")],
            entrypoint=["/pause"],
            platform=oci.Platform(architecture="arm64" if arm else "amd64"),
        )


def _kubelet_client(pki: Path) -> tuple[Path, Path]:
    """Return certificate and key with which the API server asks the kubelet; masters may do all.

    What is there is used again: it may be in use.
    """
    stem = "kubelet-client"
    if (pki / f"{stem}.crt").exists():
        return pki / f"{stem}.crt", pki / f"{stem}.key"
    return certificates.issue(pki, stem, "/O=system:masters/CN=kube-apiserver", usage="clientAuth")


def _write(path: Path, content: bytes) -> None:
    """Write `content` so that only this user can ever read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(content)
