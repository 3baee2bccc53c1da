"""Where the chart is installed: a node, images in its registry, Helm, kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.model.errors import PreconditionError
from sandbox import vulndb
from sandbox.demo.stage import FIRST_DATABASE
from sandbox.demo.world import World
from sandbox.node import Node
from sandbox.node_plan import ADDRESS
from sandbox.place import Place
from tests.charts.release import RESTRICTED

_COMMAND_S = 300.0  # a rollout of every Pod: 30 s on two idle cores
_PV_GI = 4
_CHART_USER = 65532
_LOOK_S = 0.5
DONE_S = 180.0  # all reports of everything: 30 s there


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A cluster that can run the chart, as its administrator sees it."""

    place: Place
    world: World
    programs: Mapping[str, Path]  # helm, kubectl

    @property
    def node(self) -> Node:
        """The node itself."""
        assert isinstance(self.world.plane, Node)
        return self.world.plane

    @property
    def registry(self) -> str:
        """How kubelet and Pods alike name the registry."""
        return f"{ADDRESS}:{self.world.registry.address.rpartition(':')[2]}"

    def values(self) -> dict[str, Any]:
        """Return the values of anybody who installs here: where images and databases are."""
        image = {"tag": "test"}
        return {
            "image": {"repository": f"{self.registry}/kube-sluice", **image},
            "redis": {"image": {"repository": f"{self.registry}/valkey", **image}},
            "settings": {
                "TRIVY_DB_REPOSITORY": f"{self.registry}/{vulndb.REPOSITORY}:{vulndb.TAG}",
                "TRIVY_JAVA_DB_REPOSITORY": (
                    f"{self.registry}/{vulndb.JAVA_REPOSITORY}:{vulndb.JAVA_TAG}"
                ),
                "TRIVY_INSECURE": "true",
            },
        }

    def publish_databases(self) -> None:
        """Push the sample databases where the values say."""
        folder, address = self.place.sub("databases"), self.world.registry.address
        vulndb.build(folder, level=1, updated_at=FIRST_DATABASE)
        vulndb.push(address, folder)
        vulndb.build_java(folder, updated_at=FIRST_DATABASE)
        vulndb.push_java(address, folder)

    def namespace(self, name: str) -> None:
        """Make a namespace that admits restricted Pods only."""
        self.node.create_namespace(name, RESTRICTED)

    def volume(self, name: str) -> None:
        """Make a volume that the next claim gets: nothing provisions any here."""
        folder = self.place.sub("volumes") / name
        folder.mkdir(mode=0o770)
        os.chown(folder, _CHART_USER, _CHART_USER)
        folder.parent.chmod(0o711)
        spec = {
            "capacity": {"storage": f"{_PV_GI}Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        }
        self.node.api.create(
            "/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec}
        )

    def clear(self) -> None:
        """Uninstall whatever release there is: two of them would write the same reports."""
        for one in json.loads(self.helm("list", "--all-namespaces", "--output=json")):
            self.helm("uninstall", one["name"], f"--namespace={one['namespace']}", "--wait")

    def helm(self, *arguments: str) -> str:
        """Return what `helm ARGUMENTS…` prints. Raises PreconditionError when it fails."""
        return self._run("helm", *arguments)

    def kubectl(self, *arguments: str) -> str:
        """Return what `kubectl ARGUMENTS…` prints. Raises PreconditionError when it fails."""
        return self._run("kubectl", *arguments)

    def environ(self) -> dict[str, str]:
        """Return the environment of a program of this cluster's administrator.

        With a home of their own, where they keep what they learnt: not in this folder.
        """
        home = str(self.place.sub("home"))
        return {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "KUBECONFIG": str(self.node.kubeconfig),
            **{f"HELM_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA")},
        }

    def attempt(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program as this cluster's administrator, and return how it ended."""
        return subprocess.run(
            [str(self.programs[program]), *arguments],
            env=self.environ(),
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_COMMAND_S,
        )

    def groups(self, name: str) -> list[Path]:
        """Return a container's or Pod's groups, one of each hierarchy."""
        return [found for group in self.node.cgroups for found in group.rglob(name)]

    def processes(self, name: str) -> list[int]:
        """Return the processes of a container or Pod, by their ids on this machine."""
        found = {
            int(pid)
            for group in self.groups(name)
            for procs in group.rglob("cgroup.procs")
            for pid in procs.read_text().split()
        }
        return sorted(found)

    def _run(self, program: str, *arguments: str) -> str:
        done = self.attempt(program, *arguments)
        if done.returncode:
            raise PreconditionError(
                f"{program} {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
            )
        return done.stdout


def write(values: Mapping[str, Any], path: Path) -> Path:
    """Write a values file: JSON is YAML."""
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def eventually(ask: Callable[[], Any], *, within_s: float, explain: Callable[[], str]) -> None:
    """Ask until the answer is true; fail with an explanation when it never is."""
    deadline = time.monotonic() + within_s
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{found!r} after {within_s:g} s\n{explain()}")
        time.sleep(_LOOK_S)
