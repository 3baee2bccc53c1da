"""The queue's benchmark measures what it says it does, on a small scale and the real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.queue.contract import Add
from tests.bench import queue_venv
from tests.bench.queue_server import Server
from tests.bench.queue_sides import keys_of, ours
from tests.bench.queue_through import through

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a Valkey of the benchmark's own."""
    with Server() as started:
        yield started


def test_all_keys_go_through_a_worker_and_are_counted(server: Server) -> None:
    """Rates of keys that were lost on the way would look good."""
    seen = through(server, replace(ours(), keys=2_000))
    assert seen.faults == []
    assert 0 < seen.keys < 2_000  # measured from the first ones that were done
    assert 4 < seen.load.commands / seen.keys < 40
    assert seen.load.reads / seen.keys < 1  # batches


def test_a_key_that_never_runs_makes_the_result_wrong(server: Server) -> None:
    """The count of runs is the benchmark's own, and it tells."""

    def fill_one_too_few(server: Server, count: int) -> None:
        server.queue().add([Add(key=key) for key in keys_of(count - 1)])

    assert through(server, replace(ours(), keys=300, fill=fill_one_too_few)).faults


def test_an_environment_that_cannot_be_made_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an index the comparison is impossible: a precondition, not a wrong result."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(queue_venv, "_REQUIREMENTS", tmp_path)
    (tmp_path / "bench-saq.txt").write_text("--no-index\nsaq==1 --hash=sha256:" + "0" * 64)
    with pytest.raises(PreconditionError, match="saq, which needs an environment"):
        queue_venv.python_with("saq")
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_dir()]
    assert not any(path.name.startswith("saq-") for path in left)
