"""What scheduler and kubelet do next with a Pod. Pure: runs on every event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.podstatus import Pod, containers, is_pulled, spread

_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that Pods can be bound to."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Bind the Pod to a node."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Pull these images, then write the status."""

    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """Write that everything ended well."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the Pod: its containers are gone."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do."""


Step = Bind | Run | Finish | Remove | Rest


def next_step(pod: Pod, nodes: Sequence[Node]) -> Step:
    """Choose what to do with `pod`; its own scheduler's and other nodes' Pods are left alone."""
    node = pod["spec"].get("nodeName")
    terminating = "deletionTimestamp" in pod["metadata"]
    if node is None:
        return Rest() if terminating else _scheduled(pod, nodes)
    if node not in {ours.name for ours in nodes}:
        return Rest()
    return Remove() if terminating else _kept(pod)


def _scheduled(pod: Pod, nodes: Sequence[Node]) -> Step:
    fitting = [node.name for node in nodes if _fits(pod["spec"], node)]
    if not fitting or pod["spec"].get("schedulerName") != "default-scheduler":
        return Rest()
    return Bind(node=fitting[spread(pod["metadata"]["uid"], len(fitting))])


def _kept(pod: Pod) -> Step:
    phase = pod.get("status", {}).get("phase")
    if phase in _FINISHED:
        return Rest()
    missing = {c["image"] for _, c, known in containers(pod) if not is_pulled(c, known)}
    if missing or phase != "Running":
        return Run(images=tuple(sorted(missing)))
    return Finish() if _is_of_job(pod) else Rest()


def _is_of_job(pod: Pod) -> bool:
    owners = pod["metadata"].get("ownerReferences", ())
    return any(owner.get("kind") == "Job" and owner.get("controller") for owner in owners)


def _fits(spec: Mapping[str, Any], node: Node) -> bool:
    """Say whether selector and required node affinity allow `node`. Knows the operator In only."""
    labels = {**node.labels, "metadata.name": node.name}
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or ()
    return not terms or any(_matches(term, labels) for term in terms)


def _matches(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ()))
    return all(
        want.get("operator") == "In" and labels.get(want["key"]) in want.get("values", ())
        for want in wanted
    )
