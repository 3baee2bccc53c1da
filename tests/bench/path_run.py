"""One run of the path: a cluster, a product at rest, 40 Deployments, and everything measured.

Real parts all of them. On a node the kubelet runs the Pods; the stand-in only says so, and then no
CPU goes to containers.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from common.model.facts import Fact
from common.model.redis_address import parse_redis_url
from common.state.connect import connect
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox import vulndb
from sandbox.demo.product import CLUSTER, Product
from sandbox.demo.world import REPORTS, World, build
from sandbox.images import Pushed, push
from sandbox.node import Node
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.workloads import bench_deployments, namespaces
from tests.bench import path_images
from tests.bench.path_watch import IMAGE_ID, About, Cluster, Sightings
from tests.bench.process_tree import cpu_seconds, machine_cpu_seconds

PREFIX = "bench"
DEPLOYMENTS = 40
_COMPLETE_S = 240.0  # the peer's default needs 114 s for the same
_START_S = 120.0
_LOOK_S = 0.1
_REST_S = 8.0  # a fresh node works on itself for some seconds; with the product it has had them
_LEDGER = 100_000  # more facts than a run makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What had been used up at one moment."""

    at: float
    product_cpu_s: float
    redis_cpu_s: float
    machine_cpu_s: float
    own_cpu_s: float  # of this process and all below it: product, cluster and benchmark
    node_cpu_s: float  # all of the cluster with its containers; 0 without a node
    registry_requests: int
    api_requests: Mapping[str, int]  # `verb resource` → number; empty without a node's audit log


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """One Deployment and what became of it."""

    namespace: str
    name: str
    digest: str  # of its image
    created_at: float  # Unix seconds, when the API server had answered
    workload: str = ""  # its ReplicaSet
    told_at: float = 0.0  # when our own watch saw the image that its Pod runs
    reported_at: Mapping[str, float] = field(default_factory=dict)  # kind → Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one run gave."""

    node: bool
    deployed: tuple[Deployed, ...]
    facts: tuple[Fact, ...]  # since the first creation
    before: Counters
    after: Counters
    reports: tuple[Mapping[str, Any], ...]  # the vulnerability reports


def play_alone(*, say: Callable[[str], None]) -> list[float]:
    """Create the same Deployments on a node without the product.

    Return, for each, the seconds until the kubelet told what runs: nobody who reports on what runs
    can be faster. Raises PreconditionError.
    """
    with Place() as place, Stack() as stack:
        world, pushed = _world(place, stack, node=True, say=say)
        plane = _cluster(world)
        time.sleep(_REST_S)
        say("creating 40 Deployments on a node without the product")
        with Sightings(plane, kinds=()) as sightings:
            deployed = _create_all(plane, pushed)
            _await(lambda: sightings.count(IMAGE_ID) >= len(deployed), lambda: None)
            seen = sightings.at()
        told = _completed(world, deployed, seen)
        return [one.told_at - one.created_at for one in told if one.told_at]


def play(*, node: bool, say: Callable[[str], None]) -> Run:
    """Play one run in a fresh world. Raises PreconditionError when that cannot be had."""
    with Place() as place, Stack() as stack:
        world, pushed = _world(place, stack, node=node, say=say)
        _publish_database(place, world)
        product = _started(place, stack, world)
        say("the product is synced with a database and at rest; creating 40 Deployments")
        return _measure(world, product, pushed)


def _world(
    place: Place, stack: Stack, *, node: bool, say: Callable[[str], None]
) -> tuple[World, Mapping[str, Pushed]]:
    """Return a cluster with empty namespaces and a registry with the images."""
    world = build(place, stack, node=node, say=say)
    pushed = push(world.registry.address, path_images.images())
    for space in namespaces(PREFIX):
        world.create_namespace(space["metadata"]["name"])
    return world, pushed


def _publish_database(place: Place, world: World) -> None:
    folder = place.sub("database")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
    vulndb.build(folder, level=1, updated_at=at)
    vulndb.push(world.registry.address, folder)
    vulndb.build_java(folder, updated_at=at)
    vulndb.push_java(world.registry.address, folder)


def _started(place: Place, stack: Stack, world: World) -> Product:
    """Start the product and wait until it is at rest."""
    environ = world.environ()
    if isinstance(world.plane, Node):
        environ["KUBECONFIG"] = str(world.plane.product_kubeconfig)
    product = Product(place, stack, redis_url=world.valkey.socket_url, environ=environ)
    product.start()
    product.await_sweep(0, timeout_s=_START_S)
    deadline = time.monotonic() + _START_S
    while not product.database() and time.monotonic() < deadline:
        product.check()
        time.sleep(_LOOK_S)
    product.await_quiet(timeout_s=_START_S)
    return product


def _measure(world: World, product: Product, pushed: Mapping[str, Pushed]) -> Run:
    plane = _cluster(world)
    with Sightings(plane) as sightings:
        before = _counters(world, product, pushed)
        deployed = _create_all(plane, pushed)
        wanted = len(deployed) * len(REPORTS)
        _await(lambda: sightings.count(*REPORTS) >= wanted, product.check)
        product.await_quiet(timeout_s=_COMPLETE_S)
        after = _counters(world, product, pushed)
        seen = sightings.at()
    began = deployed[0].created_at
    return Run(
        node=isinstance(plane, Node),
        deployed=_completed(world, deployed, seen),
        facts=tuple(fact for fact in _facts(product) if fact.at >= began - 1),
        before=before,
        after=after,
        reports=tuple(each for each in world.reports() if each["kind"] == "VulnerabilityReport"),
    )


def _cluster(world: World) -> Cluster:
    if not isinstance(world.plane, Cluster):
        raise TypeError("the path is measured on a cluster of our own")
    return world.plane


def _await(done: Callable[[], bool], check: Callable[[], None]) -> None:
    """Wait until `done`; after 240 s go on, and let the results tell what is missing."""
    deadline = time.monotonic() + _COMPLETE_S
    while not done() and time.monotonic() < deadline:
        check()
        time.sleep(_LOOK_S)


def _create_all(plane: Cluster, pushed: Mapping[str, Pushed]) -> list[Deployed]:
    """Create the Deployments one after the other, as fast as the API server answers."""
    address = next(iter(pushed.values())).registry
    manifests = bench_deployments(
        address, pushed, count=DEPLOYMENTS, kinds=len(pushed), prefix=PREFIX
    )
    return [_create(plane, one, pushed) for one in manifests]


def _create(plane: Cluster, manifest: Mapping[str, Any], pushed: Mapping[str, Pushed]) -> Deployed:
    metadata = manifest["metadata"]
    image = manifest["spec"]["template"]["spec"]["containers"][0]["image"]
    path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments"
    plane.api.create(path, manifest)
    return Deployed(
        namespace=metadata["namespace"],
        name=metadata["name"],
        digest=next(one.digest for one in pushed.values() if image in one.references),
        created_at=time.time(),
    )


def _counters(world: World, product: Product, pushed: Mapping[str, Pushed]) -> Counters:
    node = world.plane if isinstance(world.plane, Node) else None
    repositories = {one.repository for one in pushed.values()}
    return Counters(
        at=time.time(),
        product_cpu_s=cpu_seconds(product.pid),
        redis_cpu_s=cpu_seconds(world.valkey.pid),
        machine_cpu_s=machine_cpu_seconds(),
        own_cpu_s=cpu_seconds(os.getpid()),
        node_cpu_s=node.cpu_seconds() if node else 0.0,
        registry_requests=sum(
            request.repository in repositories
            and request.method in ("GET", "HEAD")
            and not request.user_agent.startswith(("containerd", "sandbox"))
            for request in world.registry.requests()
        ),
        api_requests=Counter(
            f"{one.verb} {one.resource or 'other'}" for one in (node.audited() if node else ())
        ),
    )


def _completed(
    world: World, deployed: list[Deployed], seen: Mapping[About, float]
) -> tuple[Deployed, ...]:
    """Return the Deployments with their ReplicaSets, reports and Pods."""
    sets = {
        (one["metadata"]["namespace"], owner["name"]): one["metadata"]["name"]
        for one in world.items("/apis/apps/v1/replicasets")
        for owner in one["metadata"].get("ownerReferences", ())
    }
    found = []
    for one in deployed:
        name = sets.get((one.namespace, one.name), "")
        times = {
            kind: seen[kind, one.namespace, name]
            for kind in REPORTS
            if (kind, one.namespace, name) in seen
        }
        found.append(
            Deployed(
                namespace=one.namespace,
                name=one.name,
                digest=one.digest,
                created_at=one.created_at,
                workload=name,
                told_at=seen.get((IMAGE_ID, one.namespace, name), 0.0),
                reported_at=times,
            )
        )
    return tuple(found)


def _facts(product: Product) -> list[Fact]:
    address = parse_redis_url(product.environ()["SLUICE_REDIS_URL"])
    ledger = Ledger(connect(address, name="bench"), Names(CLUSTER))
    return [fact for _, fact in ledger.tail(_LEDGER)]
