"""A Redis password that is set or changed under a running product: waited out, then taken up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.model.errors import SourceUnavailableError
from common.model.facts import Fact
from common.model.redis_address import parse_redis_url
from common.ops.startup import patiently
from common.queue.contract import Add, Claim, Outcome
from common.queue.workqueue import WorkQueue
from common.state.connect import Client, connect
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.queue_values import converged, judged, workload
from tests.waiting import eventually
from worker.host import Crew, Host, HostSettings
from worker.ports import Ports

pytestmark = pytest.mark.integration

A, B = workload("a"), workload("b")


@dataclass
class Rotated:
    """A server of the test's own, its administrator, and the password file of the product."""

    valkey: Valkey
    admin: Redis
    file: Path

    def client(self) -> Client:
        """Return a client as the product makes it."""
        return connect(parse_redis_url(self.valkey.url), password_file=str(self.file))

    def rotate(self, password: str) -> None:
        """Set a new password, and cut everybody off who knows the old one."""
        self.admin.config_set("requirepass", password)
        self.admin.client_kill_filter(skipme=True, _type="normal")

    def refusals(self) -> int:
        """Return how often somebody came with a wrong password."""
        found: Any = self.admin.info("errorstats")
        return int(found.get("errorstat_WRONGPASS", {"count": 0})["count"])


@pytest.fixture
def rotated(tmp_path: Path) -> Iterator[Rotated]:
    """Give a server whose password is `first`."""
    with Place() as place, Stack() as stack:
        valkey = Valkey(place, stack).start()
        with Redis.from_url(valkey.url) as admin:
            file = tmp_path / "password"
            file.write_text("first\n")
            admin.config_set("requirepass", "first")
            yield Rotated(valkey=valkey, admin=admin, file=file)


def test_the_tables_wait_out_a_rotation_and_go_on_by_themselves(rotated: Rotated) -> None:
    """It ended the watcher with status 3, and `sluice run` with it."""
    with rotated.client() as client:
        ledger = Ledger(client, Names("rotated"))
        ledger.append([Fact(kind="started")])
        rotated.rotate("second")
        with pytest.raises(SourceUnavailableError):  # the connection was cut
            ledger.append([Fact(kind="started")])
        with pytest.raises(SourceUnavailableError, match="SLUICE_REDIS_PASSWORD_FILE") as caught:
            ledger.append([Fact(kind="started")])
        assert caught.value.reason == "RedisRefused"
        rotated.file.unlink()
        with pytest.raises(SourceUnavailableError, match=r"cannot read .*password: No such file"):
            ledger.counts()
        rotated.file.write_text("second\n")
        ledger.append([Fact(kind="started")])
        assert ledger.counts()["started"] == 2


def test_a_worker_outlives_a_rotation(rotated: Rotated) -> None:
    """Loop and lease ask again until the new password is in the file."""
    stopping, drained = threading.Event(), list[bool]()
    worked: list[str] = []
    names = Names("rotated")

    def reconcile(claim: Claim) -> Outcome:
        worked.append(str(claim.key))
        return converged()

    with rotated.client() as client, rotated.client() as other:
        ports = Ports(monotonic_s=time.monotonic, judge=judged)
        host = Host(client, names, ports=ports, settings=HostSettings(lease_s=1.0))
        crew = Crew(pool="reconcile", loops=1, reconcile=reconcile)
        thread = threading.Thread(target=lambda: drained.append(host.run([crew], stopping)))
        thread.start()
        try:
            queue = WorkQueue(other, names)
            queue.add([Add(key=A)])
            assert eventually(lambda: len(worked) == 1)
            rotated.rotate("second")
            assert eventually(lambda: rotated.refusals() > 3)  # loop and lease, again and again
            assert thread.is_alive()
            rotated.file.write_text("second\n")
            patiently(lambda: queue.add([Add(key=B)]), stopping)
            assert eventually(lambda: len(worked) == 2)
        finally:
            stopping.set()
            thread.join()
    assert drained == [True]


@pytest.mark.parametrize("words", [["status"], ["database"], ["queue", "ls"]], ids=" ".join)
def test_a_command_says_at_once_that_the_password_is_wrong(
    rotated: Rotated,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever sits before the terminal can mend it now."""
    rotated.file.write_text("wrong\n")
    monkeypatch.setenv("SLUICE_REDIS_URL", rotated.valkey.url)
    monkeypatch.setenv("SLUICE_REDIS_PASSWORD_FILE", str(rotated.file))
    monkeypatch.setenv("SLUICE_CLUSTER", "rotated")
    assert main(words) == 3
    assert "SLUICE_REDIS_PASSWORD_FILE" in capsys.readouterr().err
    rotated.file.unlink()
    assert main(words) == 3
    assert "cannot read" in capsys.readouterr().err
