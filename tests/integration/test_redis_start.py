"""An unfit Redis is named: by `sluice doctor`, and by every process that starts on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from common.cli.main import main
from common.kube.cluster import Cluster
from common.kube.session import Session
from common.reports.crds import definitions
from sandbox.controlplane import ControlPlane
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.waiting import eventually, heed_ctrl_c

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True, kw_only=True)
class Ill:
    """A way to set a server up, and how it is told."""

    options: tuple[str, ...]
    topic: str
    said: str
    remedy: str
    hopeless: bool = False  # nothing works there, so that no process stays


ILL = {
    "evicting": Ill(
        options=("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"),
        topic="Redis eviction",
        said="allkeys-lru",
        remedy="set maxmemory-policy noeviction",
    ),
    "forgetful": Ill(
        options=("--appendonly", "no", "--save", ""),
        topic="Redis persistence",
        said="no snapshot is taken",
        remedy="set appendonly yes",
    ),
    "replica": Ill(
        options=("--replicaof", "127.0.0.1", "1"),
        topic="Redis role",
        said="is a replica of 127.0.0.1:1",
        remedy="redis+sentinel://",
    ),
    "cluster": Ill(
        options=("--cluster-enabled", "yes"),
        topic="Redis",
        said="Redis Cluster",
        remedy="cluster-enabled no",
        hopeless=True,
    ),
}


@pytest.fixture(params=ILL)
def ill(request: pytest.FixtureRequest) -> Iterator[tuple[Valkey, Ill]]:
    """Give a server that is not fit."""
    found = ILL[request.param]
    with Place() as place, Stack() as stack:
        options = found.options
        if request.param == "cluster":  # else 10,000 above its port, where anybody may listen
            options += ("--cluster-port", str(place.port()))
        yield Valkey(place, stack, options=options).start(), found


@pytest.fixture(scope="module")
def cluster(controlplane: ControlPlane) -> ControlPlane:
    """Give a cluster that a watcher may watch."""
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        Cluster(session).install_crds(definitions())
    return controlplane


@pytest.fixture
def environ(cluster: ControlPlane, tmp_path: Path) -> dict[str, str]:
    """Give the settings of any process of ours but its Redis."""
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith(foreign)},
        "SLUICE_KUBECONFIG": str(cluster.kubeconfig),
        "SLUICE_CLUSTER": "start",
        "SLUICE_DATA_DIR": str(tmp_path / "data"),
        "SLUICE_WORKER_POOLS": "reconcile",
        "SLUICE_LOG_FORMAT": "json",
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
        "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
        "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
        # Nothing may leave this machine: an address where nobody listens.
        "TRIVY_DB_REPOSITORY": "127.0.0.1:1/aqua/trivy-db:2",
    }


class Started:
    """A process of ours and what it wrote to stderr."""

    def __init__(self, environ: dict[str, str], *words: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509 # calls one system call
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            self.lines.extend(self.process.stderr)

    def warned_of(self, topic: str) -> list[dict[str, str]]:
        """Return the log lines of a topic."""
        logged = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in logged if line["event"] == topic]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Have it end; return its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its status."""
        assert eventually(lambda: self.process.poll() is not None, within_s=60.0), self.lines
        self._reader.join()
        return self.process.wait()


Start = Callable[..., Started]


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    """Give `start(url, *words)`; all have ended afterwards."""
    running: list[Started] = []

    def one(url: str, *words: str) -> Started:
        running.append(Started({**environ, "SLUICE_REDIS_URL": url}, *words))
        return running[-1]

    yield one
    for each in running:
        each.end(signal.SIGKILL)


def test_the_doctor_names_it_with_its_remedy(
    ill: tuple[Valkey, Ill],
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before an installation, or after the first surprise."""
    server, found = ill
    for name, text in {**environ, "SLUICE_REDIS_URL": server.url}.items():
        monkeypatch.setenv(name, text)
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    (fault,) = [each for each in told if each["topic"] == found.topic and "remedy" in each]
    assert fault["state"] == "fault"
    assert found.said in fault["said"]
    assert found.remedy in fault["remedy"]


@pytest.mark.parametrize("words", [["worker"], ["watcher"], ["common.cli.main", "run", "--yes"]])
def test_a_process_names_it_when_it_starts(
    ill: tuple[Valkey, Ill], start: Start, words: list[str]
) -> None:
    """One line with the remedy, and it goes on; or status 3, where it never could."""
    server, found = ill
    running = start(server.url, *words)
    if found.hopeless:
        assert running.ended() == 3, running.lines
        said = "".join(running.lines)
        assert found.said in said
        assert found.remedy in said
        return
    assert eventually(lambda: running.warned_of(found.topic)), running.lines
    line = running.warned_of(found.topic)[0]
    assert line["component"].partition("-")[0] == words[min(1, len(words) - 1)]
    assert line["level"] == "warning"
    assert found.said in line["what"]
    assert found.remedy in line["remedy"]
    assert running.process.poll() is None
    running.end(signal.SIGINT)


def test_a_user_without_the_rights_ends_a_process_at_once_and_by_name(start: Start) -> None:
    """`NOPERM` in the middle of a claim would be waited out, for ever."""
    with Place() as place, Stack() as stack:
        server = Valkey(place, stack).start()
        with Redis.from_url(server.url) as admin:
            rules = ("~rq:*", "~sluice:*", "+@all", "-info", "-hset")
            admin.execute_command("ACL", "SETUSER", "ada", "on", ">hunter2", *rules)
        running = start(server.url.replace("//", "//ada:hunter2@"), "worker")
        assert running.ended() == 3, running.lines
    said = "".join(running.lines)
    assert "ACL SETUSER ada +hset +info" in said
    assert "hunter2" not in said
