"""The flags of a control plane's programs, each with its reason. Pure, but for paths given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.certificates import Certificates
from sandbox.place import Place
from sandbox.processes import Command

SERVICES = "10.96.0.0/16"
NAMES = (
    "IP:127.0.0.1",
    "IP:10.96.0.1",  # the `kubernetes` service: the first address of the range above
    "DNS:localhost",
    "DNS:sandbox",  # the service's name in docker-compose.yml
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
)
# A node without a kubelet has no heartbeat: these two would taint it and evict its Pods.
_CONTROLLERS = "*,-node-lifecycle-controller,-taint-eviction-controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where one control plane's parts find each other."""

    place: Place
    programs: Mapping[str, Path]
    certificates: Certificates
    kubeconfig: Path
    tokens: Path
    etcd_port: int
    peer_port: int
    server_port: int
    controllers_port: int


def etcd(layout: Layout, *, lock: int) -> Command:
    """Return etcd's command; `lock` is the descriptor that says its data is in use."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (layout.etcd_port, layout.peer_port))
    return Command(
        name="etcd",
        argv=(
            str(layout.programs["etcd"]),
            f"--data-dir={layout.place.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data need not survive a power cut
        ),
        log=layout.place.log("etcd"),
        pass_fds=(lock,),
    )


def apiserver(layout: Layout) -> Command:
    """Return kube-apiserver's command."""
    pki = layout.certificates
    return Command(
        name="kube-apiserver",
        argv=(
            str(layout.programs["kube-apiserver"]),
            f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
            f"--secure-port={layout.server_port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={layout.place.sub('apiserver')}",  # its default is a system folder
            f"--tls-cert-file={pki.server_certificate}",
            f"--tls-private-key-file={pki.server_key}",
            f"--client-ca-file={pki.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.accounts_public}",
            f"--service-account-signing-key-file={pki.accounts_key}",
            f"--token-auth-file={layout.tokens}",
            "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={SERVICES}",
            "--endpoint-reconciler-type=none",  # an Endpoints address may not be loopback
            "--allow-privileged=true",  # samples show privileged containers to the config audit
            "--max-requests-inflight=2000",  # five times the defaults: load tests measure us,
            "--max-mutating-requests-inflight=1000",  # not the API server's throttle
        ),
        log=layout.place.log("kube-apiserver"),
        # A quarter of its work is collecting garbage by default, and memory is what there is.
        environ={**os.environ, "GOGC": "400"},
        stop_within_s=10.0,  # it drains watches first
    )


def controllers(layout: Layout) -> Command:
    """Return kube-controller-manager's command."""
    config = layout.kubeconfig
    return Command(
        name="kube-controller-manager",
        argv=(
            str(layout.programs["kube-controller-manager"]),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--authentication-skip-lookup=true",
            f"--service-account-private-key-file={layout.certificates.accounts_key}",
            f"--root-ca-file={layout.certificates.ca}",
            "--use-service-account-credentials=true",
            f"--secure-port={layout.controllers_port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={layout.place.sub('controllers')}",
            f"--flex-volume-plugin-dir={layout.place.sub('flex')}",  # its default is in /usr
            "--leader-elect=false",  # there is one, and an election costs seconds
            f"--controllers={_CONTROLLERS}",
            "--kube-api-qps=500",  # the default of 20 would make 500 Deployments take a minute
            "--kube-api-burst=1000",
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--concurrent-job-syncs=20",
        ),
        log=layout.place.log("kube-controller-manager"),
    )
