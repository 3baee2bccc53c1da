"""The configuration files of a node's programs. Pure: text out, nothing is written here.

Identities are static tokens, one per component, as in the control plane; kubelet requests are
authenticated and authorised by the API server.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import orjson

from sandbox.node_components import Layout
from sandbox.node_plan import ADDRESS, CONTAINERD, DOMAIN, NAME, PAUSE, PODS

PRODUCT = "kube-sluice"
# File → user and groups. The groups are what the built-in roles are bound to.
USERS = {
    "admin.conf": ("admin", "system:masters"),
    "kubelet.conf": (f"system:node:{NAME}", "system:nodes"),
    "controllers.conf": ("system:kube-controller-manager", ""),
    "scheduler.conf": ("system:kube-scheduler", ""),
    "proxy.conf": ("system:kube-proxy", ""),
    "names.conf": ("names", "system:masters"),  # a real one is a Pod with an account of its own
    # Who is watched: whatever this administrator asks for stands in the audit log.
    "product.conf": (PRODUCT, "system:masters"),
}


def tokens() -> dict[str, str]:
    """Return a fresh secret for each user, by file."""
    return {file: secrets.token_hex(16) for file in USERS}


def token_table(by_file: Mapping[str, str]) -> bytes:
    """Return the API server's table of tokens."""
    rows = []
    for file, (user, groups) in USERS.items():
        row = f"{by_file[file]},{user},{user}"
        rows.append(f'{row},"{groups}"\n' if groups else f"{row}\n")
    return "".join(rows).encode()


def audit_policy() -> bytes:
    """Return the policy that logs the product's requests, without bodies, and nobody else's."""
    return _document(
        "audit.k8s.io/v1",
        "Policy",
        omitStages=["RequestReceived"],
        rules=[{"level": "Metadata", "users": [PRODUCT]}, {"level": "None"}],
    )


def kubelet(layout: Layout) -> bytes:
    """Return the kubelet's configuration."""
    return _document(
        "kubelet.config.k8s.io/v1beta1",
        "KubeletConfiguration",
        address="0.0.0.0",  # noqa: S104 -- the API server asks it by the node's address
        authentication={
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.certificates.ca)},
        },
        authorization={"mode": "Webhook"},
        cgroupDriver="cgroupfs",
        failCgroupV1=False,  # 1.35 and later refuse cgroup v1 without it
        failSwapOn=False,
        containerRuntimeEndpoint=f"unix://{CONTAINERD}",
        resolvConf="",
        clusterDNS=[ADDRESS],
        clusterDomain=DOMAIN,
        serializeImagePulls=False,
        registryPullQPS=0,
        # A full disk of the host must not evict Pods.
        evictionHard={
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        imageGCHighThresholdPercent=100,
        volumePluginDir=str(layout.made("plugins")),
        kubeAPIQPS=200,
        kubeAPIBurst=400,
        maxPods=250,
    )


def names(layout: Layout) -> bytes:
    """Return CoreDNS' configuration: the cluster's names; no other exists here."""
    kubernetes = (
        f"kubernetes {DOMAIN} in-addr.arpa {{\nkubeconfig {layout.config('names.conf')}\n}}"
    )
    return f".:53 {{\nbind {ADDRESS}\nerrors\n{kubernetes}\n}}\n".encode()


def proxy(layout: Layout) -> bytes:
    """Return kube-proxy's configuration."""
    return _document(
        "kubeproxy.config.k8s.io/v1alpha1",
        "KubeProxyConfiguration",
        mode="iptables",
        hostnameOverride=NAME,
        clusterCIDR=PODS,
        clientConnection={"kubeconfig": str(layout.config("proxy.conf"))},
        # These settings cannot be written outside the first network namespace.
        conntrack={
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        iptables={"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    )


def network() -> bytes:
    """Return the CNI configuration: one bridge, addresses kept in a file."""
    routes, ranges = [{"dst": "0.0.0.0/0"}], [[{"subnet": PODS}]]
    return orjson.dumps(
        {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "ipMasq": False,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": ranges,
                        "routes": routes,
                        "dataDir": "/run/cni-addresses",  # ends with the node
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
    )


def registry_hosts(address: str) -> tuple[str, bytes]:
    """Return path and content that let containerd pull from `address` over plain HTTP."""
    lines = (
        f'server = "http://{address}"',
        f'[host."http://{address}"]',
        '  capabilities = ["pull", "resolve"]',
    )
    return f"certs.d/{address}/hosts.toml", "\n".join((*lines, "")).encode()


def registry_names(port: int) -> tuple[str, str]:
    """Return the registry's names: the one that host and kubelet share, and the one of Pods."""
    return f"127.0.0.1:{port}", f"{ADDRESS}:{port}"


def containerd(layout: Layout, *, runc: str) -> bytes:
    """Return containerd's configuration."""
    images, runtime = "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
    tables: dict[str, dict[str, object]] = {
        "grpc": {"address": CONTAINERD},
        f"plugins.'{images}'": {"snapshotter": "overlayfs"},
        f"plugins.'{images}'.pinned_images": {"sandbox": PAUSE},
        f"plugins.'{images}'.registry": {"config_path": str(layout.config("certs.d"))},
        # runc may not lower the score without CAP_SYS_RESOURCE, and then no Pod starts.
        f"plugins.'{runtime}'": {"restrict_oom_score_adj": True},
        f"plugins.'{runtime}'.cni": {
            "bin_dirs": [str(layout.programs["bridge"].parent)],  # a family stands in one folder
            "conf_dir": str(layout.config("cni")),
        },
        f"plugins.'{runtime}'.containerd": {"default_runtime_name": "runc"},
        f"plugins.'{runtime}'.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        f"plugins.'{runtime}'.containerd.runtimes.runc.options": {
            "BinaryName": runc,
            "SystemdCgroup": False,
        },
    }
    top: dict[str, object] = {
        "version": 3,
        "root": str(layout.made("containerd")),
        "state": str(Path(CONTAINERD).parent),
    }
    return (_table(top) + "".join(f"[{n}]\n{_table(t)}" for n, t in tables.items())).encode()


def _table(entries: Mapping[str, object]) -> str:
    """Return TOML lines; JSON's strings, numbers, booleans and lists are TOML's."""
    return "".join(f"{name} = {orjson.dumps(value).decode()}\n" for name, value in entries.items())


def _document(version: str, kind: str, **fields: object) -> bytes:
    return orjson.dumps({"apiVersion": version, "kind": kind, **fields})
