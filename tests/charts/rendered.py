"""The chart, rendered by the real Helm engine, and ways to look at what came out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "charts" / "kube-sluice"
PRESETS = tuple(sorted((CHART / "presets").glob("*.yaml")))
SCENARIOS = (*sorted((CHART / "ci").glob("*-values.yaml")), *PRESETS)
RELEASE, NAMESPACE = "kube-sluice", "security"

HOOK = "helm.sh/hook"
SERVICE_HOST = "10.96.0.1"  # of the API server, as every container is told

Manifest = Mapping[str, Any]
_REFERENCE = re.compile(r"\$\((\w+)\)")


def values(path: Path) -> dict[str, Any]:
    """Return a values file as Helm reads it."""
    return helm_python.values_from_yaml(path.read_text(encoding="utf-8"))


def render(
    changes: Mapping[str, Any] | None = None,
    *,
    name: str = RELEASE,
    namespace: str = NAMESPACE,
    chart: Path = CHART,
) -> Rendered:
    """Render the chart; raises HelmError where Helm would refuse."""
    with helm_python.Chart.load(chart) as loaded:
        files = loaded.render(dict(changes or {}), name=name, namespace=namespace)
    manifests = [
        manifest
        for template, text in sorted(files.items())
        if template.endswith(".yaml")
        for manifest in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if manifest
    ]
    hooks = [one for one in manifests if HOOK in one["metadata"].get("annotations", {})]
    manifests = [one for one in manifests if one not in hooks]
    return Rendered(files=files, manifests=manifests, hooks=hooks, namespace=namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What Helm made: text by template, and every object in it."""

    files: Mapping[str, str]
    manifests: list[Manifest]
    hooks: list[Manifest] = field(default_factory=list)  # what Helm makes on an occasion only
    namespace: str = NAMESPACE  # the release's

    @property
    def notes(self) -> str:
        """What an installing user reads."""
        return next(text for name, text in self.files.items() if name.endswith("NOTES.txt"))

    def one(self, kind: str, name: str) -> Manifest:
        """Return an object by kind and name without the release's; KeyError if there is none."""
        for manifest in self.manifests:
            if manifest["kind"] == kind and manifest["metadata"]["name"].endswith(f"-{name}"):
                return manifest
        raise KeyError(f"{kind} …-{name}")

    def owners(self) -> list[Manifest]:
        """Return what makes the Pods that stay."""
        return [one for one in self.manifests if "template" in one.get("spec", {})]

    def templates(self) -> list[Manifest]:
        """Return every Pod template, those of hooks too; a bare Pod is one."""
        jobs = [one["spec"]["template"] for one in self.hooks if one["kind"] == "Job"]
        bare = [one for one in self.hooks if one["kind"] == "Pod"]
        return [*(one["spec"]["template"] for one in self.owners()), *jobs, *bare]

    def pods(self) -> dict[str, Manifest]:
        """Return the Pod template of each component."""
        return {
            one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]
            for one in self.owners()
        }

    def containers(self) -> dict[str, Manifest]:
        """Return every container of every Pod, sidecars and hooks' too, by its name."""
        return {one["name"]: one for pod in self.templates() for one in all_containers(pod)}


def all_containers(pod: Manifest) -> Iterator[Manifest]:
    """Yield the containers of a Pod template, sidecars first."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]


def environment(
    container: Manifest,
    *,
    namespace: str = NAMESPACE,
    maps: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> dict[str, str]:
    """Return what the container's process is told, as a kubelet resolves it.

    `maps` are the ConfigMaps of the namespace; what refers to another one must be optional.
    """
    told: dict[str, str] = {"KUBERNETES_SERVICE_HOST": SERVICE_HOST}
    for one in container.get("env", ()):
        match one.get("valueFrom"):
            case None:
                told[one["name"]] = _REFERENCE.sub(
                    lambda found: told.get(found[1], found[0]), one["value"]
                )
            case {"fieldRef": {"fieldPath": "metadata.namespace"}}:
                told[one["name"]] = namespace
            case {"configMapKeyRef": {"name": name, "key": key, "optional": True}}:
                if key in maps.get(name, {}):
                    told[one["name"]] = maps[name][key]
            case other:
                raise KeyError(other)
    del told["KUBERNETES_SERVICE_HOST"]
    return told


def mounts(pod: Manifest, container: str) -> dict[str, Manifest]:
    """Return the volumes that a container mounts, by path; a StatefulSet's claims are empty."""
    volumes = {one["name"]: one for one in pod["spec"].get("volumes", ())}
    (found,) = (one for one in all_containers(pod) if one["name"] == container)
    mounted = found.get("volumeMounts", ())
    return {one["mountPath"]: volumes.get(one["name"], {}) for one in mounted}
