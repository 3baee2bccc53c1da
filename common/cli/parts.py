"""Starts the parts of `sluice run` and serves what they have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.cli import pipeline
from common.cli.tables import RunNote, note_path
from common.ops.embedded import embedded_valkey, socket_path
from common.ops.gathering import fetch, gathered_registry, readiness
from common.ops.ports import free_ports, is_free, unix_answers
from common.ops.probes import ProbeServer, health_route, metrics_route
from common.ops.socket_paths import short_enough
from common.ops.supervisor import Supervisor
from common.settings.formats import BindAddress
from common.settings.value import Settings

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where the run's own pages are."""

    metrics: BindAddress
    health: BindAddress
    status: BindAddress

    def shown(self) -> str:
        """Return the URLs for people."""
        return (
            f"metrics http://{_reachable(self.metrics)}/metrics   "
            f"probes http://{_reachable(self.health)}/readyz   "
            f"status page http://{_reachable(self.status)}/"
        )


def own_address(environ: Mapping[str, str], name: str, address: BindAddress) -> BindAddress:
    """Return where `sluice run` listens: as set, else on loopback, on a free port if ours is taken.

    A laptop's numbers are nobody else's business, and 8080 is often somebody else's port.
    """
    if environ.get(name, "").strip():
        return address
    port = address.port if is_free(_LOOPBACK, address.port) else free_ports(1)[0]
    return BindAddress(host=_LOOPBACK, port=port)


def certain(address: BindAddress) -> BindAddress:
    """Return the address with its port chosen now, for a child that listens there itself."""
    return BindAddress(host=address.host, port=address.port or free_ports(1)[0])


def redis_of_its_own(owner: Supervisor, settings: Settings) -> str:
    """Start the embedded Valkey and return its URL; empty: the settings name a Redis."""
    if settings.redis.address is not None:
        return ""
    owner.start(embedded_valkey(settings.ops.data_dir))
    return f"unix://{socket_path(settings.ops.data_dir)}"


@contextlib.contextmanager
def noted(settings: Settings, note: RunNote | None) -> Iterator[None]:
    """Leave the note while the block runs; None: another Redis is used, which others must name."""
    path = note_path(settings.ops.data_dir)
    if note is not None:
        path.write_bytes(msgspec.json.encode(note))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def start_components(owner: Supervisor, around: pipeline.Surroundings) -> dict[str, pipeline.Ports]:
    """Start scanner, matcher, watcher and workers at once, and wait until they are ready.

    Returns the ports of those that serve pages. Each one waits by itself for what it needs of the
    others. Raises SourceUnavailableError or PreconditionError when one does not get ready.
    """
    names = pipeline.names(around)
    free = iter(free_ports(2 * len(names)))
    ports = {name: pipeline.Ports(metrics=next(free), health=next(free)) for name in names}
    specs = [pipeline.scanner(around)]
    specs += [pipeline.child(name, ports[name], around, _answers) for name in names]
    for child in [owner.begin(spec) for spec in specs]:
        owner.await_ready(child)
    return ports


def _answers(url: str) -> bool:
    return fetch(url) is not None


@contextlib.contextmanager
def serve(served: Served, ports: Mapping[str, pipeline.Ports]) -> Iterator[Served]:
    """Serve everybody's metrics and readiness; yield the addresses that were taken."""
    registry = gathered_registry({name: each.metrics_url for name, each in ports.items()})
    checks = readiness({name: each.ready_url for name, each in ports.items()})
    probes = {"/healthz": health_route({}), "/readyz": health_route(checks)}
    pages = {"/metrics": metrics_route(registry)}
    with (
        ProbeServer(served.metrics.host, served.metrics.port, pages) as metrics,
        ProbeServer(served.health.host, served.health.port, probes) as health,
    ):
        yield Served(
            metrics=BindAddress(host=served.metrics.host, port=metrics.port),
            health=BindAddress(host=served.health.host, port=health.port),
            status=served.status,
        )


def scanner_socket(settings: Settings) -> str:
    """Return where the scanner will listen, in a folder that exists, with nothing left there."""
    path = Path(short_enough(settings.trivy.scanner_socket))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not unix_answers(str(path)):
        path.unlink(missing_ok=True)  # its appearance says that the scanner is ready
    return str(path)


def _reachable(address: BindAddress) -> BindAddress:
    return BindAddress(host=address.host or _LOOPBACK, port=address.port)
