"""The command lines of a node's programs, each flag with its reason. Pure, but for paths given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.certificates import Certificates
from sandbox.components import SERVICES
from sandbox.node_plan import ADDRESS, ETCD_PEER_PORT, ETCD_PORT, NAME, SERVER_PORT

# In the order in which they start; the API server waits for etcd by itself.
FIRST = ("etcd", "containerd", "kube-apiserver")
SECOND = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")
_QPS = ("--kube-api-qps=500", "--kube-api-burst=1000")  # 20 would make 500 Deployments a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a node's parts find each other."""

    folder: Path
    programs: Mapping[str, Path]
    certificates: Certificates
    kubelet_client: tuple[Path, Path]  # certificate and key with which the API server asks kubelets

    def config(self, name: str) -> Path:
        """Return a configuration file."""
        return self.folder / "config" / name

    @property
    def audit_log(self) -> Path:
        """Where the API server writes the requests of the user `kube-sluice`, a JSON line each."""
        return self.folder / "audit" / "audit.jsonl"

    def made(self, name: str) -> Path:
        """Return a folder in which a part keeps what it makes."""
        return self.folder / name


def commands(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Return the command line of every part, by name."""
    lines = {
        "etcd": _etcd(layout),
        "containerd": ("--config", str(layout.config("containerd.toml"))),
        "kube-apiserver": _apiserver(layout),
        "kube-controller-manager": _controllers(layout),
        "kube-scheduler": _scheduler(layout),
        "kubelet": _kubelet(layout),
        "kube-proxy": (f"--config={layout.config('proxy.json')}",),
        "coredns": ("-conf", str(layout.config("Corefile"))),
    }
    return {name: (str(layout.programs[name]), *line) for name, line in lines.items()}


def _etcd(layout: Layout) -> tuple[str, ...]:
    client, peer = (f"http://127.0.0.1:{port}" for port in (ETCD_PORT, ETCD_PEER_PORT))
    return (
        f"--data-dir={layout.made('etcd')}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the data need not survive a power cut
    )


def _apiserver(layout: Layout) -> tuple[str, ...]:
    pki = layout.certificates
    certificate, key = layout.kubelet_client
    return (
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--secure-port={SERVER_PORT}",
        "--bind-address=0.0.0.0",  # Pods reach it by the service, whose endpoint is the next line
        f"--advertise-address={ADDRESS}",  # an Endpoints address may not be loopback
        f"--cert-dir={layout.made('apiserver')}",  # its default is a system folder
        f"--tls-cert-file={pki.server_certificate}",
        f"--tls-private-key-file={pki.server_key}",
        f"--client-ca-file={pki.ca}",
        f"--kubelet-client-certificate={certificate}",
        f"--kubelet-client-key={key}",
        "--kubelet-preferred-address-types=InternalIP",  # nobody resolves the node's name
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.accounts_public}",
        f"--service-account-signing-key-file={pki.accounts_key}",
        f"--token-auth-file={layout.config('tokens.csv')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICES}",
        f"--audit-policy-file={layout.config('audit.json')}",
        f"--audit-log-path={layout.audit_log}",
        "--allow-privileged=true",  # samples show privileged containers to the config audit
        "--max-requests-inflight=2000",  # five times the defaults: load tests measure us,
        "--max-mutating-requests-inflight=1000",  # not the API server's throttle
    )


def _controllers(layout: Layout) -> tuple[str, ...]:
    pki = layout.certificates
    return (
        *_clients(layout.config("controllers.conf")),
        f"--service-account-private-key-file={pki.accounts_key}",
        f"--root-ca-file={pki.ca}",  # published as kube-root-ca.crt, which token volumes need
        "--use-service-account-credentials=true",
        f"--cert-dir={layout.made('controllers')}",
        f"--flex-volume-plugin-dir={layout.made('plugins')}",  # its default is in /usr
        "--concurrent-deployment-syncs=20",
        "--concurrent-replicaset-syncs=20",
        "--concurrent-job-syncs=20",
        *_QPS,
    )


def _scheduler(layout: Layout) -> tuple[str, ...]:
    config = layout.config("scheduler.conf")
    return (*_clients(config), f"--cert-dir={layout.made('scheduler')}", *_QPS)


def _kubelet(layout: Layout) -> tuple[str, ...]:
    return (
        f"--config={layout.config('kubelet.json')}",
        f"--kubeconfig={layout.config('kubelet.conf')}",
        "--root-dir=/var/lib/kubelet",
        f"--cert-dir={layout.made('kubelet')}",
        f"--hostname-override={NAME}",
        f"--node-ip={ADDRESS}",  # it refuses loopback
    )


def _clients(config: Path) -> tuple[str, ...]:
    """Return the flags of a component that both asks the API server and is asked."""
    return (
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--authentication-skip-lookup=true",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",  # there is one, and an election costs seconds
    )
