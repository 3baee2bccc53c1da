"""The sandbox as one container: `python -m sandbox.stand FOLDER KUBECONFIG`; stays until SIGTERM.

A control plane with the report definitions, a stand-in for the kubelet, a registry with sample
images and a sample vulnerability database, and about 40 workloads. Other containers reach it by
this container's name: the API server at port 6443, the registry at 5000. KUBECONFIG is written
last: who finds it may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from common.model.errors import PreconditionError
from common.reports.crds import definitions
from sandbox import controlplane, registry, vulndb
from sandbox.api import ApiError
from sandbox.controlplane import ControlPlane, kubeconfig
from sandbox.demo.stage import FIRST_DATABASE
from sandbox.demo.world import create_all
from sandbox.images import push_samples
from sandbox.kubelet import Kubelet
from sandbox.node_forward import serve
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from sandbox.registry import Registry
from sandbox.workloads import namespaces, sample_workloads

PROGRAMS = (*controlplane.PROGRAMS, *registry.PROGRAMS)
NAME = "sandbox"  # the API server's certificate knows it
SERVER_PORT, REGISTRY_PORT = 6443, 5000
_PRECONDITION = 3
_CONFLICT = 409
_BACKLOG = 256
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def main(arguments: Sequence[str]) -> int:
    """Bring everything up and wait; with `programs FOLDER` put the programs there instead."""
    try:
        if arguments[:1] == ["programs"]:
            gather(find(PROGRAMS, say=_say), Path(arguments[1]))
            return 0
        folder, target = map(Path, arguments)
        with Place(folder) as place, Stack() as stack:
            target.unlink(missing_ok=True)
            _bring_up(place, stack, target)
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                threading.Event().wait()
            target.unlink()
    except PreconditionError as error:
        _say(f"error: {error}")
        return _PRECONDITION
    return 0


def gather(programs: Mapping[str, Path], folder: Path) -> None:
    """Copy the programs to `folder`; one that has several names is copied once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        real = path.resolve()
        if not (folder / real.name).exists():
            shutil.copy(real, folder / real.name)
        if name != real.name:
            (folder / name).symlink_to(real.name)


def _bring_up(place: Place, stack: Stack, target: Path) -> None:
    programs = find(PROGRAMS, say=_say)
    images = Registry(place, programs, stack).start()
    plane = ControlPlane(place, programs, stack).start()
    address = f"{NAME}:{REGISTRY_PORT}"
    _open_ways(
        {
            SERVER_PORT: int(plane.server.rpartition(":")[2]),
            REGISTRY_PORT: int(images.address.rpartition(":")[2]),
        }
    )
    Kubelet(plane, stack).start()
    _publish_database(place.sub("database"), images.address)
    pushed = push_samples(address)
    for definition in definitions():
        with _or_there():
            plane.api.create(_DEFINITIONS, definition)
    for each in namespaces():
        with _or_there():
            plane.create_namespace(each["metadata"]["name"])
    for workload in sample_workloads(address, pushed):
        with _or_there():
            create_all(plane.api, [workload])
    made = target.with_suffix(".new")
    made.touch(mode=0o600)
    made.write_bytes(kubeconfig(f"https://{NAME}:{SERVER_PORT}", plane.admin_token, plane.ca))
    made.replace(target)
    _say("ready")


@contextlib.contextmanager
def _or_there() -> Iterator[None]:
    """Let pass that an object is there: the folder is that of a container that was restarted."""
    try:
        yield
    except ApiError as error:
        if error.status != _CONFLICT:
            raise


def _publish_database(folder: Path, address: str) -> None:
    """Push the sample database and the sample Java index."""
    vulndb.build(folder, level=1, updated_at=FIRST_DATABASE)
    vulndb.push(address, folder)
    vulndb.build_java(folder, updated_at=FIRST_DATABASE)
    vulndb.push_java(address, folder)


def _open_ways(ports: Mapping[int, int]) -> None:
    """Let others reach loopback ports by this container's own address; ends with the process."""
    own = socket.gethostbyname(socket.gethostname())
    pairs = []
    for port, target in ports.items():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((own, port))
        listener.listen(_BACKLOG)
        pairs.append((listener, target))
    threading.Thread(target=asyncio.run, args=(_serve_all(pairs),), daemon=True).start()


async def _serve_all(pairs: Iterable[tuple[socket.socket, int]]) -> None:
    await asyncio.gather(*(serve(listener, port) for listener, port in pairs))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
