"""A worker process for tests: `python -m tests.queue_worker JSON`, over the real host and queue.

Its reconcile keeps a record outside Redis, so that nothing that happens to Redis can confuse it:
per key a lock file (two at once are a violation), the version it should see, the version it saw.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path

import msgspec

from common.model.errors import SourceUnavailableError
from common.model.redis_address import parse_redis_url
from common.ops import logs
from common.ops.startup import stop_on_signals
from common.queue.contract import Claim, Outcome, Settled
from common.state import connect as connect_module
from common.state.connect import connect
from common.state.names import Names
from tests.queue_values import judged
from worker.host import Crew, Host, HostSettings
from worker.ports import Ports


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run."""

    url: str
    cluster: str
    folder: str
    password_file: str = ""
    ca_file: str = ""
    loops: int = 1
    lease_s: float = 1.0
    grace_s: float = 10.0
    run_s: float = 0.002  # the longest run; the shortest is half as long
    failing: float = 0.0  # share of runs that fail once
    max_crashes: int = 1_000_000
    batch: int = 16
    reply_s: float = 0.0  # how long Redis may be silent; 0: as long as the product waits


class Diary:
    """Files about keys. Every write is atomic, and survives the SIGKILL of its writer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("wanted", "seen", "lock"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def want(self, name: str, version: int) -> None:
        """Note that the key has this version now."""
        self._write(self.folder / "wanted" / name, str(version))

    def wanted(self, name: str) -> int:
        return self._read(self.folder / "wanted" / name)

    def seen(self, name: str) -> int:
        return self._read(self.folder / "seen" / name)

    def see(self, name: str, version: int) -> None:
        """Note that a run has brought the key to this version."""
        self._write(self.folder / "seen" / name, str(version))

    def begin(self, name: str) -> None:
        """Take the key's lock; one that a living process holds is a violation."""
        lock = self.folder / "lock" / name
        mine = f"{os.getpid()}:{threading.get_ident()}"
        try:
            with lock.open("x") as file:
                file.write(mine)
        except FileExistsError:
            holder = lock.read_text()
            if holder and _lives(int(holder.partition(":")[0])):
                with (self.folder / "violations").open("a") as file:
                    file.write(f"{name}: {holder} and {mine}\n")
            self._write(lock, mine)

    def end(self, name: str) -> None:
        (self.folder / "lock" / name).unlink(missing_ok=True)

    def violations(self) -> list[str]:
        file = self.folder / "violations"
        return file.read_text().splitlines() if file.exists() else []

    def note_run(self, name: str) -> None:
        with (self.folder / "runs").open("a") as file:
            file.write(name + "\n")

    def note_token(self, token: int) -> None:
        """Note the token of a claim that runs: none may ever be seen twice."""
        with (self.folder / "tokens").open("a") as file:
            file.write(f"{token}\n")

    def tokens(self) -> list[int]:
        file = self.folder / "tokens"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def runs(self) -> list[str]:
        file = self.folder / "runs"
        return file.read_text().splitlines() if file.exists() else []

    @staticmethod
    def _read(file: Path) -> int:
        return int(file.read_text()) if file.exists() else 0

    @staticmethod
    def _write(file: Path, text: str) -> None:
        part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
        part.write_text(text)
        part.replace(file)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main(order: Order) -> int:
    """Work until SIGTERM."""
    logs.configure(log_format="json", level="warning", component="queue-worker")
    diary = Diary(Path(order.folder))
    dice = random.Random()  # noqa: S311 # for lengths of runs

    def reconcile(claim: Claim) -> Outcome:
        name = str(claim.key).rpartition("/")[2]
        diary.begin(name)
        diary.note_token(claim.token)
        try:
            version = diary.wanted(name)
            time.sleep((1 + dice.random()) / 2 * order.run_s)
            if dice.random() < order.failing and claim.attempts == 0:
                raise SourceUnavailableError("made to fail")
            diary.see(name, version)
            diary.note_run(name)
        finally:
            diary.end(name)
        return Settled(fingerprint=str(version), epoch=1, outcome="Converged")

    stopping = threading.Event()
    stop_on_signals(stopping.set)
    address = parse_redis_url(order.url)
    if order.reply_s:
        connect_module.REPLY_S = order.reply_s
    with connect(address, password_file=order.password_file, ca_file=order.ca_file) as client:
        host = Host(
            client,
            Names(order.cluster),
            ports=Ports(monotonic_s=time.monotonic, judge=judged),
            settings=HostSettings(
                lease_s=order.lease_s,
                grace_s=order.grace_s,
                max_crashes=order.max_crashes,
                batch=order.batch,
            ),
        )
        crew = Crew(pool="reconcile", loops=order.loops, reconcile=reconcile)
        return 0 if host.run([crew], stopping) else 1


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Order)))
