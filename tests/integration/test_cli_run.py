"""`sluice run` as a user starts it: real control plane, embedded Valkey, every process of ours."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.ops.socket_paths import short_enough
from common.state.names import Names
from sandbox.controlplane import ControlPlane
from sandbox.valkey import Valkey
from tests.sluice_run import DEADLINE_S, Sluice
from tests.waiting import eventually

pytestmark = pytest.mark.integration

Start = Callable[..., Sluice]


@pytest.fixture
def start(controlplane: ControlPlane, tmp_path: Path) -> Iterator[Start]:
    """Give a way to start runs over one data folder; all have ended afterwards."""
    running: list[Sluice] = []
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    environ |= {
        "SLUICE_KUBECONFIG": str(controlplane.kubeconfig),
        "SLUICE_DATA_DIR": str(tmp_path / "data"),
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
        "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
        "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
        # Nothing may leave this machine: an address where nobody listens.
        "TRIVY_DB_REPOSITORY": "127.0.0.1:1/aqua/trivy-db:2",
    }

    def one(*words: str, **more: str) -> Sluice:
        made = Sluice({**environ, **more}, *words)
        running.append(made)
        return made

    yield one
    for each in running:
        each.end(signal.SIGKILL)


def alive(command_part: str) -> list[int]:
    """Return the processes whose command line or environment holds this text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if command_part.encode() in text:
            found.append(int(entry.name))
    return found


def page(url: str) -> str:
    """Return what a page of ours answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 # loopback HTTP
        text: str = answer.read().decode()
        return text


def wait_until_none(command_part: str) -> None:
    """Block until no process holds this text any more."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / 0.05)):
        if not alive(command_part):
            return
        pause.wait(0.05)
    raise AssertionError(f"still there: {alive(command_part)}")


def test_it_starts_everything_serves_its_pages_and_drains_on_ctrl_c(
    start: Start, tmp_path: Path
) -> None:
    """The first command that a new user runs."""
    sluice = start("--yes", "--workers", "1")
    told = sluice.line("Ready.")
    pages = {word.rpartition("/")[2]: word for word in told.split() if word.startswith("http://")}
    ready = page(pages["readyz"]).splitlines()
    assert ready == ["matcher: ok", "watcher: ok", "worker-1: ok"]
    metrics = page(pages["metrics"])
    assert 'sluice_process_up{process="worker-1"} 1.0' in metrics
    assert 'component="watcher"' in metrics
    assert 'sluice_redis_up{process="watcher"} 1.0' in metrics
    assert metrics.count('sluice_queue_depth{lane="fresh",pool="scan"') == 1
    assert "<h2>Queue</h2>" in page(pages[""])

    status = sluice.command("status", "--json")
    assert status.returncode == 0, status.stderr
    loops = [name.split("-")[1] for name in json.loads(status.stdout)["workers"]]
    assert sorted(loops) == ["reconcile", "rematch", "scan", "scan"]

    assert sluice.end(signal.SIGINT) == 0
    assert not alive(str(tmp_path))
    assert sluice.command("status").returncode == 3


def test_a_second_run_over_the_same_data_is_refused(start: Start) -> None:
    """Two Valkeys over one append-only file destroy it."""
    first = start("--yes", "--workers", "1")
    first.line("Ready.")
    second = start("--yes", "--workers", "1")
    second.line("another `sluice run` uses the data folder")
    assert second.ended() == 3
    assert first.process.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_of_two_runs_over_one_redis_one_watches_and_both_work(
    start: Start, valkey: Valkey, names: Names, namespace: str, tmp_path: Path
) -> None:
    """They must not depose each other; the second adds workers, and takes over when it is alone."""
    shared = {
        "SLUICE_REDIS_URL": valkey.url,
        "SLUICE_CLUSTER": names.cluster,
        "OPERATOR_NAMESPACE": namespace,
        "OPERATOR_TARGET_NAMESPACES": namespace,
    }

    def begin(number: int) -> tuple[Sluice, str]:
        """Start a run; return it with the URL of its metrics."""
        folder = str(tmp_path / f"data-{number}")
        sluice = start("--yes", "--workers", "1", **shared, SLUICE_DATA_DIR=folder)
        assert f"{namespace}/kube-sluice-{names.cluster}" in sluice.line("lease")
        words = sluice.line("Ready.").split()
        return sluice, next(word for word in words if word.endswith("/metrics"))

    def leads(metrics: str) -> bool:
        return 'sluice_watcher_leader{process="watcher"} 1.0' in page(metrics)

    first, metrics = begin(1)
    assert leads(metrics)
    second, others = begin(2)
    assert (leads(metrics), leads(others)) == (True, False)
    assert first.end() == 0
    assert eventually(lambda: leads(others))
    assert second.end() == 0


def test_nothing_outlives_a_run_that_was_killed(start: Start, tmp_path: Path) -> None:
    """A Valkey that stays behind would keep the data folder from the next run."""
    sluice = start("--yes", "--workers", "1")
    sluice.line("Ready.")
    assert alive(str(tmp_path))
    sluice.end(signal.SIGKILL)
    wait_until_none(str(tmp_path))
    again = start("--yes", "--workers", "1")
    again.line("Ready.")
    assert again.end(signal.SIGTERM) == 0


def test_without_a_terminal_and_without_yes_nothing_is_written(
    start: Start, tmp_path: Path
) -> None:
    """The wrong context must cost nothing."""
    sluice = start()
    sluice.line("sandbox")
    sluice.line("give --yes")
    assert sluice.ended() == 3
    assert not (tmp_path / "data").exists()


def test_a_context_that_does_not_exist_is_a_precondition(start: Start) -> None:
    """And the ones that exist are named."""
    sluice = start("--yes", "--context", "production")
    sluice.line("it has sandbox")
    assert sluice.ended() == 3


def test_a_cluster_that_does_not_answer_is_a_precondition(start: Start, tmp_path: Path) -> None:
    """The context is named, because it may simply be the wrong one."""
    config = tmp_path / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "gone",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "gone", "context": {"cluster": "c", "user": "u"}}],
            }
        ),
        encoding="utf-8",
    )
    sluice = start("--yes", "--kubeconfig", str(config))
    sluice.line("is the cluster of context gone up")
    assert sluice.ended() == 3


def test_the_scanner_holds_neither_kubeconfig_nor_redis(start: Start, tmp_path: Path) -> None:
    """Law 9, seen from outside: the process that parses what strangers built."""
    sluice = start("--yes", "--workers", "1")
    sluice.line("Ready.")
    socket = short_enough(str(tmp_path / "data" / "scanner.sock"))
    scanners = [
        pid
        for pid in alive(socket)
        if b"worker.scanner" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(scanners) == 1
    environ = Path(f"/proc/{scanners[0]}/environ").read_bytes()
    assert b"KUBECONFIG" not in environ
    assert b"SLUICE_REDIS" not in environ
