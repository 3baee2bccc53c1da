"""The whole watcher as a process of its own, and what it uses. Linux only."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from redis import Redis

from common.state.control import Control
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import POLL_S, Command, Process
from sandbox.valkey import Valkey

_READY_S = 300.0  # 450,000 objects on a machine that others load
_SWEEP_S = 180.0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10⁶ bytes)."""
    return _status_kb(pid, "VmRSS") * 1024 / 1e6


def peak_mb(pid: int) -> float:
    """Return the highest resident memory that a process has had, in MB."""
    return _status_kb(pid, "VmHWM") * 1024 / 1e6


class Running:
    """A watcher that runs; its tables are in a Valkey."""

    def __init__(self, process: Process, valkey: Valkey, cluster: str, *, port: int) -> None:
        self._process = process
        self._valkey = valkey
        self._port = port
        self.names = Names(cluster)
        self.began_at_s = time.monotonic()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def await_swept(self, sweeps: int = 1) -> float:
        """Wait until so many sweeps were done; return the seconds since the start.

        Raises PreconditionError when it ends before.
        """
        with Redis.from_url(self._valkey.socket_url) as redis:
            ledger = Ledger(redis, self.names)
            self._process.wait_ready(
                lambda: ledger.counts()["swept"] >= sweeps, timeout_s=_READY_S + _SWEEP_S
            )
        return time.monotonic() - self.began_at_s

    def sweep(self) -> None:
        """Ask for a sweep and wait for its end."""
        with Redis.from_url(self._valkey.socket_url) as redis:
            control = Control(redis, self.names)
            number = control.request_sweep()
            self._process.wait_ready(lambda: control.swept() >= number, timeout_s=_SWEEP_S)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{")) and all(one in line for one in wanted)
        )


@contextlib.contextmanager
def running(
    place: Place, valkey: Valkey, kubeconfig: Path, *, cluster: str, environ: Mapping[str, str]
) -> Iterator[Running]:
    """Run `python -m watcher` for the length of the block."""
    port = place.port()
    process = Process(
        Command(
            name="watcher",
            argv=(sys.executable, "-m", "watcher"),
            log=place.log(f"watcher-{cluster}"),
            environ={
                **os.environ,
                "SLUICE_KUBECONFIG": str(kubeconfig),
                "SLUICE_REDIS_URL": valkey.url,
                "SLUICE_CLUSTER": cluster,
                "SLUICE_LOG_FORMAT": "json",
                "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
                "OPERATOR_METRICS_BIND_ADDRESS": f"127.0.0.1:{port}",
                "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
                **environ,
            },
        )
    )
    process.start()
    try:
        yield Running(process, valkey, cluster, port=port)
    finally:
        process.stop()


def poll_until(done: object, *, timeout_s: float) -> bool:
    """Call `done` until it returns something true; False: it did not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if callable(done) and done():
            return True
        time.sleep(POLL_S)
    return False


def _status_kb(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{field}:")[2].split()[0])
