"""The processes of `sluice run`: which children there are, and what each one may know.

Pure: free ports and paths come in. The scanner, which parses what strangers built, is told neither
where the cluster is nor where Redis is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.cli.components import SCANNER, WATCHER, WORKER, module_argv
from common.ops.process import ChildSpec, Forward
from common.ops.scanner_environment import scanner_environment
from common.settings.formats import BindAddress

# A first start on a loaded machine: Python's imports, a first list of a big cluster.
_READY_S = 120.0
_GRACE_S = 10.0  # after a component's own drain deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Loopback ports for one child's own servers."""

    metrics: int
    health: int

    @property
    def metrics_url(self) -> str:
        """Where its metrics are."""
        return f"http://127.0.0.1:{self.metrics}/metrics"

    @property
    def ready_url(self) -> str:
        """Where it says whether it is ready."""
        return f"http://127.0.0.1:{self.health}/readyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all children of one run share."""

    environ: Mapping[str, str]  # ours, the user's settings included
    overrides: Mapping[str, str]  # what `sluice run` decides: Redis, cluster, data folder, socket
    workers: int
    scanner_jobs: int  # of the one scanner that all workers share
    own_matcher: bool  # False: SLUICE_TRIVY_SERVER_URL names one
    status_address: BindAddress
    matcher_address: BindAddress
    drain_s: float
    line: Callable[[str, str], None]  # takes every line of the children's output


Ask = Callable[[str], bool]  # whether a page answers with success


def names(around: Surroundings) -> list[str]:
    """Return the children's names, in the order of their start; the scanner serves no pages."""
    workers = [f"worker-{number}" for number in range(1, around.workers + 1)]
    return [*(["matcher"] if around.own_matcher else []), "watcher", *workers]


def scanner(around: Surroundings) -> ChildSpec:
    """Return how to start the scanner; it is ready when its socket is there."""
    socket = Path(around.overrides["SLUICE_SCANNER_SOCKET"])
    return ChildSpec(
        name="scanner",
        argv=module_argv(SCANNER),
        output=Forward(line=around.line),
        env=scanner_environment({**around.environ, **around.overrides}),
        ready=socket.is_socket,
        ready_s=_READY_S,
        stop_s=around.drain_s + _GRACE_S,
    )


def child(name: str, ports: Ports, around: Surroundings, ask: Ask) -> ChildSpec:
    """Return how to start the watcher, a worker or the matcher."""
    environ = {
        **around.environ,
        **around.overrides,
        "OPERATOR_METRICS_BIND_ADDRESS": f"127.0.0.1:{ports.metrics}",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": f"127.0.0.1:{ports.health}",
        **_of_its_own(name, around),
    }
    return ChildSpec(
        name=name,
        argv=module_argv(WATCHER if name == "watcher" else WORKER),
        output=Forward(line=around.line),
        env=environ,
        ready=lambda: ask(ports.ready_url),
        ready_s=_READY_S,
        stop_s=around.drain_s + _GRACE_S,
        stage="workers" if name.startswith("worker-") else "",
    )


def _of_its_own(name: str, around: Surroundings) -> dict[str, str]:
    match name:
        case "watcher":
            return {"SLUICE_STATUS_ADDRESS": str(around.status_address)}
        case "matcher":
            return {
                "SLUICE_WORKER_POOLS": "match",
                "SLUICE_MATCHER_ADDRESS": str(around.matcher_address),
            }
        case _:
            return {
                "SLUICE_WORKER_POOLS": "reconcile,scan",
                "SLUICE_SCANNER_JOBS": str(_share(name, around)),
            }


def _share(name: str, around: Surroundings) -> int:
    """Return how many of the scanner's slots a worker uses; each uses one at least."""
    number = int(name.removeprefix("worker-"))
    before, upto = (around.scanner_jobs * n // around.workers for n in (number - 1, number))
    return max(1, upto - before)
