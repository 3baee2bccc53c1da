"""Logs: one line a thing, readable on a terminal, JSON elsewhere, never with a credential."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import structlog

from common.ops import logs


def fail(text: str) -> None:
    """Raise an error with this text."""
    raise ValueError(text)


def test_outside_a_terminal_each_line_is_one_json_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A cluster's log store splits by line and reads JSON."""
    logs.configure(log_format="auto", level="info", component="watcher")
    structlog.get_logger().info("relisted", resource="pods", reason="Expired")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "relisted"
    assert line["resource"] == "pods"
    assert line["level"] == "info"
    assert line["component"] == "watcher"
    assert line["at"].endswith("Z")


def test_on_a_terminal_lines_are_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sluice run` is read by eyes."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure(log_format="auto", level="info", component="run")
    structlog.get_logger().info("ready", children=4)
    said = capsys.readouterr().err
    assert "ready" in said
    assert not said.startswith("{")


@pytest.mark.parametrize(("chosen", "is_json"), [("json", True), ("console", False)])
def test_a_chosen_format_wins_over_the_terminal(
    capsys: pytest.CaptureFixture[str], chosen: str, *, is_json: bool
) -> None:
    """Piping into a pager or a file must not change what somebody asked for."""
    logs.configure(log_format=chosen, level="info", component="run")
    structlog.get_logger().info("ready")
    assert capsys.readouterr().err.startswith("{") is is_json


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    """Debug lines of a busy worker would cost more than its work."""
    logs.configure(log_format="json", level="warning", component="worker")
    structlog.get_logger().info("claimed")
    structlog.get_logger().warning("retried")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == [
        "retried"
    ]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_shows_a_credential(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """Law 9: neither a field, nor a text, nor a traceback, nor a library's line."""
    secret = "q9hunter2z7"  # noqa: S105 # what must not be seen
    logs.configure(log_format=log_format, level="info", component="worker")
    log = structlog.get_logger()
    log.info("connecting", url=f"redis://:{secret}@host", password=secret)
    logging.getLogger("urllib3").warning("retry of %s", f"https://a:{secret}@host")
    try:
        fail(f"no route to https://a:{secret}@host")
    except ValueError:
        log.exception("failed")
        logging.getLogger("rq").exception("failed too")
    said = capsys.readouterr().err
    assert secret not in said
    assert "no route to" in said


def test_tracebacks_show_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """A frame of the credential look-up holds the credential."""
    logs.configure(log_format="console", level="info", component="worker")
    password = "q9hunter2z7"  # noqa: S105 # what must not be seen
    try:
        fail(str(len(password)))
    except ValueError:
        structlog.get_logger().exception("failed")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert password not in said


def test_libraries_speak_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """urllib3 writes a line per connection, rq one per job."""
    logs.configure(log_format="json", level="debug", component="worker")
    logging.getLogger("urllib3").info("Starting new HTTPS connection")
    logging.getLogger("urllib3").warning("Connection pool is full")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["logger"] == "urllib3"


def test_a_second_set_up_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice configured must not mean twice written."""
    for _ in range(2):
        logs.configure(log_format="json", level="info", component="worker")
    logging.getLogger("urllib3").warning("once")
    structlog.get_logger().info("once")
    assert len(capsys.readouterr().err.splitlines()) == 2


_ENDS = """
import sys, threading, warnings
from common.ops.startup import begin_logs
from common.settings.parse import parse
begin_logs(parse({"SLUICE_LOG_FORMAT": "json"}).ops, component="worker", warnings=())
warnings.warn("an old call", stacklevel=1)
def fail():
    raise ValueError("of the thread\\nwith two lines, redis://:q9hunter2z7@cache")
thread = threading.Thread(target=fail, name="lookout")
thread.start()
thread.join()
raise RuntimeError("of the process")
"""


def test_warnings_and_tracebacks_of_python_are_lines_too() -> None:
    """A log store that splits by line makes forty events of one traceback."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _ENDS], capture_output=True, check=False, text=True
    )
    assert done.returncode == 1
    warned, thread, process = map(json.loads, done.stderr.splitlines())
    assert "an old call" in warned["event"]
    assert (thread["event"], thread["thread"]) == ("thread ends", "lookout")
    assert "Traceback" in thread["exception"]
    assert "q9hunter2z7" not in done.stderr
    assert (process["event"], process["level"]) == ("process ends", "critical")
    assert "RuntimeError: of the process" in process["exception"]
    assert {each["component"] for each in (warned, thread, process)} == {"worker"}
