"""`python -m watcher`: follows the cluster until it is told to stop.

Ends with status 0 after a signal, 3 when a precondition is not met, 1 otherwise: another watcher
leads now, or a defect; whoever started the process starts it again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

import structlog

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.model.facts import Fact
from common.ops import logs, metrics
from common.ops.probes import ProbeServer
from common.ops.version import VERSION
from common.settings.parse import parse
from common.settings.value import Settings
from common.state.connect import connect
from common.state.ledger import Ledger
from common.state.names import Names
from watcher.compose import Running, compose
from watcher.preflight import check_definitions, check_peers
from watcher.pulse import Pulse
from watcher.stream.catalog import ROWS

_log = structlog.get_logger()
T = TypeVar("T")

_FAILED, _FAILED_PRECONDITION = 1, 3
_UID_CHARACTERS = 8  # of the kube-system namespace's uid: the key space's default name
# Start-up waits for Redis and the API server: in a cluster all parts start at once.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0


def main() -> int:
    """Run the watcher; return the exit status."""
    stopping = threading.Event()
    _stop_on_signals(stopping)
    try:
        settings = parse(os.environ)
        logs.configure(
            log_format=settings.ops.log_format, level=settings.ops.log_level, component="watcher"
        )
        for warning in settings.warnings:
            _log.warning("setting", what=warning)
        return _watch(settings, stopping)
    except PreconditionError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 # the last word of a process that cannot log yet
        return _FAILED_PRECONDITION
    except SluiceError as exc:
        _log.error("watcher ends", reason=exc.reason, error=str(exc))  # no traceback helps
        return _FAILED


def _stop_on_signals(stopping: threading.Event) -> None:
    """Set `stopping` on SIGTERM and SIGINT; a second one ends the process as by default."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 # signal's signature
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _watch(settings: Settings, stopping: threading.Event) -> int:
    if settings.redis.address is None:
        raise PreconditionError(
            "SLUICE_REDIS_URL is not set; a watcher shares its Redis with the workers"
        )
    client = connect(
        settings.redis.address,
        password_file=settings.redis.password_file,
        ca_file=settings.redis.ca_file,
        name="watcher",
    )
    session = Session.auto(settings.kube.kubeconfig or None, settings.kube.context or None)
    cluster = _patiently(lambda: _arranged(session, settings), stopping)
    if cluster is None:
        return 0
    names = Names(cluster)
    running = compose(
        settings,
        session,
        (client, names),
        registry=metrics.new_registry(component="watcher", version=VERSION),
        pulse=Pulse(monotonic=time.monotonic, draw=random.random),
    )
    started = Fact(kind="started", data={"component": "watcher", "version": VERSION})
    if _patiently(lambda: _told(Ledger(client, names), started), stopping) is None:
        return 0
    _serve(settings, running, stopping)
    return 0


def _arranged(session: Session, settings: Settings) -> str:
    """Return the name of the key space once the cluster is fit to be watched.

    Raises PreconditionError where somebody must arrange something first.
    """
    api = Cluster(session)
    check_peers(api.trivy_operators())
    check_definitions(session, ROWS)
    return settings.redis.cluster or api.kube_system_uid()[:_UID_CHARACTERS]


def _serve(settings: Settings, running: Running, stopping: threading.Event) -> None:
    """Serve pages and watch until the end; raises what the watcher raises."""
    probes = {"/healthz": running.healthz, "/readyz": running.readyz}
    with contextlib.ExitStack() as stack:
        for address, routes in (
            (settings.ops.metrics_address, {"/metrics": running.metrics}),
            (settings.ops.health_address, probes),
        ):
            server = stack.enter_context(ProbeServer(address.host, address.port, routes))
            _log.info("serving", routes=sorted(routes), port=server.port)
        stack.callback(running.fleet.stop)
        running.fleet.start(running.streams)
        running.watcher.run(stopping)


def _told(ledger: Ledger, fact: Fact) -> bool:
    ledger.append([fact])
    return True


def _patiently(ask: Callable[[], T], stopping: threading.Event) -> T | None:
    """Ask until there is an answer; None: told to stop meanwhile."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return ask()
        except SourceUnavailableError as error:
            _log.warning("waiting", error=str(error), again_in_s=wait_s)
        if stopping.wait(wait_s):
            return None
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


if __name__ == "__main__":
    sys.exit(main())
