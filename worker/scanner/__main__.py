"""`python -m worker.scanner`: reads the settings, listens, stops on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from common.ops.exit_status import DONE
from common.ops.match_token import token_file
from common.ops.startup import begin_logs, exit_status, stop_on_signals
from common.ops.trivy_program import require_trivy
from common.settings.parse import parse
from common.settings.value import Settings
from worker.evidence.image.java_database import JavaDatabase, JavaSource
from worker.scanner.job import Bench
from worker.scanner.room import Room
from worker.scanner.scratch import Workshop
from worker.scanner.service import ScannerService

_log = structlog.get_logger()


def main() -> int:
    """Run one scanner until it is told to stop; return the exit status."""
    return exit_status(_scan)


def _scan() -> int:
    stopping = _Stopping()
    stop_on_signals(stopping.stop)
    settings = parse(os.environ)
    begin_logs(settings.ops, component="scanner", warnings=settings.warnings)
    _serve(settings, stopping)
    return DONE


class _Stopping:
    """Ends whatever is at work, also what begins after the word came.

    The socket is the sign of being ready, and who sees it may stop us in that moment. The word
    comes on a thread of its own, so one handler serves for the whole life: of two, the first one's
    word could come after the second one looked for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = False
        self._act: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """End it."""
        with self._lock:
            self._told, act = True, self._act
        act()

    def ends(self, act: Callable[[], None]) -> None:
        """Let `act` end it, now if the word came already. `act` may be called twice."""
        with self._lock:
            self._act, told = act, self._told
        if told:
            act()


def _serve(settings: Settings, stopping: _Stopping) -> None:
    trivy = require_trivy(settings.trivy.path, os.environ.get("PATH", os.defpath))
    socket_path = Path(settings.trivy.scanner_socket)
    workshop = Workshop(socket_path)
    bench = Bench(
        trivy=trivy,
        environment=os.environ,
        workshop=workshop,
        java=JavaDatabase(
            trivy,
            Path(settings.ops.data_dir) / "java-database",
            environment=os.environ,
            source=JavaSource.of_settings(settings),
        ),
        java_source=lambda origin: JavaSource.of(origin, settings),
        token=token_file(
            settings.trivy.token_file,
            settings.ops.data_dir,
            foreign=bool(settings.trivy.server_url),
        ),
        memory_mb=settings.trivy.scanner_memory_mb,
        jobs=settings.trivy.scanner_jobs,
        room=Room(workshop.volume, quota_mb=settings.limits.scratch_mb),
        unpack_ratio=settings.limits.unpack_ratio,
    )
    with ScannerService(bench, socket_path) as service:
        stopping.ends(service.stop)
        _log.info("scanner listens", socket=str(socket_path), trivy=trivy.version, jobs=bench.jobs)
        service.serve()


if __name__ == "__main__":
    sys.exit(main())
