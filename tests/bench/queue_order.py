"""What a worker of the queue's benchmark is told to do, and what it tells in the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

FRESH = "fresh-"  # names of keys whose start is stamped begin so


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """How `tests.bench.queue_ours` works."""

    url: str
    cluster: str
    report: str  # the file for the report
    run_s: float = 0.0  # a run waits this long; 0: it does nothing
    hang_after: int = 0  # this many runs end, the next one never does; 0: all end


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker of any of the systems ran."""

    runs: int
    keys: int
    most: int  # runs of the key that ran most often
    stamps: dict[str, float] = {}  # when fresh keys began to run, seconds of the monotonic clock


def report_of(ran: Counter[str], stamps: dict[str, float] | None = None) -> Report:
    """Return the report of a worker that ran each key so often."""
    most = max(ran.values(), default=0)
    return Report(runs=ran.total(), keys=len(ran), most=most, stamps=stamps or {})


def write(report: Report, path: Path) -> None:
    """Leave the report for the benchmark."""
    path.write_bytes(msgspec.json.encode(report))


def read(path: Path) -> Report:
    """Return what a worker left; one that left nothing ran nothing."""
    if not path.exists():
        return Report(runs=0, keys=0, most=0)
    return msgspec.json.decode(path.read_bytes(), type=Report)


def faults(reports: list[Report], *, keys: int, who: str) -> list[str]:
    """Say what is wrong unless each of `keys` keys ran once, all workers together. Pure."""
    runs, distinct = sum(one.runs for one in reports), sum(one.keys for one in reports)
    most = max((one.most for one in reports), default=0)
    if runs == distinct == keys and most == min(keys, 1):
        return []
    return [f"{who}: {keys} keys, {distinct} ran, {runs} runs, one key up to {most} times"]
