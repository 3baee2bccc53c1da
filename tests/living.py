"""A whole product at work in a world of its own, and the questions that tests ask it.

Real parts all of them: API server with controllers, registry, Valkey, Trivy, `sluice run`; the
kubelet alone is a stand-in. Tests that share one `Living` use a namespace each.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from common.model.errors import PreconditionError
from common.model.facts import Fact
from common.model.redis_address import parse_redis_url
from common.state.circuits import CircuitTable, Trouble
from common.state.connect import Client, connect
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.settled import SettledTable
from sandbox import vulndb
from sandbox.api import ApiError
from sandbox.demo.product import CLUSTER, Product
from sandbox.demo.world import GROUP, REPORTS, World, build, create_all
from sandbox.manifests import Manifest, Part, workload
from sandbox.place import Place
from sandbox.processes import Stack

T = TypeVar("T")

# A loaded machine with two cores needs a tenth of it.
PATIENCE_S = 60.0
_LOOK_S = 0.1


def eventually(ask: Callable[[], T], *, within_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and return it; fail with the last answer when it never is."""
    deadline = time.monotonic() + within_s
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s; the last answer was {found!r}")
        time.sleep(_LOOK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """The world, the product, and how to look at them."""

    place: Place
    world: World
    product: Product

    def namespace(self) -> str:
        """Return a fresh namespace in which Pods can be made."""
        name = f"case-{secrets.token_hex(3)}"
        self.world.create_namespace(name)
        return name

    def image(self, name: str) -> str:
        """Return the reference of a sample image."""
        return self.world.images[name].reference

    def deploy(self, namespace: str, name: str, *images: str, pull: str = "") -> Manifest:
        """Create a Deployment with containers c0, c1, … of these images.

        `pull` is the kubelet's policy; by default a node keeps what it pulled under a tag once.
        """
        parts = [Part(name=f"c{number}", image=image) for number, image in enumerate(images)]
        made = workload("Deployment", name, parts, namespace=namespace)
        if pull:
            for container in made["spec"]["template"]["spec"]["containers"]:
                container["imagePullPolicy"] = pull
        create_all(self.world.plane.api, [made])
        return made

    def reports(self, namespace: str, kind: str = "VulnerabilityReport") -> dict[str, Any]:
        """Return the stored reports of a namespace by name."""
        path = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{REPORTS[kind]}"
        items = self.world.items(path)
        return {item["metadata"]["name"]: item for item in items}

    def of(self, namespace: str, container: str = "c0", **labels: str) -> list[Any]:
        """Return the vulnerability reports about a container."""
        return [
            report
            for report in self.reports(namespace).values()
            if report["metadata"]["labels"]["trivy-operator.container.name"] == container
        ]

    def await_report(self, namespace: str, container: str = "c0") -> Any:  # JSON
        """Wait for the first vulnerability report about a container."""
        return eventually(lambda: self.of(namespace, container))[0]

    def events(self, namespace: str) -> list[Any]:
        """Return the Events that the product emitted."""
        items = self.world.plane.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return [one for one in items if one["source"].get("component") == "kube-sluice"]

    def reasons(self, namespace: str) -> set[str]:
        """Return the reasons of those Events."""
        return {one["reason"] for one in self.events(namespace)}

    def ledger(self) -> Ledger:
        """Return the product's ledger."""
        return Ledger(self.redis(), Names(CLUSTER))

    def facts(self, since_s: float) -> list[Fact]:
        """Return what the ledger has since then, by Redis' clock, oldest first."""
        return [fact for _, fact in self.ledger().tail(5000) if fact.at >= since_s]

    def images(self) -> ImageTable:
        """Return the product's image table."""
        return ImageTable(self.redis(), Names(CLUSTER))

    def circuits(self) -> list[Trouble]:
        """Return the sources in trouble."""
        return CircuitTable(self.redis(), Names(CLUSTER)).troubles()

    def settled(self) -> list[tuple[str, str]]:
        """Return every settled key with its outcome."""
        table = SettledTable(self.redis(), Names(CLUSTER))
        return [(str(key), row.outcome) for key, row in table.all()]

    def flush_redis(self) -> None:
        """Lose everything that Redis knows."""
        self.redis().flushall()

    def redis(self) -> Client:
        """Return the product's Redis."""
        address = parse_redis_url(self.product.environ()["SLUICE_REDIS_URL"])
        return connect(address, name="test")

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Merge a patch into an object."""
        self.world.plane.api.patch(path, body)

    def delete_pods(self, namespace: str) -> None:
        """Delete every Pod of a namespace; their owners make new ones."""
        for pod in self.world.plane.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]:
            with contextlib.suppress(ApiError):
                self.world.plane.api.delete(
                    f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
                )

    def pids(self, word: str) -> list[int]:
        """Return the processes of this product whose command line holds `word`."""
        mine = str(self.product.data).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if word.encode() in line and mine in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return sorted(found)

    def metric(self, name: str, *labels: str) -> float:
        """Return the sum of a metric's samples whose labels contain all of `labels`.

        0 before the product says where it serves them.
        """
        try:
            text = _get(self.product.metrics_url())
        except PreconditionError:
            return 0.0
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(name) and all(label in line for label in labels)
        )


def _get(url: str) -> str:
    """Return a page of the product."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 # our own loopback URL
        return str(answer.read().decode())


@contextlib.contextmanager
def living(*, node: bool = False, **settings: str) -> Iterator[Living]:
    """Bring everything up, with these settings for the product, and take it down again.

    With `node` the kubelet is a real one, which needs root.
    """
    with Place() as place, Stack() as stack:
        world = build(place, stack, node=node, say=lambda _text: None)
        folder = place.sub("database")
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
        vulndb.build(folder, level=1, updated_at=at)
        vulndb.push(world.registry.address, folder)
        vulndb.build_java(folder, updated_at=at)
        vulndb.push_java(world.registry.address, folder)
        environ = {**world.environ(), "SLUICE_LEASE_S": "3", "SLUICE_IMAGE_WAIT_S": "4", **settings}
        product = Product(place, stack, redis_url=world.valkey.socket_url, environ=environ)
        product.start()
        try:
            yield Living(place=place, world=world, product=product)
        finally:
            if os.environ.get("SLUICE_KEEP_LOG"):
                Path(os.environ["SLUICE_KEEP_LOG"]).write_bytes(product.log.read_bytes())
