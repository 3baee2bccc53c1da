"""The parts of `sluice run`, `sluice top` and the way to a running Valkey, in this process."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from common.cli import parts, pipeline, progress, top
from common.cli.command import Context
from common.cli.main import main
from common.cli.progress import shown_progress
from common.cli.tables import RunNote, open_tables, read_note, redis_address
from common.cli.terminal import Terminal
from common.model.errors import PreconditionError, SourceUnavailableError
from common.model.redis_address import parse_redis_url
from common.ops import metrics
from common.ops.gathering import fetch
from common.ops.probes import ProbeServer, health_route, metrics_route
from common.overview.gather import gather
from common.overview.tables import Tables, tables_on
from common.overview.trouble import Promises
from common.settings.formats import BindAddress
from common.settings.parse import parse
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.waiting import eventually

pytestmark = pytest.mark.integration

LOOPBACK = BindAddress(host="127.0.0.1", port=0)


class Screen(io.StringIO):
    """A terminal that somebody looks at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def tables(valkey: Valkey, redis_client: Redis, names: Names) -> Tables:
    """Give the tables of a cluster of the test's own."""
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


# --- the note of a running `sluice run`


def note(valkey: Valkey, pid: int) -> RunNote:
    """Return a note that leads to the shared Valkey."""
    return RunNote(pid=pid, redis_url=valkey.socket_url, cluster="noted")


def test_a_command_finds_the_valkey_of_a_running_run(tmp_path: Path, valkey: Valkey) -> None:
    """`sluice status` beside `sluice run` needs no setting and no cluster."""
    settings = parse({"SLUICE_DATA_DIR": str(tmp_path)})
    with (
        parts.noted(settings, note(valkey, os.getpid())),
        open_tables(settings) as tables,
    ):
        assert tables.names.cluster == "noted"
        assert tables.address.shown == parse_redis_url(valkey.socket_url).shown
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_the_note_of_a_run_that_died_leads_nowhere(tmp_path: Path, valkey: Valkey) -> None:
    """After `kill -9` the note stays; its Valkey does not."""
    settings = parse({"SLUICE_DATA_DIR": str(tmp_path)})
    dead = 2**22 + 1  # above the largest pid there can be
    with parts.noted(settings, note(valkey, dead)):
        assert read_note(str(tmp_path)) is None
        with pytest.raises(PreconditionError, match="no `sluice run` is at work"):
            redis_address(settings, read_note(str(tmp_path)))


def test_a_note_that_is_damaged_is_no_note(tmp_path: Path) -> None:
    """A disk that was full is no reason for a traceback."""
    (tmp_path / "run.json").write_text('{"pid": ', encoding="utf-8")
    assert read_note(str(tmp_path)) is None


def test_with_a_redis_of_ones_own_no_note_is_left(tmp_path: Path) -> None:
    """Others must name that Redis too: its URL may hold a password."""
    settings = parse({"SLUICE_DATA_DIR": str(tmp_path)})
    with parts.noted(settings, None):
        assert list(tmp_path.iterdir()) == []


# --- pages of the run


def test_the_run_serves_the_readiness_of_all_children_as_one() -> None:
    """A probe in front of `sluice run` sees the one child that is down."""
    registry = metrics.new_registry(component="watcher", version="1")
    pages = {"/readyz": health_route({}), "/metrics": metrics_route(registry)}
    with ProbeServer("127.0.0.1", 0, pages) as up:
        down = pipeline.Ports(metrics=1, health=1)  # nobody listens there
        children = {"watcher": pipeline.Ports(metrics=up.port, health=up.port)}
        served = parts.Served(metrics=LOOPBACK, health=LOOPBACK, status=LOOPBACK)
        with parts.serve(served, children) as taken:
            assert fetch(f"http://{taken.health}/readyz") is not None
            assert 'sluice_process_up{process="watcher"} 1.0' in (
                fetch(f"http://{taken.metrics}/metrics") or ""
            )
        with parts.serve(served, {**children, "worker-1": down}) as taken:
            assert fetch(f"http://{taken.health}/readyz") is None
            assert fetch(f"http://{taken.health}/healthz") is not None  # the run itself is well


def test_a_socket_that_a_dead_scanner_left_is_taken_away(tmp_path: Path) -> None:
    """Its appearance is what says that the scanner is ready."""
    settings = parse({"SLUICE_DATA_DIR": str(tmp_path)})
    stale = Path(settings.trivy.scanner_socket)
    stale.touch()
    assert not Path(parts.scanner_socket(settings)).exists()


# --- progress


def test_progress_is_refreshed_while_the_block_runs(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first pass over a big cluster takes minutes."""
    monkeypatch.setattr(progress, "_EVERY_S", 0.01)
    err = Screen()
    terminal = Terminal(stdin=sys.stdin, stdout=io.StringIO(), stderr=err)
    with shown_progress(terminal, tables):
        assert eventually(lambda: "0/0 workloads true" in err.getvalue())
    assert err.getvalue().endswith("\x1b[2K")  # the line is cleared at the end
    assert not [each for each in threading.enumerate() if each.name == "progress"]


def test_without_a_terminal_there_is_no_progress_and_no_thread(tables: Tables) -> None:
    """A log file is not for bars."""
    err = io.StringIO()
    with shown_progress(Terminal(stdin=sys.stdin, stdout=io.StringIO(), stderr=err), tables):
        assert not [each for each in threading.enumerate() if each.name == "progress"]
    assert err.getvalue() == ""


# --- top


@pytest.fixture
def environ(valkey: Valkey, names: Names) -> dict[str, str]:
    """Give settings that lead to the test's tables."""
    return {"SLUICE_REDIS_URL": valkey.socket_url, "SLUICE_CLUSTER": names.cluster}


def ctrl_c_after(pages: int) -> Callable[..., bool]:
    """Return what a pause does: nothing, until somebody presses Ctrl-C."""
    left = [pages]

    def wait(*_: object) -> bool:
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt
        return False

    return wait


def seen_on_top(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, pages: int) -> str:
    """Run `sluice top` for so many pages and return what it drew."""
    out = Screen()
    terminal = Terminal(stdin=sys.stdin, stdout=out, stderr=io.StringIO())
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "50")
    monkeypatch.setattr(threading.Event, "wait", ctrl_c_after(pages))
    arguments = type("Arguments", (), {"interval_s": 2.0, "once": False})()
    command = top.COMMANDS["top"]
    assert command.run(Context(environ=environ, terminal=terminal), arguments) == 0
    return out.getvalue()


def test_top_shows_the_status_until_ctrl_c(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with success: Ctrl-C is how one leaves it."""
    text = seen_on_top(environ, monkeypatch, pages=3)
    assert text.count("\x1b[H") == 3
    assert text.count("sluice top") == 3
    assert "is empty: no watcher and no worker" in text


def test_top_survives_a_redis_that_restarts(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left open on a second screen for days."""
    pages = iter([SourceUnavailableError("Redis at unix:///x does not answer"), None])

    def sometimes(tables: Tables, promises: Promises) -> object:
        if error := next(pages):
            raise error
        return gather(tables, promises)

    monkeypatch.setattr(top, "gather", sometimes)
    text = seen_on_top(environ, monkeypatch, pages=2)
    assert text.index("does not answer") < text.index("true reports")


# --- components


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Give what the process was replaced by, and its pools."""
    seen: list[tuple[str, ...]] = []

    def execve(_path: str, argv: tuple[str, ...], environ: dict[str, str]) -> None:
        seen.append((*argv[1:], environ.get("SLUICE_WORKER_POOLS", "")))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv("SLUICE_WORKER_POOLS", raising=False)
    return seen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["watcher"], ("-P", "-m", "watcher", "")),
        (["scanner"], ("-P", "-m", "worker.scanner", "")),
        (["worker"], ("-P", "-m", "worker", "")),
        (["worker", "--pool", "scan,reconcile"], ("-P", "-m", "worker", "reconcile,scan")),
        (["worker", "--pool", "match"], ("-P", "-m", "worker", "match")),
    ],
)
def test_a_command_becomes_its_component(
    words: list[str], expected: tuple[str, ...], executed: list[tuple[str, ...]]
) -> None:
    """One process and one pid: signals of the kubelet reach the component itself."""
    main(words)
    assert executed == [expected]


def test_wrong_settings_never_become_a_component(
    executed: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command tells them in its own words."""
    monkeypatch.setenv("SLUICE_LEASE_S", "x")
    assert main(["worker"]) == 3
    assert executed == []


# --- scripts


def test_the_status_of_scripts_names_what_is_wrong_too(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alert can be made of `jq -e '.problems == []'`."""
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all({"said", "remedy", "details"} == set(each) for each in found["problems"])
