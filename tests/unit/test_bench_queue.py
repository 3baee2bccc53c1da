"""The arithmetic of the queue's benchmark: ratios, counts of runs, what Redis says about itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.bench import queue_rows
from tests.bench.queue_order import Report, faults, read, report_of, write
from tests.bench.queue_server import Load, load_of


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    """More keys a second and fewer bytes a key are both better."""
    more = queue_rows.against("run", [300, 100, 200], [10, 30, 20], name="rq", unit="keys/s")
    less = queue_rows.against(
        "bytes", [300], [900], name="rq", unit="bytes", goal=3, less_is_better=True
    )
    assert (more["ours"], more["baseline"], more["ratio"]) == (200, 20, 10)
    assert (more["runs"], more["spread"], more["baseline_spread"]) == (3, [100, 300], [10, 30])
    assert (less["ratio"], less["goal"]) == (3, 3)


def test_every_run_is_in_the_document() -> None:
    """A median without the values behind it can hide the bad ones."""
    found = queue_rows.against("run", [3, 1, 2], [5, 4, 6], name="rq", unit="keys/s")
    assert (found["measured"], found["baseline_measured"]) == ([3, 1, 2], [5, 4, 6])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0.25, 1)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """The 99th of four is the worst of them."""
    assert queue_rows.percentile([4, 2, 1, 3], share) == expected


@pytest.mark.parametrize(
    "reports",
    [
        [Report(runs=3, keys=3, most=1)],
        [Report(runs=5, keys=4, most=2)],
        [Report(runs=2, keys=2, most=1), Report(runs=3, keys=3, most=1)],
        [Report(runs=4, keys=3, most=2)],
        [],
    ],
    ids=["lost", "doubled", "by two workers", "lost and doubled", "nothing ran"],
)
def test_a_key_that_ran_not_once_is_a_wrong_result(reports: list[Report]) -> None:
    """Speed that loses or doubles keys is none."""
    assert faults(reports, keys=4, who="ours")


def test_each_key_once_is_right_however_the_workers_shared_them() -> None:
    """Which worker ran what is nobody's business."""
    reports = [Report(runs=1, keys=1, most=1), Report(runs=3, keys=3, most=1)]
    assert faults(reports, keys=4, who="ours") == []


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    """The worker that wrote it has ended; one that was killed left none."""
    report = report_of(Counter({"a": 1, "b": 2}), {"fresh-1": 0.5})
    write(report, tmp_path / "report")
    assert (
        read(tmp_path / "report")
        == report
        == Report(runs=3, keys=2, most=2, stamps={"fresh-1": 0.5})
    )
    assert read(tmp_path / "none") == Report(runs=0, keys=0, most=0)


def test_the_asking_is_not_counted_as_work() -> None:
    """INFO is a command too."""
    info = {
        "cmdstat_hset": {"calls": 7},
        "cmdstat_xadd": {"calls": 3},
        "cmdstat_info": {"calls": 5},
        "total_reads_processed": 4,
        "used_cpu_user": 1.5,
        "used_cpu_sys": 0.5,
    }
    seen = load_of(info, at=9.0)
    assert seen == Load(at=9.0, commands=10, reads=4, cpu_s=2.0)
    assert seen.since(Load(at=4.0, commands=1, reads=1, cpu_s=0.5)) == Load(
        at=5.0, commands=9, reads=3, cpu_s=1.5
    )
