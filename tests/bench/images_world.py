"""A cluster whose Pods run the images, and the product in parts: eight scan workers, all cold.

Real parts: API server, registry, Valkey, watcher, workers, Trivy. Only the kubelet is left out: the
Pods' status is written as one would. Each scan worker has a scanner of its own, as a pod does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.model.key import ImageKey
from common.model.redis_address import parse_redis_url
from common.reports.crds import definitions
from common.settings.parse import parse
from common.state.connect import connect
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox import controlplane, registry, vulndb
from sandbox.accesslog import Request
from sandbox.controlplane import ControlPlane
from sandbox.images import Pushed, push
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.programs import find
from sandbox.registry import Registry
from sandbox.valkey import Valkey
from tests.bench.images_content import imaged, images
from worker.parts import scan_options

CLUSTER = "bench"
NAMESPACES = 10
GROUP = "aquasecurity.github.io"
_ROOT = Path(__file__).parents[2]
_CREATORS = 8
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A scan worker and its scanner."""

    worker: Process
    scanner: Process

    def kill(self) -> None:
        """End both at once, as a node that is lost does."""
        self.worker.kill()
        self.scanner.kill()

    @property
    def pulls(self) -> bool:
        """Whether a Trivy of the scanner runs now."""
        children = Path(f"/proc/{self.scanner.pid}/task").glob("*/children")
        return any(path.read_text().strip() for path in children)


@dataclass(kw_only=True)
class World:
    """Everything that a run needs."""

    place: Place
    stack: Stack
    plane: ControlPlane
    registry: Registry
    environ: Mapping[str, str]
    pushed: Sequence[Pushed]
    names: Names
    ledger: Ledger
    images: ImageTable
    workloads: int
    processes: list[Process] = field(default_factory=list)

    def start(self, name: str, *argv: str, **environ: str) -> Process:
        """Start one part of the product; its folder is its own."""
        folder = self.place.sub(name)
        command = Command(
            name=name,
            argv=(sys.executable, "-m", *argv),
            log=self.place.log(name),
            environ={**self.environ, "SLUICE_DATA_DIR": str(folder), **environ},
            folder=_ROOT,
            stop_within_s=40,
        )
        process = self.stack.push(Process(command)).start()
        self.processes.append(process)
        return process

    def start_pair(self, number: int, **environ: str) -> Pair:
        """Start a scan worker with a scanner of its own."""
        socket = str(self.place.folder / f"scanner-{number}.sock")
        more = {"SLUICE_SCANNER_SOCKET": socket, **environ}
        scanner = self.start(f"scanner-{number}", "worker.scanner", **more)
        worker = self.start(f"scan-{number}", "worker", SLUICE_WORKER_POOLS="scan", **more)
        return Pair(worker=worker, scanner=scanner)

    def requests(self) -> list[Request]:
        """Return what the registry was asked for, but for databases."""
        known = (vulndb.REPOSITORY, vulndb.JAVA_REPOSITORY)
        return [
            one
            for one in self.registry.requests()
            if one.method in ("GET", "HEAD")
            and one.repository not in known
            and (one.repository or one.path.startswith("/v2"))
            and not one.user_agent.startswith("sandbox")
        ]

    def keys(self) -> list[ImageKey]:
        """Return the images' keys."""
        options = scan_options(parse(self.environ)).digest()
        return [
            ImageKey(digest=one.digest, platform="linux-amd64", options=options)
            for one in self.pushed
        ]

    def known(self) -> int:
        """Return how many images have inventory and match."""
        return sum(self.images.get(key).ready for key in self.keys())

    def reports(self) -> int:
        """Return how many vulnerability reports there are."""
        items = self.plane.api.get(f"/apis/{GROUP}/v1alpha1/vulnerabilityreports?limit=10000")
        return len(items["items"])

    def await_until(self, done: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait; False when the time is over."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        return True


def build(
    place: Place, stack: Stack, *, number: int, workloads: int, say: Callable[[str], None]
) -> World:
    """Bring up the cluster with its Pods; nothing of the product runs. Raises PreconditionError."""
    programs = find((*controlplane.PROGRAMS, *registry.PROGRAMS), say=say)
    store = Registry(place, programs, stack).start()
    plane = ControlPlane(place, programs, stack).start()
    valkey = Valkey(place, stack).start()
    say(f"pushing {number} images, creating {workloads} Pods")
    pushed = tuple(push(store.address, images(number)).values())
    _publish_database(place, store)
    session = Session.auto(str(plane.kubeconfig), "")
    Cluster(session).install_crds(definitions())
    session.close()
    client, names = connect(parse_redis_url(valkey.socket_url), name="bench"), Names(CLUSTER)
    world = World(
        place=place,
        stack=stack,
        plane=plane,
        registry=store,
        environ=_environ(place, plane, store, valkey),
        pushed=pushed,
        names=names,
        ledger=Ledger(client, names),
        images=ImageTable(client, names),
        workloads=workloads,
    )
    _create_pods(world)
    return world


def _environ(place: Place, plane: ControlPlane, store: Registry, valkey: Valkey) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - as a child would have it
        "KUBECONFIG": str(plane.kubeconfig),
        "SLUICE_REDIS_URL": valkey.socket_url,
        "SLUICE_CLUSTER": CLUSTER,
        "SLUICE_LEASE_S": "5",
        "SLUICE_LOG_FORMAT": "json",
        "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
        "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
        # The parts have a data folder each, as Pods do, and so no place in common for the token.
        "SLUICE_TRIVY_TOKEN_FILE": str(place.sub("match-token") / "token"),
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_SBOM_GENERATION_ENABLED": "false",
        "OPERATOR_EXPOSED_SECRET_SCANNER_ENABLED": "true",
        "TRIVY_DB_REPOSITORY": f"{store.address}/{vulndb.REPOSITORY}:{vulndb.TAG}",
        "TRIVY_JAVA_DB_REPOSITORY": f"{store.address}/{vulndb.JAVA_REPOSITORY}:{vulndb.JAVA_TAG}",
        "TRIVY_INSECURE": "true",
    }


def _publish_database(place: Place, store: Registry) -> None:
    folder = place.sub("database")
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
    vulndb.build(folder, level=1, updated_at=at)
    vulndb.push(store.address, folder)


def _create_pods(world: World) -> None:
    for number in range(NAMESPACES):
        world.plane.create_namespace(f"bench-{number}")
    world.plane.add_node("bench")
    with ThreadPoolExecutor(_CREATORS) as pool:
        list(pool.map(lambda number: _create_pod(world, number), range(world.workloads)))


def _create_pod(world: World, number: int) -> None:
    """Create a Pod and say what a kubelet would: which image runs."""
    reference, image_id = imaged(world.pushed[number % len(world.pushed)])
    path, name = f"/api/v1/namespaces/bench-{number % NAMESPACES}/pods", f"app-{number}"
    spec = {"nodeName": "bench", "containers": [{"name": "app", "image": reference}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    world.plane.api.create(path, body)
    told = {
        "name": "app",
        "image": reference,
        "imageID": image_id,
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}},
    }
    status = {"status": {"phase": "Running", "containerStatuses": [told]}}
    world.plane.api.patch(f"{path}/{name}/status", status)
