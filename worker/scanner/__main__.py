"""`python -m worker.scanner`: reads the settings, listens, stops on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import sys
import threading
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
from worker.scanner.scratch import Workshop
from worker.scanner.service import ScannerService

_log = structlog.get_logger()


def main() -> int:
    """Run one scanner until it is told to stop; return the exit status."""
    return exit_status(_scan)


def _scan() -> int:
    # The socket is the sign of being ready, and who sees it may stop us in that moment.
    stopping = threading.Event()
    stop_on_signals(stopping.set)
    settings = parse(os.environ)
    begin_logs(settings.ops, component="scanner", warnings=settings.warnings)
    _serve(settings, stopping)
    return DONE


def _serve(settings: Settings, stopping: threading.Event) -> None:
    trivy = require_trivy(settings.trivy.path, os.environ.get("PATH", os.defpath))
    socket_path = Path(settings.trivy.scanner_socket)
    bench = Bench(
        trivy=trivy,
        environment=os.environ,
        workshop=Workshop(socket_path),
        java=JavaDatabase(
            trivy,
            Path(settings.ops.data_dir) / "java-database",
            environment=os.environ,
            source=JavaSource.of_settings(settings),
        ),
        token=token_file(
            settings.trivy.token_file,
            settings.ops.data_dir,
            foreign=bool(settings.trivy.server_url),
        ),
        memory_mb=settings.trivy.scanner_memory_mb,
        jobs=settings.trivy.scanner_jobs,
    )
    with ScannerService(bench, socket_path) as service:
        stop_on_signals(service.stop)
        if stopping.is_set():
            service.stop()
        _log.info("scanner listens", socket=str(socket_path), trivy=trivy.version, jobs=bench.jobs)
        service.serve()


if __name__ == "__main__":
    sys.exit(main())
