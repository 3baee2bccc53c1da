"""How many keys a second go through one worker process, and what each costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.process_tree import cpu_seconds_of
from tests.bench.queue_order import faults, read
from tests.bench.queue_server import Load, Server
from tests.bench.queue_sides import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """One run of one system."""

    keys: int  # those that were measured
    load: Load  # of Redis, without what the benchmark asked
    cpu_s: float  # of the worker
    faults: list[str]

    @property
    def rate(self) -> float:
        """Keys a second."""
        return self.keys / self.load.at


def through(server: Server, side: Side) -> Through:
    """Fill, start a worker, and measure from the first keys that are done to the last.

    The start of the process is left out, so is its end. Every key must have run once.
    """
    server.clear()
    side.fill(server, side.keys)
    report = server.file(side.name)
    process = server.start(side.name, *side.argv(server, report))
    server.wait(process, lambda: server.left(*side.left) < side.keys)
    before, cpu_s, polls = server.load(), cpu_seconds_of([process.pid]), server.own_polls
    first = server.left(*side.left)
    began_s = time.monotonic()
    server.wait(process, lambda: server.left(*side.left) == 0, every_s=0.005)
    took_s = time.monotonic() - began_s
    load, cpu_s = server.load().since(before), cpu_seconds_of([process.pid]) - cpu_s
    polls = server.own_polls - polls
    if side.ends:
        server.wait(process, lambda: not process.alive)
    process.stop()
    return Through(
        keys=first,
        load=Load(
            at=took_s,
            commands=load.commands - len(side.left) * polls,
            reads=load.reads - polls - 1,  # the second INFO is read before it answers
            cpu_s=load.cpu_s,
        ),
        cpu_s=cpu_s,
        faults=faults([read(report)], keys=side.keys, who=side.label),
    )
