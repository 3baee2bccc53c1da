"""A watcher's loop on fakes, turn by turn: what its unit tests arrange and look at."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

from prometheus_client import CollectorRegistry

from tests.fakes.watch_tables import FakeTables
from tests.folding import empty
from watcher.lead import LeadPorts
from watcher.metrics import FeedMetrics, WatchMetrics
from watcher.pulse import Pulse
from watcher.rounds import RoundPorts, Rounds
from watcher.stream.change import Change, Op
from watcher.sweeper import Ports
from watcher.watch import Parts, Watcher

RESOURCES = ("replicasets", "pods")
Action: TypeAlias = Callable[[], None]


class FakeSeat:
    """A place in an election that a test decides; it leads at first."""

    def __init__(self) -> None:
        self.alive = True
        self.number = 1
        self.other = ""
        self.reached: list[float] = []
        self.resigned: list[int] = []
        self.is_shared = True  # False: there is no election

    def term(self) -> int:
        return self.number

    def reached_redis(self, at_s: float) -> None:
        self.reached.append(at_s)

    def resign(self, term: int) -> bool:
        self.resigned.append(term)
        self.number = 0
        return self.is_shared

    # --- what a test arranges

    def lose(self, other: str = "other") -> None:
        self.number, self.other = 0, other

    def win(self, number: int = 2) -> None:
        self.number, self.other = number, ""


class Script(threading.Event):
    """Says "stop" when its actions are used up; each turn of the loop does the next one."""

    def __init__(self, *actions: Action) -> None:
        super().__init__()
        self._actions = list(actions)

    def is_set(self) -> bool:
        if not self._actions:
            return True
        self._actions.pop(0)()
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


class Inbox(queue.Queue[Change]):
    """A queue that never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.before_get: Action | None = None  # once, in the middle of a turn

    def get(self, block: bool = True, timeout: float | None = None) -> Change:  # noqa: FBT001, FBT002 # queue's
        action, self.before_get = self.before_get, None
        if action is not None:
            action()
        return super().get(block=False)


class Stage:
    """A watcher, its fakes, and actions for `run`."""

    def __init__(self, *, tables: FakeTables | None = None, digest: str = "d") -> None:
        """`tables`: of a watcher before; `digest`: of everything that shapes reports."""
        self.alive = True
        self.now_s = 0.0
        self.seat = FakeSeat()
        self.tables, self.cluster, self.inbox = tables or FakeTables(), empty(), Inbox()
        self.registry = CollectorRegistry()
        pulse = Pulse(monotonic=lambda: self.now_s, draw=lambda: 0.5)
        ports = Ports(
            queue=self.tables,
            rows=self.tables,
            settled=self.tables,
            known=self.cluster,
            references=self.tables,
            images=self.tables.images,
        )
        rounds = Rounds(
            RoundPorts(
                tables=ports,
                requests=self.tables,
                ledger=self.tables,
                clock=self.tables,
                count_reports=lambda: len(self.cluster.reports),
            ),
            WatchMetrics(self.registry),
            interval_s=600.0,
            pulse=pulse,
        )
        self.watcher = Watcher(
            Parts(
                inbox=self.inbox,
                streams=self,
                seat=self.seat,
                cluster=self.cluster,
                work=self.tables,
                ledger=self.tables,
                lead=LeadPorts(
                    fences=self.tables,
                    epochs=self.tables,
                    lives=self.tables,
                    seen=self.tables,
                    signs=self.tables,
                ),
                rounds=rounds,
                tally=FeedMetrics(self.registry),
                pulse=pulse,
                expected=frozenset((resource, "") for resource in RESOURCES),
                digest=lambda: digest,
            )
        )

    def put(self, *changes: Change) -> Action:
        def turn() -> None:
            for change in changes:
                self.inbox.put(change)

        return turn

    def synced(self) -> Action:
        return self.put(*(Change(resource=name, op=Op.SYNCED) for name in RESOURCES))

    def later(self, seconds: float) -> Action:
        def turn() -> None:
            self.now_s += seconds

        return turn

    def run(self, *actions: Action) -> None:
        self.watcher.run(Script(*actions))

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.tables.facts]


def rest() -> None:
    """Let a turn pass."""
