"""A cluster with a thousand images of known content, a product at rest, and databases to publish.

Real parts: API server with etcd, registry, Valkey, `sluice run` with its own Trivy server. Only the
pulls are left out: what Trivy would have found in each image is put into its server's layer cache
before the product starts, and its record into Redis. No image is in the registry, so whoever asks
it for one is seen.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from common.model.errors import PreconditionError, SluiceError
from common.model.image import Inventory, Layers, Match, Os
from common.model.key import ImageKey
from common.model.redis_address import parse_redis_url
from common.ops.trivy_program import require_trivy
from common.queue.contract import Add, ImageUpdate, Settled
from common.queue.workqueue import WorkQueue
from common.settings.parse import parse
from common.state.connect import connect
from common.state.database import DatabaseTable
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox import bolt, controlplane, registry, vulndb
from sandbox.controlplane import ControlPlane
from sandbox.demo.product import CLUSTER, Product
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from sandbox.registry import Registry
from sandbox.valkey import Valkey
from tests.bench.dbupdate_content import Image, database, images
from worker.evidence.image.layer_cache import LayerCache
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.match_process import MatchProcess, MatchProcessConfig, free_port
from worker.evidence.image.vulnerability_database import DatabaseFolders
from worker.parts import scan_options

NAMESPACES = 10
GROUP = "aquasecurity.github.io"
_WRITERS = 8  # threads that create Pods
_BATCH = 64
_LONG_S = 1200.0
_BORN = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that an update meets."""

    place: Place
    plane: ControlPlane
    registry: Registry
    product: Product
    images: tuple[Image, ...]
    queue: WorkQueue
    ledger: Ledger
    databases: DatabaseTable

    def publish(self, number: int) -> str:
        """Move the registry's tag to a database; return its version."""
        folder = self.place.sub(f"database-{number}")
        version = build_database(folder, number)
        vulndb.push(self.registry.address, folder)
        return version

    def asked_of_registry(self) -> int:
        """Return how many requests there were for anything but a database."""
        known = (vulndb.REPOSITORY, vulndb.JAVA_REPOSITORY)
        return sum(
            request.repository not in known and request.path != "/v2/"
            for request in self.registry.requests()
        )

    def report_writes(self) -> int:
        """Return how many reports the API server stored since it started."""
        return sum(
            one.count
            for one in self.plane.metrics()
            if one.group == GROUP
            and one.verb in ("POST", "PUT", "PATCH", "APPLY", "DELETE")
            and one.code.startswith("2")
        )

    def etcd_bytes(self) -> int:
        """Return how many bytes etcd was sent: little else writes while an update runs."""
        where = urlsplit(self.plane.etcd_metrics_url)
        connection = http.client.HTTPConnection(where.netloc, timeout=10)
        connection.request("GET", where.path)
        text = connection.getresponse().read().decode()
        connection.close()
        (line,) = [
            one
            for one in text.splitlines()
            if one.startswith("etcd_network_client_grpc_received_bytes_total ")
        ]
        return int(float(line.rpartition(" ")[2]))

    def hashes(self) -> dict[str, str]:
        """Return the content hash of every vulnerability report."""
        found: dict[str, str] = {}
        page = {"limit": "50"}  # all at once are hundreds of MB, which the API server keeps
        while page:
            body = self.plane.api.get(f"/apis/{GROUP}/v1alpha1/vulnerabilityreports", **page)
            for one in body["items"]:
                meta = one["metadata"]
                stamp = meta["annotations"]["kube-sluice/content-hash"]
                found[f"{meta['namespace']}/{meta['name']}"] = stamp
            more = body["metadata"].get("continue")
            page = {"limit": "50", "continue": more} if more else {}
        return found

    def layers(self) -> list[Layers]:
        """Return what the match server is asked about each image."""
        return [layers_of(image) for image in self.images]


def build(place: Place, stack: Stack, *, number: int, say: Callable[[str], None]) -> World:
    """Bring it all up, with a true report for every image. Raises PreconditionError."""
    programs = find((*controlplane.PROGRAMS, *registry.PROGRAMS), say=say)
    store = Registry(place, programs, stack).start()
    plane = ControlPlane(place, programs, stack).start()
    valkey = Valkey(place, stack).start()
    known = tuple(images(number))
    product = Product(place, stack, redis_url=valkey.socket_url, environ=_environ(plane, store))
    client = connect(parse_redis_url(valkey.socket_url), name="bench")
    names = Names(CLUSTER)
    world = World(
        place=place,
        plane=plane,
        registry=store,
        product=product,
        images=known,
        queue=WorkQueue(client, names),
        ledger=Ledger(client, names),
        databases=DatabaseTable(client, names),
    )
    say(f"telling Trivy's server what is in {number} images")
    world.publish(0)
    java = place.sub("java")
    vulndb.build_java(java, updated_at=_BORN)
    vulndb.push_java(store.address, java)
    _fill(world)
    say(f"creating {number} Pods")
    _create_pods(world)
    say("starting the product; it writes its first reports")
    product.start()
    product.await_sweep(0, timeout_s=_LONG_S)
    product.await_quiet(timeout_s=_LONG_S)
    return world


def build_database(folder: Path, number: int) -> str:
    """Write a database below `folder` as Trivy keeps it; return its version."""
    born = _BORN + timedelta(hours=6 * number)
    version = born.strftime("%Y-%m-%dT%H:%M:%SZ")
    (folder / "db").mkdir(parents=True, exist_ok=True)
    bolt.write(folder / "db" / "trivy.db", database(number))
    told = {
        "Version": 2,
        "UpdatedAt": version,
        "NextUpdate": (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "DownloadedAt": version,
    }
    (folder / "db" / "metadata.json").write_bytes(orjson.dumps(told))
    return version


def layers_of(image: Image) -> Layers:
    """Return what the match server is asked about an image."""
    return Layers(
        artifact_id=image.artifact_id,
        blob_ids=tuple(image.blobs),
        target=f"registry.example/app-{image.number}",
    )


def _environ(plane: ControlPlane, store: Registry) -> dict[str, str]:
    return {
        "SLUICE_KBOM_ENABLED": "false",  # its match would count as one image's
        "KUBECONFIG": str(plane.kubeconfig),
        "TRIVY_DB_REPOSITORY": f"{store.address}/{vulndb.REPOSITORY}:{vulndb.TAG}",
        "TRIVY_JAVA_DB_REPOSITORY": f"{store.address}/{vulndb.JAVA_REPOSITORY}:{vulndb.JAVA_TAG}",
        "TRIVY_INSECURE": "true",
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
        "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
        "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
        "SLUICE_LOG_FORMAT": "json",
    }


# --- what is known before the product starts ------------------------------------------------------


def _fill(world: World) -> None:
    """Put the images into the layer cache that the product's server will use, and match them."""
    root = world.product.data / "match"
    (root / "db").mkdir(parents=True)
    unpacked = world.place.sub("unpacked")
    build_database(unpacked, 0)
    trivy = require_trivy("", os.environ.get("PATH", os.defpath))
    config = MatchProcessConfig(
        trivy=trivy,
        host="127.0.0.1",
        port=free_port("127.0.0.1", 0),
        advertised_url="",
        environment={},
        home=world.place.sub("fill"),
    )
    process = MatchProcess(config)
    layers = LayerCache(root)
    layers.serve_by(trivy.version)
    folders = DatabaseFolders(root / "db", layers)
    first = folders.add(unpacked)
    folders.link(first)
    process.start(first)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda image: _put(config.url, image), world.images))
        matcher = TwirpMatcher(config.url)
        for at in range(0, len(world.images), _BATCH):
            part = world.images[at : at + _BATCH]
            found = matcher.match_many([layers_of(image) for image in part])
            _store(world, part, found, scanner_version=trivy.version)
        matcher.close()
    finally:
        process.stop()


def _put(url: str, image: Image) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    info = {"schema_version": 1, "architecture": "amd64", "os": "linux"}
    calls: list[tuple[str, Mapping[str, Any]]] = [
        ("PutArtifact", {"artifact_id": image.artifact_id, "artifact_info": info}),
        *(("PutBlob", {"diff_id": key, "blob_info": blob}) for key, blob in image.blobs.items()),
    ]
    for method, body in calls:
        path = f"/twirp/trivy.cache.v1.Cache/{method}"
        connection.request("POST", path, orjson.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise PreconditionError(f"Trivy's server answers {method} with {answer.status}")
    connection.close()


def _store(
    world: World,
    part: Sequence[Image],
    found: Sequence[Match | SluiceError],
    *,
    scanner_version: str,
) -> None:
    """Store records as an image's own run would have."""
    options = scan_options(parse(world.product.environ())).digest()
    keys = {
        ImageKey(digest=image.digest, platform="linux-amd64", options=options): image
        for image in part
    }
    matches = dict(zip((image.number for image in part), found, strict=True))
    world.queue.add([Add(key=key) for key in keys])
    claims = world.queue.claim("scan", "bench", limit=len(keys), lease_s=60)
    done = []
    for claim in claims:
        if not isinstance(claim.key, ImageKey):
            raise TypeError(f"not an image: {claim.key}")
        image = keys[claim.key]
        match = matches[image.number]
        if isinstance(match, SluiceError):
            raise match
        update = ImageUpdate(inventory=_inventory(image, scanner_version), match=match)
        done.append((claim, Settled(fingerprint="", epoch=1, outcome="Converged", image=update)))
    world.queue.complete("bench", done)


def _inventory(image: Image, scanner_version: str) -> Inventory:
    """Return an inventory with an SBOM of the right size."""
    layers = layers_of(image)
    components = [
        {
            "bom-ref": f"pkg:generic/lib{one}@1.2.3",
            "type": "library",
            "name": f"lib{one}",
            "version": "1.2.3",
            "purl": f"pkg:generic/lib{one}@1.2.3",
        }
        for one in range(image.packages)
    ]
    return Inventory(
        scanner_version=scanner_version,
        artifact_id=layers.artifact_id,
        blob_ids=layers.blob_ids,
        target=layers.target,
        os=Os(family="debian", name="12"),
        covered=True,
        has_packages=True,
        sbom={"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components},
    )


def _create_pods(world: World) -> None:
    for number in range(NAMESPACES):
        world.plane.create_namespace(f"bench-{number}")
    world.plane.add_node("bench")
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(lambda image: _create_pod(world.plane, image), world.images))


def _create_pod(plane: ControlPlane, image: Image) -> None:
    """Create a Pod and say what a kubelet would: which image runs."""
    name, reference = f"app-{image.number}", f"registry.example/app-{image.number}:1"
    path = f"/api/v1/namespaces/bench-{image.number % NAMESPACES}/pods"
    spec = {"nodeName": "bench", "containers": [{"name": "app", "image": reference}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    plane.api.create(path, body)
    told = {
        "name": "app",
        "image": reference,
        "imageID": f"registry.example/app-{image.number}@{image.digest}",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}},
    }
    plane.api.patch(
        f"{path}/{name}/status", {"status": {"phase": "Running", "containerStatuses": [told]}}
    )
