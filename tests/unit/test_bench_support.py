"""What benchmarks share: CPU of a process tree, the table for people, the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from common.model.errors import PreconditionError
from tests.bench import __main__ as command
from tests.bench.process_tree import Used, cpu_seconds, machine_ticks, parse, tree_ticks
from tests.bench.table import render

STAT = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 1 0 55 6 7"
DOCUMENT: dict[str, Any] = {
    "name": "queue",
    "machine": {"cores": 2},
    "rows": [
        {
            "case": "run-vs-rq",
            "ours": 12345.6,
            "baseline": 500.0,
            "baseline_name": "rq",
            "unit": "keys/s",
            "ratio": 24.691,
            "goal": 20,
            "runs": 5,
            "spread": [12000.0, 13000.0],
        },
        {
            "case": "time-to-truth-p50",
            "ours": 4.25,
            "baseline": None,
            "baseline_name": None,
            "unit": "s",
            "ratio": None,
            "goal": None,
            "runs": 1,
            "spread": [4.25, 4.25],
            "beside": "peer tuned 22.3",
        },
    ],
    "ok": True,
}


def test_a_name_with_brackets_and_spaces_does_not_shift_the_fields() -> None:
    """A process may call itself anything."""
    assert parse(STAT) == Used(parent=7, ticks=154)


def test_a_tree_counts_every_descendant_and_no_neighbour() -> None:
    """Trivy is a grandchild; another product on the machine is none."""
    processes = {
        1: Used(parent=0, ticks=1000),
        10: Used(parent=1, ticks=1),
        11: Used(parent=10, ticks=2),
        12: Used(parent=11, ticks=4),
        20: Used(parent=1, ticks=8),
    }
    assert tree_ticks(10, processes) == 7


def test_the_machines_time_leaves_out_what_was_idle_or_waited_for_a_disk() -> None:
    """And counts no guest twice: the kernel has put those into user time."""
    stat = "cpu  10 20 30 4000 500 1 2 3 700 800\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert machine_ticks(stat) == 10 + 20 + 30 + 1 + 2 + 3


def test_a_tree_that_ended_has_used_nothing_that_can_be_seen() -> None:
    """Its starter tells that it ended."""
    assert tree_ticks(10, {1: Used(parent=0, ticks=5)}) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cpu_of_a_child_that_ended_counts_for_its_parent() -> None:
    """Each job of the scanner is a process that is gone when we look."""
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(6_000_000))"], check=True)
    assert cpu_seconds(os.getpid()) > before


def test_the_table_shows_ratio_and_goal_where_there_is_a_baseline() -> None:
    """A person compares the two columns."""
    shown = render(DOCUMENT)
    (row,) = [line for line in shown.splitlines() if line.startswith("run-vs-rq")]
    assert row.split() == [
        *("run-vs-rq", "12,346", "keys/s", "500", "24.7", "20"),
        *("12,000", "-", "13,000", "(5)", "rq"),
    ]


def test_the_table_shows_what_stands_beside_where_there_is_none() -> None:
    """The peer was measured elsewhere: its number is no baseline of this run."""
    shown = render(DOCUMENT)
    (row,) = [line for line in shown.splitlines() if line.startswith("time-to-truth")]
    assert row.endswith("peer tuned 22.3")
    assert "None" not in shown


def test_the_table_says_when_a_result_is_wrong() -> None:
    """The numbers above it must not be believed."""
    assert "A RESULT IS WRONG" in render({**DOCUMENT, "ok": False})
    assert "A RESULT IS WRONG" not in render(DOCUMENT)


def test_columns_stand_under_their_heads() -> None:
    """One long case must not shift the others."""
    _, head, first, second, *_ = render(DOCUMENT).splitlines()
    assert head.index("unit") == first.index("keys/s") == second.index("s  ", head.index("unit"))


def run_with(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any] | PreconditionError, *arguments: str
) -> int:
    """Run the command line with benchmarks that return `found`."""

    def run(_name: str, *, runs: int | None) -> dict[str, Any]:
        if isinstance(found, PreconditionError):
            raise found
        return {**found, "asked": runs}

    monkeypatch.setattr(command, "_run", run)
    return command.main(arguments)


def test_one_benchmark_writes_its_own_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make bench NAME=pure JSON=file`, with the form of the interface at the top."""
    out = tmp_path / "out.json"
    assert run_with(monkeypatch, DOCUMENT, "--name", "pure", "--json", str(out), "--runs", "3") == 0
    assert orjson.loads(out.read_bytes()) == {**DOCUMENT, "asked": 3}
    assert "run-vs-rq" in capsys.readouterr().out


def test_several_benchmarks_write_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`make bench JSON=file` runs all that there are."""
    out = tmp_path / "out.json"
    assert run_with(monkeypatch, DOCUMENT, "--json", str(out)) == 0
    assert len(orjson.loads(out.read_bytes())) == len(command.names())


def test_a_wrong_result_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else does: a slow machine is no failure."""
    assert run_with(monkeypatch, {**DOCUMENT, "ok": False}, "--name", "pure") == 1


def test_a_part_that_cannot_be_had_ends_with_3_and_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every command does."""
    error = PreconditionError("no etcd; put it in PATH")
    assert run_with(monkeypatch, error, "--name", "pure") == 3
    assert "no etcd; put it in PATH" in capsys.readouterr().err


def test_a_name_that_is_no_benchmark_is_wrong_usage() -> None:
    """Its message lists those that there are."""
    with pytest.raises(SystemExit) as caught:
        command.main(["--name", "nonsense"])
    assert caught.value.code == 2


def test_every_benchmark_that_is_offered_can_be_run() -> None:
    """A module without `run` would fail after minutes of others."""
    assert {"pure", "path"} <= set(command.names())
    for name in command.names():
        module = __import__(f"tests.bench.{name}", fromlist=["run"])
        assert callable(module.run)
