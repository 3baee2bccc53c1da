"""An rq SimpleWorker for the benchmark: `python -m tests.bench.queue_rq URL REPORT`.

It runs until the queue is empty, without a log line, and then leaves its report.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from redis import Redis
from rq import Queue, SimpleWorker

from tests.bench.queue_noop import RAN
from tests.bench.queue_order import report_of, write


def main(url: str, report: str) -> int:
    """Work until nothing is queued."""
    logging.disable(logging.CRITICAL)
    with Redis.from_url(url) as client:
        queue = Queue("default", connection=client)
        worker = SimpleWorker([queue], connection=client, log_job_description=False)
        worker.work(burst=True, logging_level="CRITICAL")
    write(report_of(RAN), Path(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
