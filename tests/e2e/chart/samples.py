"""The sample workloads on the node, and what is wrong with what is reported about them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

from common.model.errors import PreconditionError
from sandbox.demo.coverage import missing
from sandbox.demo.running import ran, unlike
from sandbox.demo.world import create_all
from sandbox.images import push, touch
from sandbox.manifests import Part, workload
from sandbox.truth import FOUND
from sandbox.workloads import PREFIX, namespaces, sample_workloads
from tests.e2e.chart.ground import Ground

LOAD = f"{PREFIX}-load"
_BASES = ("alpine-app", "debian-node", "go-app", "secrets", "clean", "alpine-python")
_RUN_S = 120.0
_LOOK_S = 0.5

Report = Mapping[str, Any]


class Samples:
    """About forty workloads in six namespaces."""

    def __init__(self, ground: Ground) -> None:
        """Nothing happens before `create`."""
        self.ground = ground
        self.images = {
            name: one.seen_at(ground.registry) for name, one in ground.world.images.items()
        }
        self.workloads = sample_workloads(ground.registry, ground.world.images)
        self._loaded = 0

    def create(self) -> None:
        """Create them and wait until all run, or have run."""
        for name in (LOAD, *(each["metadata"]["name"] for each in namespaces())):
            self.ground.node.create_namespace(name)
        create_all(self.ground.node.api, self.workloads)
        deadline = time.monotonic() + _RUN_S
        while waiting := self.waiting():
            if time.monotonic() > deadline:
                raise PreconditionError(f"after {_RUN_S:g} s do not run: {waiting}")
            time.sleep(_LOOK_S)

    def load(self, count: int) -> None:
        """Create so many further workloads, each with an image that nobody has seen."""
        made = []
        for base in islice(cycle(_BASES), count):
            self._loaded += 1
            tag = f"load-{self._loaded}"
            image = replace(touch(base, tag), tags=(tag,))
            pushed = push(self.ground.world.registry.address, [image])[base]
            part = Part(name="app", image=pushed.seen_at(self.ground.registry).reference)
            made.append(workload("Deployment", tag, [part], namespace=LOAD))
        create_all(self.ground.node.api, made)
        self.workloads += made

    def waiting(self) -> list[str]:
        """Return the Pods that neither run nor are done."""
        return [
            pod["metadata"]["name"]
            for pod in self.ground.world.items("/api/v1/pods")
            if pod["metadata"]["namespace"].startswith(PREFIX)
            and pod["status"].get("phase") not in ("Running", "Succeeded")
        ]

    def reports(self) -> list[Report]:
        """Return the reports about them."""
        return [
            one
            for one in self.ground.world.reports()
            if one["metadata"]["namespace"].startswith(PREFIX)
        ]

    def versions(self) -> dict[str, str]:
        """Return the version of each report: any write changes it."""
        return {
            f"{one['kind']}/{one['metadata']['namespace']}/{one['metadata']['name']}": one[
                "metadata"
            ]["resourceVersion"]
            for one in self.reports()
        }

    def faults(self) -> list[str]:
        """Return, as sentences, what lacks and what is not true."""
        world, reports = self.ground.world, self.reports()
        lacking = missing(
            self.workloads,
            reports,
            self.images,
            replica_sets=world.items("/apis/apps/v1/replicasets"),
        )
        pods = [
            pod
            for pod in world.items("/api/v1/pods")
            if pod["metadata"]["namespace"].startswith(PREFIX)
        ]
        return [*lacking, *unlike(ran(pods), reports), *self._untrue(reports)]

    def _untrue(self, reports: list[Report]) -> list[str]:
        """Return a sentence for each report that does not count what its image holds."""
        by_repository = {one.repository: name for name, one in self.images.items()}
        found = []
        for one in reports:
            name = by_repository[one["report"]["artifact"]["repository"]]
            wanted: object
            told: object
            match one["kind"]:
                case "VulnerabilityReport":
                    wanted, told = FOUND[name].before, counted(one["report"]["summary"])
                case "ExposedSecretReport":
                    wanted, told = FOUND[name].secrets, rules(one)
                case _:
                    continue
            if wanted != told:
                found.append(f"{one['kind']} {one['metadata']['name']}: {told}, not {wanted}")
        return found


def counted(summary: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of a report's summary by severity, those above 0."""
    return {
        name.removesuffix("Count").upper(): number
        for name, number in summary.items()
        if name != "noneCount" and number
    }


def rules(report: Report) -> tuple[str, ...]:
    """Return the rules that found a report's secrets, sorted."""
    return tuple(sorted(one["ruleID"] for one in report["report"]["secrets"]))
