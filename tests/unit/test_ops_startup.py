"""How processes begin and end: statuses, signals, patience, pages."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import (
    ConflictError,
    PreconditionError,
    RateLimitedError,
    SettingsError,
    SourceUnavailableError,
    StaleFenceError,
    TransientError,
)
from common.ops.exit_status import FAILED, PRECONDITION
from common.ops.probes import health_route
from common.ops.startup import begin_logs, exit_status, patiently, serving, stop_on_signals
from common.settings.formats import BindAddress
from common.settings.parse import parse


@pytest.fixture(autouse=True)
def _log_set_up_again() -> Iterator[None]:
    """Leave logging as it was."""
    yield
    structlog.reset_defaults()


def ends_with(error: BaseException) -> Callable[[], int]:
    """Return work that fails."""

    def work() -> int:
        raise error

    return work


# --- exit status


@pytest.mark.parametrize("status", [0, 1, 7])
def test_work_that_ends_gives_its_own_status(status: int) -> None:
    """A worker that was not drained says so."""
    assert exit_status(lambda: status) == status


@pytest.mark.parametrize("error", [PreconditionError("set X"), SettingsError("set X")])
def test_what_the_user_must_arrange_is_told_in_plain_words_with_status_3(
    error: PreconditionError, capsys: pytest.CaptureFixture[str]
) -> None:
    """The supervisor restarts everything but that; JSON around the words helps no reader."""
    assert exit_status(ends_with(error)) == PRECONDITION
    assert capsys.readouterr() == ("", "set X\n")


def test_another_error_of_ours_is_one_line_with_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another watcher leads: that happens at every rollout and is no traceback's business."""
    begin_logs(OPS, component="watcher", warnings=())
    assert exit_status(ends_with(StaleFenceError("7 is old"))) == FAILED
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["event"], found["error"]) == ("process ends", "7 is old")
    assert (found["component"], found["reason"]) == ("watcher", StaleFenceError.reason)


def test_a_defect_is_not_hidden() -> None:
    """What nobody foresaw needs its traceback."""
    with pytest.raises(ZeroDivisionError):
        exit_status(ends_with(ZeroDivisionError()))


# --- logs


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give Python's own ends back: pytest tells by them of threads that fail."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    logging.captureWarnings(capture=False)


OPS = parse({"SLUICE_LOG_FORMAT": "json", "SLUICE_LOG_LEVEL": "warning"}).ops


def test_what_the_settings_warn_of_stands_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that is not honoured must not look as if it were."""
    begin_logs(OPS, component="worker-scan", warnings=("X is not honoured", "Y neither"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["what"] for line in lines] == ["X is not honoured", "Y neither"]
    assert {(line["level"], line["component"]) for line in lines} == {("warning", "worker-scan")}


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_and_the_second_does_what_it_did_before(
    number: signal.Signals,
) -> None:
    """A drain that hangs must still be interruptible by hand."""
    before: list[int] = []
    old = {each: signal.signal(each, lambda each, _: before.append(each))
           for each in (signal.SIGTERM, signal.SIGINT)}  # fmt: skip
    stopping = threading.Event()
    try:
        stop_on_signals(stopping.set)
        os.kill(os.getpid(), number)
        assert stopping.wait(30)
        assert before == []
        os.kill(os.getpid(), number)
        assert before == [number]
    finally:
        for each, handler in old.items():
            signal.signal(each, handler)


def test_a_signal_is_heeded_while_the_main_thread_begins_to_wait_for_it() -> None:
    """`Event.wait` holds the lock that `Event.set` needs, for a moment, every time it is called.

    A handler that sets the event then waits for its own thread: a pod that only SIGKILL ends.
    """
    code = (
        "import signal, threading\n"
        "from common.ops.startup import stop_on_signals\n"
        "stopping = threading.Event()\n"
        "stop_on_signals(stopping.set)\n"
        "with stopping._cond:\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "stopping.wait()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_handlers_can_be_given_back() -> None:
    """A process that ran its main function for a test keeps its own Ctrl-C."""
    before = signal.getsignal(signal.SIGTERM)
    undo = stop_on_signals(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is not before
    undo()
    assert signal.getsignal(signal.SIGTERM) is before


STOPPED_BY = """
import os, signal, sys, threading
from common.cli.interrupts import interrupts
from common.ops.startup import stop_on_signals
from sandbox.processes import sigterm_unwinds
until = threading.Event()
if sys.argv[1] == "sandbox":
    with sigterm_unwinds():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        print("ignored", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
if sys.argv[1] == "process":
    stop_on_signals(until.set)
    print("ignored", signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("ended", until.wait(30), flush=True)
if sys.argv[1] == "command":
    with interrupts() as handler:
        until = handler.watched()
        kept = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGHUP)]
        print("ignored", kept == [signal.SIG_IGN] * 2, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        print("ended", until.wait(30), flush=True)
"""


@pytest.mark.parametrize("what", ["sandbox", "process", "command"])
def test_a_background_job_ignores_ctrl_c_and_heeds_sigterm(what: str) -> None:
    """`nohup sluice run &` in a script: a hang-up and the script's Ctrl-C are not for it."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    done = subprocess.run(
        [sys.executable, "-c", STOPPED_BY, what],
        preexec_fn=ignore,  # calls three system calls
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expected = "ignored\n" if what == "sandbox" else "ignored True\nended True\n"
    assert (done.stdout, done.stderr) == (expected, "")
    assert done.returncode == (128 + signal.SIGTERM if what == "sandbox" else 0)


# --- patience


class Waits(threading.Event):
    """An event that records how long it was waited for; set after so many waits."""

    def __init__(self, *, set_after: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._left = set_after

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        assert timeout is not None
        self.seconds.append(timeout)
        self._left -= 1
        return self._left < 0


AWAY = SourceUnavailableError("away")


def failing(times: int, error: Exception = AWAY) -> Callable[[], str]:
    """Return a question that is answered after so many failures."""
    left = [times]

    def ask() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return "here"

    return ask


def test_an_answer_at_once_is_not_waited_for() -> None:
    """Start-up is on the path of every restart."""
    waits = Waits(set_after=99)
    assert patiently(failing(0), waits) == "here"
    assert waits.seconds == []


@given(st.integers(1, 40))
def test_waits_double_and_stay_under_ten_seconds(times: int) -> None:
    """A Redis that comes back after an hour is seen within seconds, and not hammered till then."""
    waits = Waits(set_after=99)
    assert patiently(failing(times), waits) == "here"
    assert len(waits.seconds) == times
    assert waits.seconds[0] == 0.2
    assert all(
        b == min(2 * a, 10.0) for a, b in zip(waits.seconds, waits.seconds[1:], strict=False)
    )


@pytest.mark.parametrize("error", [RateLimitedError("429"), ConflictError("409"), AWAY])
def test_every_transient_answer_is_waited_out(error: Exception) -> None:
    """A definition that was installed a second ago answers 429, not with a refused connection."""
    assert patiently(failing(2, error), Waits(set_after=99)) == "here"


def denied(reason: str) -> TransientError:
    """Return a refusal, as the API server and Redis give it."""
    return TransientError("GET /api/v1/pods: no", reason=reason)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("Unauthorized", "renew the credentials"), ("Forbidden", "sluice doctor")],
)
def test_a_refusal_that_lasts_is_a_precondition_with_its_remedy(reason: str, remedy: str) -> None:
    """A wrong token never becomes right; the exit status tells it where nobody reads the log."""
    waits = Waits(set_after=99)
    with pytest.raises(PreconditionError, match=f"GET /api/v1/pods: no; .*{remedy}"):
        patiently(failing(99, denied(reason)), waits)
    assert 30 <= sum(waits.seconds) < 45


def test_a_refused_redis_keeps_its_own_remedy() -> None:
    """Its message names the password's setting already."""
    with pytest.raises(PreconditionError, match=r"no$"):
        patiently(failing(99, denied("RedisRefused")), Waits(set_after=99))


def test_a_refusal_that_passes_is_waited_out() -> None:
    """A rotation reaches the file and the server at different times."""
    assert patiently(failing(5, denied("Unauthorized")), Waits(set_after=99)) == "here"


def test_an_absence_between_refusals_begins_the_count_again() -> None:
    """A server that restarts with another configuration gets its time as well."""
    errors = [denied("Unauthorized")] * 8 + [AWAY] + [denied("Unauthorized")] * 3

    def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "here"

    assert patiently(ask, Waits(set_after=99)) == "here"


def test_a_stop_ends_the_waiting() -> None:
    """A pod that never found its Redis must not need SIGKILL."""
    waits = Waits(set_after=2)
    assert patiently(failing(99), waits) is None
    assert len(waits.seconds) == 3


@pytest.mark.parametrize("error", [PreconditionError("x"), StaleFenceError("x"), ValueError("x")])
def test_what_time_does_not_heal_is_not_waited_out(error: Exception) -> None:
    """A wrong password is told at once."""
    waits = Waits(set_after=0)
    with pytest.raises(type(error)):
        patiently(ends_with(error), waits)
    assert waits.seconds == []


# --- pages

FREE = BindAddress(host="127.0.0.1", port=0)


def answers(port: int) -> bool:
    """Return whether the health page answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_pages_are_served_during_the_block_and_no_longer() -> None:
    """A process that ends frees its ports for its successor."""
    routes = {"/healthz": health_route({})}
    with serving((FREE, routes), (FREE, routes)) as ports:
        assert len(set(ports)) == 2
        assert all(map(answers, ports))
    assert not any(map(answers, ports))


def test_a_port_that_is_taken_frees_the_others_and_names_itself() -> None:
    """The remedy needs the address; a half-started process must leave nothing behind."""
    routes = {"/healthz": health_route({})}
    with serving((FREE, routes)) as (taken,):
        before = threading.active_count()
        with (
            pytest.raises(PreconditionError, match=rf"127\.0\.0\.1:{taken}.*port 0"),
            serving((FREE, routes), (BindAddress(host="127.0.0.1", port=taken), routes)),
        ):
            pytest.fail("nothing is served twice")
        assert threading.active_count() == before
        assert answers(taken)
