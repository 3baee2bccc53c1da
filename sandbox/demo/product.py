"""The product under demonstration: `sluice run` as a child, and a look into its ledger."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping

from common.model.errors import PreconditionError, SluiceError
from common.model.redis_address import parse_redis_url
from common.queue.workqueue import WorkQueue
from common.state.connect import connect
from common.state.control import Control
from common.state.database import DatabaseTable
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.rows import RowTable
from common.state.settled import SettledTable
from sandbox.demo.proof import Work
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack

CLUSTER = "demo"
_PAGES = re.compile(r"metrics http://.*status page http://\S+")
_METRICS = re.compile(r"metrics (http://\S+/metrics)")
_LOOK_S = 0.2
# Nothing may be on its way between two tables when we call it quiet: a pod event reaches the queue
# within the watcher's batch of 50 ms, and a completion wakes its waiters in the same script.
_QUIET_S = 1.0


class Product:
    """`sluice run` against one cluster, and its tables."""

    def __init__(
        self, place: Place, stack: Stack, *, redis_url: str, environ: Mapping[str, str]
    ) -> None:
        """Nothing runs before `start`."""
        self._stack = stack
        self._environ = {**environ, "SLUICE_REDIS_URL": redis_url, "SLUICE_CLUSTER": CLUSTER}
        self.log = place.log("sluice")
        self.data = place.sub("data")
        self._process = Process(
            Command(
                name="sluice",
                argv=(
                    *(sys.executable, "-m", "common.cli.main", "run", "--yes"),
                    *("--workers", "2", "--data-dir", str(self.data)),
                ),
                log=self.log,
                environ={**_inherited(), **self._environ},
                stop_within_s=40,
            )
        )
        client, names = connect(parse_redis_url(redis_url), name="demo"), Names(CLUSTER)
        self._ledger = Ledger(client, names)
        self._queue = WorkQueue(client, names)
        self._control = Control(client, names)
        self._rows = RowTable(client, names)
        self._settled = SettledTable(client, names)
        self._images = ImageTable(client, names)
        self._database = DatabaseTable(client, names)

    def start(self) -> None:
        """Start it; raises PreconditionError, with the log's tail, when it ends early."""
        self._stack.push(self)
        self._process.start()

    def stop(self) -> None:
        """Ask it to drain, as Ctrl-C does."""
        self._process.stop()

    def restart(self) -> None:
        """Stop every process of it, and start all again."""
        self._process.stop()
        self._process.start()

    @property
    def pid(self) -> int:
        """Its first process, to measure the CPU time of all."""
        return self._process.pid

    def check(self) -> None:
        """Raise PreconditionError when it has ended."""
        if not self._process.alive:
            raise self._process.failure(f"ended with status {self._process.exit_status}")

    def work(self) -> Work:
        """Return what its ledger counts."""
        counts = self._ledger.counts()
        return Work(
            inventories=counts["inventoried"],
            matches=counts["matched"],
            writes=counts["written"],
            enqueued=counts["enqueued"],
        )

    def sweeps(self) -> int:
        """Return how many sweeps were made."""
        return self._ledger.counts()["swept"]

    def database(self) -> str:
        """Return the version of the vulnerability database in use; empty: none yet."""
        row = self._database.current()
        return row.version if row is not None else ""

    def metrics_url(self) -> str:
        """Return where it serves its metrics; raises PreconditionError before it says so."""
        told = _METRICS.findall(self.log.read_text())
        if not told:
            raise PreconditionError(f"sluice run has not said where its metrics are: {self.log}")
        return str(told[-1])

    def pages(self) -> list[str]:
        """Return what it said last of the pages that it serves."""
        return _PAGES.findall(self.log.read_text())[-1:]

    def untrue(self) -> list[str]:
        """Return the workloads that have a row and no converged run, as users name them."""
        keys = list(self._rows.keys())
        settled = self._settled.get_many(keys)
        return sorted(
            key.shown
            for key in keys
            if key not in settled or settled[key].outcome.startswith("Partial")
        )

    def reports(self) -> dict[str, int]:
        """Return how many reports of each kind its converged runs settled."""
        kinds = (shown.partition("/")[0] for _, row in self._settled.all() for shown in row.reports)
        return dict(Counter(kinds))

    def images(self) -> int:
        """Return how many distinct images are in use."""
        return len(self._images.keys())

    def environ(self) -> dict[str, str]:
        """Return what commands of a user need to see the same product."""
        return {**_inherited(), **self._environ}

    def sluice(self, *arguments: str) -> str:
        """Return what a command of the user prints; raises PreconditionError when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "common.cli.main", *arguments],
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PreconditionError(
                f"sluice {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def is_quiet(self) -> bool:
        """Whether nothing is queued, running or due."""
        return not self._busy()

    def force_sweep(self, *, timeout_s: float) -> None:
        """Ask for a sweep over everything and wait until it is done."""
        number = self._control.request_sweep()
        self._wait(lambda: self._control.swept() >= number, "made no sweep", timeout_s)

    def await_sweep(self, before: int, *, timeout_s: float) -> None:
        """Wait until more than `before` sweeps were made: the watcher is synced again."""
        self._wait(lambda: self.sweeps() > before, "made no sweep after its restart", timeout_s)

    def await_quiet(self, *, timeout_s: float) -> None:
        """Wait until nothing is queued, running or due for a second."""
        quiet_since: float | None = None

        def quiet() -> bool:
            nonlocal quiet_since
            if self._busy():
                quiet_since = None
                return False
            quiet_since = quiet_since or time.monotonic()
            return time.monotonic() - quiet_since >= _QUIET_S

        self._wait(quiet, "is not done", timeout_s)

    def await_settled(self, *, timeout_s: float) -> None:
        """Wait until nothing is queued or running; what waits out a backoff does not count."""
        self._wait(lambda: not self._working(), "is still at work", timeout_s)

    def _working(self) -> bool:
        depths, totals = self._queue.depth(), self._queue.totals()
        return any(depth.queued for depth in depths.values()) or any(
            each.running for each in totals.values()
        )

    def _busy(self) -> bool:
        depths, totals = self._queue.depth(), self._queue.totals()
        return any(depth.queued for depth in depths.values()) or any(
            each.running or each.delayed for each in totals.values()
        )

    def _wait(self, done: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.check()
            # Redis is away for a moment while it restarts: that is an answer of "not yet".
            with contextlib.suppress(SluiceError):
                if done():
                    return
            time.sleep(_LOOK_S)
        raise PreconditionError(f"sluice {what} within {timeout_s:g} s; log: {self.log}")


def _inherited() -> dict[str, str]:
    """Return our environment without settings that would reach the product by accident."""
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
