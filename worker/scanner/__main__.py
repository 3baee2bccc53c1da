"""`python -m worker.scanner`: reads the settings, listens, stops on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import structlog

from common.model.errors import PreconditionError
from common.ops import logs
from common.settings.parse import parse
from common.settings.value import Settings
from worker.evidence.image.java_database import JavaDatabase
from worker.evidence.image.trivy_cli import find_trivy
from worker.scanner.job import Bench
from worker.scanner.scratch import Workshop
from worker.scanner.service import ScannerService

_log = structlog.get_logger()

_FAILED_PRECONDITION = 3


def main() -> int:
    """Run one scanner until it is told to stop; return the exit status."""
    try:
        settings = parse(os.environ)
        logs.configure(
            log_format=settings.ops.log_format, level=settings.ops.log_level, component="scanner"
        )
        _serve(settings)
    except PreconditionError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 # the last word of a process that cannot log yet
        return _FAILED_PRECONDITION
    return 0


def _serve(settings: Settings) -> None:
    trivy = find_trivy(settings.trivy.path, os.environ.get("PATH", os.defpath))
    socket_path = Path(settings.trivy.scanner_socket)
    bench = Bench(
        trivy=trivy,
        environment=os.environ,
        workshop=Workshop(socket_path),
        java=JavaDatabase(
            trivy,
            Path(settings.ops.data_dir) / "java-database",
            environment=os.environ,
            repository=settings.trivy.java_db_repository,
            insecure=settings.trivy.insecure,
        ),
        token=None,
        memory_mb=settings.trivy.scanner_memory_mb,
        jobs=settings.trivy.scanner_jobs,
    )
    with ScannerService(bench, socket_path) as service:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        _log.info("scanner listens", socket=str(socket_path), trivy=trivy.version, jobs=bench.jobs)
        service.serve()


if __name__ == "__main__":
    sys.exit(main())
