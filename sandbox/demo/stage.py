"""Plays the demo: brings the world up, lets the product work, disturbs it, and measures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from common.model.errors import PreconditionError
from sandbox import vulndb
from sandbox.demo.coverage import missing
from sandbox.demo.product import Product
from sandbox.demo.proof import Measured, Phase, Seen, Work
from sandbox.demo.running import ran, unfinished, unlike
from sandbox.demo.world import World, create_all
from sandbox.expectation import Expectation, expected
from sandbox.place import Place
from sandbox.workloads import EPHEMERAL_POD, ephemeral_patch, namespaces, sample_workloads

# Generous: a loaded machine with two cores needs a third of each.
_FIRST_S, _PHASE_S = 120.0, 60.0
_LOOK_S = 0.5
_MERGE = "application/strategic-merge-patch+json"


@dataclass
class Stage:
    """One performance."""

    place: Place
    world: World
    product: Product
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    workloads: list[dict[str, Any]] = field(default_factory=list)
    _begin: tuple[float, Work, Seen] | None = None  # None: nothing was created yet

    def publish_database(self, level: vulndb.Level, *, at: datetime) -> None:
        """Push one version of the sample database where the product looks for it."""
        folder = self.place.sub(f"database-{level}")
        vulndb.build(folder, level=level, updated_at=at)
        vulndb.push(self.world.registry.address, folder)
        if level == 1:
            vulndb.build_java(folder, updated_at=at)
            vulndb.push_java(self.world.registry.address, folder)

    def create_workloads(self) -> None:
        """Create namespaces and workloads, as a user would."""
        address, images = self.world.registry.address, self.world.images
        self._begin = self._now()  # the product works while a real node still starts Pods
        for each in namespaces():
            self.world.create_namespace(each["metadata"]["name"])
        self.workloads = list(sample_workloads(address, images))
        create_all(self.world.plane.api, self.workloads)
        path, patch = ephemeral_patch(address, images)
        self.world.await_running(*EPHEMERAL_POD_PLACE)
        self.world.plane.api.patch(path, patch)

    def expectation(self) -> Expectation:
        """Return what a complete scan must give, computed from the manifests alone."""
        address, images = self.world.registry.address, self.world.images
        _, patch = ephemeral_patch(address, images)
        return expected(self.workloads, images, patches=[patch])

    def missing(self) -> list[str]:
        """Return the reports that are not stored yet."""
        address, images = self.world.registry.address, self.world.images
        _, patch = ephemeral_patch(address, images)
        namespace, pod = EPHEMERAL_POD_PLACE
        return missing(
            self.workloads,
            self.world.reports(),
            images,
            replica_sets=self.world.plane.api.get("/apis/apps/v1/replicasets")["items"],
            ephemeral=[(namespace, pod, one) for one in patch["spec"]["ephemeralContainers"]],
        )

    def first_pass(self) -> Phase:
        """Let the product scan everything; return what that took since the first was created."""
        begin = self._begin or self._now()
        deadline = time.monotonic() + _FIRST_S
        told, left = 0, self.missing()
        while left and time.monotonic() < deadline:
            if len(left) != told:
                self.say(f"  {len(left)} reports to go")
            told = len(left)
            self.product.check()
            time.sleep(_LOOK_S)
            left = self.missing()
        self.product.await_quiet(timeout_s=_PHASE_S)
        return self._since(begin)

    def second_pass(self) -> Phase:
        """Force a sweep over everything; nothing changed."""
        return self._phase(lambda: self.product.force_sweep(timeout_s=_PHASE_S))

    def restart(self) -> Phase:
        """Stop every process of the product and start all again; nothing changed."""

        def again() -> None:
            sweeps = self.product.sweeps()
            self.product.restart()
            self.product.await_sweep(sweeps, timeout_s=_PHASE_S)

        return self._phase(again)

    def restart_redis(self) -> Phase:
        """Restart Redis with its data under the running product."""

        def again() -> None:
            sweeps = self.product.sweeps()
            self.world.valkey.restart()
            self.product.await_sweep(sweeps, timeout_s=_PHASE_S)

        return self._phase(again)

    def update_database(self) -> Phase:
        """Publish a later database and have the product look for it."""

        def update() -> None:
            before = self.product.database()
            self.publish_database(2, at=datetime.now(UTC).replace(microsecond=0))
            self.product.sluice("database", "check")
            if self.product.database() == before:
                raise PreconditionError(f"the product still uses the database of {before}")

        return self._phase(update)

    def measured(self, phases: Mapping[str, Phase]) -> Measured:
        """Put everything together."""
        wanted = self.expectation()
        reports = self.world.reports()
        digests = ran(self.world.items("/api/v1/pods"))
        return Measured(
            workloads=wanted.workloads,
            containers=wanted.containers,
            distinct_images=len(wanted.images),
            pulls_per_image={
                digest: count
                for digest, count in self.world.pulls().items()
                if digest in wanted.images
            },
            reports=dict(Counter(report["kind"] for report in reports)),
            missing=self.missing(),
            ran=len(digests),
            unlike=unlike(digests, reports),
            unfinished=unfinished(self.world.items("/apis/batch/v1/jobs")),
            changed_by_update=wanted.changed_by_update,
            seconds=self.seconds,
            **phases,
        )

    def _phase(self, act: Callable[[], None]) -> Phase:
        begin = self._now()
        act()
        self.product.await_quiet(timeout_s=_PHASE_S)
        return self._since(begin)

    def _now(self) -> tuple[float, Work, Seen]:
        return time.monotonic(), self.product.work(), self.world.seen()

    def _since(self, begin: tuple[float, Work, Seen]) -> Phase:
        at, work, seen = begin
        return Phase(
            work=self.product.work() - work,
            seen=self.world.seen() - seen,
            seconds=round(time.monotonic() - at, 1),
        )


EPHEMERAL_POD_PLACE = (f"sample-{EPHEMERAL_POD[0]}", EPHEMERAL_POD[1])
FIRST_DATABASE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
