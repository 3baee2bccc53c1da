"""`python -m worker` as a process: when it is ready, what it tells, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from common.ops.gathering import fetch
from common.ops.ports import free_ports
from common.ops.version import VERSION
from common.overview.generation import described
from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.settings.parse import parse
from common.state.epoch import EpochTable, generation_digest
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.settled import SettledTable
from common.state.workers import WorkerTable
from sandbox.valkey import Valkey
from tests.queue_values import row, workload
from tests.waiting import eventually

pytestmark = pytest.mark.integration

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dev
clusters: [{name: dev, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: ada, user: {token: t}}]
contexts: [{name: dev, context: {cluster: dev, user: ada}}]
"""


class Worker:
    """A worker process and what it writes."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker"], env=environ, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            self.lines.extend(self.process.stderr)

    def says(self, event: str) -> list[dict[str, object]]:
        """Return the log lines of an event."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in found if str(line["event"]).startswith(event)]

    def page(self, route: str) -> str | None:
        """Return a page; None unless it is there and answers with success."""
        for line in self.says("serving"):
            routes = line["routes"]
            if isinstance(routes, list) and route in routes:
                return fetch(f"http://127.0.0.1:{line['port']}{route}")
        return None

    def ends(self) -> int:
        """Ask it to end; return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


@contextlib.contextmanager
def worker(tmp_path: Path, **settings: str) -> Iterator[Worker]:
    """Run a worker for the length of the block."""
    config = tmp_path / "config"
    config.write_text(KUBECONFIG, encoding="utf-8")
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    ours = {
        "SLUICE_KUBECONFIG": str(config),
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_WORKER_POOLS": "reconcile",
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
    }
    running = Worker({**environ, **ours, **settings})
    try:
        yield running
    finally:
        running.close()


def test_it_is_ready_when_it_claims_and_drains_when_told(
    tmp_path: Path, valkey: Valkey, redis_client: Redis, names: Names
) -> None:
    """What a rollout does to each pod: ready, SIGTERM, status 0, no lease left to run out."""
    alive = WorkerTable(redis_client, names).alive
    with worker(
        tmp_path, SLUICE_REDIS_URL=valkey.socket_url, SLUICE_CLUSTER=names.cluster
    ) as running:
        assert eventually(lambda: running.page("/readyz") and alive()), running.lines
        assert running.page("/healthz") is not None
        text = running.page("/metrics") or ""
        assert 'sluice_build_info{component="worker-reconcile"' in text
        assert running.ends() == 0, running.lines
    assert alive() == ()
    assert Ledger(redis_client, names).counts()["started"] == 1


def test_it_stands_back_while_another_generation_is_published(
    tmp_path: Path, valkey: Valkey, redis_client: Redis, names: Names
) -> None:
    """Trap 25. workers of versions N and N+1 during a rollout: the one that is not meant waits."""
    queue, epochs = WorkQueue(redis_client, names), EpochTable(redis_client, names)
    one = msgspec.structs.replace(row(workload()), skip="ByLabel")  # rests without an API server
    epochs.publish("another generation", at_least=6, fence=1)
    workers = WorkerTable(redis_client, names)

    def standing_back() -> object:
        return described(epochs.published(), workers.loops())["standing_back"]

    queue.add([Add(key=one.key, row=one)], fence=1)
    with worker(
        tmp_path, SLUICE_REDIS_URL=valkey.socket_url, SLUICE_CLUSTER=names.cluster
    ) as running:
        assert eventually(lambda: running.says("standing back")), running.lines
        assert queue.depth()[("reconcile", Lane.FRESH)].queued == 1
        assert eventually(standing_back)
        epochs.publish(generation_digest(parse({}).projection_digest(), VERSION), fence=1)
        assert eventually(lambda: queue.members([one.key]) == [False]), running.lines
        assert standing_back() == []
    assert SettledTable(redis_client, names).get_many([one.key])[one.key].epoch == 7


def test_it_waits_for_its_redis_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    """All parts of a cluster start at once; a pod that never finds Redis must not need SIGKILL."""
    (port,) = free_ports(1)
    with worker(
        tmp_path, SLUICE_REDIS_URL=f"redis://127.0.0.1:{port}", SLUICE_CLUSTER="absent"
    ) as running:
        assert eventually(lambda: len(running.says("waiting")) >= 2), running.lines
        assert running.page("/readyz") is None  # 503: it may not get traffic or count as rolled out
        assert running.page("/healthz") is not None  # and yet a restart would not help
        assert running.ends() == 0, running.lines
    first, second, *_ = (line["again_in_s"] for line in running.says("waiting"))
    assert (first, second) == (0.2, 0.4)


def test_it_waits_for_the_api_server_that_names_its_key_space(
    tmp_path: Path, valkey: Valkey
) -> None:
    """Without SLUICE_CLUSTER the name comes from the cluster, which may start later."""
    with worker(tmp_path, SLUICE_REDIS_URL=valkey.socket_url) as running:
        assert eventually(lambda: running.says("waiting")), running.lines
        assert "kube-system" in str(running.says("waiting")[0]["error"])
        assert running.ends() == 0, running.lines


def test_a_password_file_that_stays_missing_ends_it_with_the_remedy(
    tmp_path: Path, valkey: Valkey
) -> None:
    """Waiting for ever would hide a typing error behind a pod that is never ready.

    Half a minute is given: a Secret that is being rotated is missing for a moment.
    """
    missing = str(tmp_path / "password")
    with worker(
        tmp_path,
        SLUICE_REDIS_URL=valkey.socket_url,
        SLUICE_CLUSTER="x",
        SLUICE_REDIS_PASSWORD_FILE=missing,
    ) as running:
        assert running.process.wait(timeout=120) == 3
    assert f"cannot read {missing}" in running.lines[-1]
