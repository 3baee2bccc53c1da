"""Child processes: real ones, that hang, crash, ignore signals and lose their parents."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.model.errors import PreconditionError, SourceUnavailableError
from common.ops.process import Child, ChildSpec, Forward, ToFile, status_text
from common.ops.supervisor import Supervisor, restart_delay_s, supervisor

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0  # generous: these machines are shared; nothing waits for it when all is well

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(600)"
)


class Output:
    """Collects a child's lines and lets a test wait for one of them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._changed = threading.Condition()

    def __call__(self, name: str, text: str) -> None:
        with self._changed:
            self.lines.append((name, text))
            self._changed.notify_all()

    def has(self, text: str) -> bool:
        """Return whether this line came."""
        return any(text == line for _, line in self.lines)

    def wait_for(self, text: str, count: int = 1) -> None:
        """Block until the line came `count` times."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(text == line for _, line in self.lines) >= count, DEADLINE_S
            )
        assert came, f"{text!r} did not come; got {self.lines}"


def python(
    code: str,
    output: Output | None = None,
    *,
    name: str = "child",
    ready: Callable[[], bool] | None = None,
    ready_s: float = DEADLINE_S,
    stop_s: float = DEADLINE_S,
) -> ChildSpec:
    """Return how to run a piece of Python as a child; ready when it said `up`."""
    lines = output or Output()
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        output=Forward(line=lines),
        ready=ready or (lambda: lines.has("up")),
        ready_s=ready_s,
        stop_s=stop_s,
    )


def alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until(holds: Callable[[], bool]) -> None:
    """Block until something outside becomes true."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_S / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("did not become true in time")


@pytest.fixture
def owner() -> Iterator[Supervisor]:
    """Give a supervisor whose children end with the test."""
    with supervisor() as made:
        yield made


def test_a_child_is_ready_when_its_callback_says_so() -> None:
    """Whoever needs the child must not meet a refused connection first."""
    output = Output()
    with Child(python(FOREVER, output)) as child:
        child.wait_ready()
        assert output.lines == [("child", "up")]
        assert child.poll() is None


def test_a_child_that_is_never_ready_is_told_with_its_last_words() -> None:
    """`not ready in 30 s` alone sends its reader to find a log file."""
    output = Output()
    spec = python("import time; print('no license', flush=True); time.sleep(600)", output,
                  ready=lambda: False, ready_s=0.0)  # fmt: skip
    with Child(spec) as child:
        output.wait_for("no license")
        with pytest.raises(SourceUnavailableError, match=r"child was not ready .* no license"):
            child.wait_ready()


def test_a_stop_ends_the_wait_for_a_child_even_if_its_exception_was_lost() -> None:
    """Python ignores what a signal's handler raises in a hook of a fork, in `__del__`, and so on.

    Ctrl-C in the moment in which a child starts was forgotten, and the wait went on.
    """
    stopping = threading.Event()
    with supervisor(stopping) as owner:
        child = owner.begin(python(FOREVER, ready=lambda: False, ready_s=DEADLINE_S))
        stopping.set()
        with pytest.raises(KeyboardInterrupt):
            owner.await_ready(child)
        with pytest.raises(KeyboardInterrupt):
            owner.start(replace(child.spec, name="another"))


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (7, "ended with status 7: bad flag", SourceUnavailableError),
        (3, "bad flag", PreconditionError),  # it names a remedy; a failure would hide that
    ],
)
def test_a_child_that_ends_before_it_is_ready_is_told_at_once(
    status: int, words: str, error: type[Exception]
) -> None:
    """Waiting out the deadline for a dead child wastes half a minute of a start."""
    code = f"import sys; print('bad flag'); sys.exit({status})"
    with Child(python(code)) as child, pytest.raises(error, match=words):
        child.wait_ready()


def test_a_dead_child_is_not_ready_even_if_something_answers_in_its_place() -> None:
    """Another process on the same port must not pass for ours."""
    with Child(python("pass", ready=lambda: True)) as child:
        child.wait(DEADLINE_S)
        with pytest.raises(SourceUnavailableError, match="ended with status 0"):
            child.wait_ready()


def test_last_words_show_no_credential() -> None:
    """A library's traceback quotes the URL that it could not open."""
    code = "import sys; print('cannot open redis://:hunter2@host'); sys.exit(1)"
    with (
        Child(python(code)) as child,
        pytest.raises(SourceUnavailableError, match=r"redis://\*\*\*@host"),
    ):
        child.wait_ready()


def test_a_program_that_does_not_exist_is_a_precondition() -> None:
    """The user has to install it; trying again does not."""
    spec = ChildSpec(name="trivy", argv=("/nowhere/trivy",), output=Forward(line=Output()))
    with pytest.raises(PreconditionError, match="trivy: cannot start /nowhere/trivy"):
        Child(spec)


def test_output_can_go_to_a_file(tmp_path: Path) -> None:
    """Valkey writes hundreds of lines that nobody needs on the terminal."""
    path = tmp_path / "logs" / "child.log"
    spec = ChildSpec(
        name="child", argv=(sys.executable, "-c", "print('from a file')"),
        output=ToFile(path=str(path)), ready=lambda: False,
    )  # fmt: skip
    with (
        Child(spec) as child,
        pytest.raises(SourceUnavailableError, match="from a file"),
    ):
        child.wait_ready()
    assert path.read_text(encoding="utf-8") == "from a file\n"


def test_stop_gives_the_child_time_to_end_by_itself() -> None:
    """A worker gives its claims back on SIGTERM; a killed one costs their leases."""
    output = Output()
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('drained', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = Child(python(code, output))
    child.wait_ready()
    assert child.stop() == 0
    assert output.has("drained")


def test_a_child_that_ignores_sigterm_is_killed() -> None:
    """Trivy ignores the first SIGTERM while a registry hangs."""
    child = Child(python(STUBBORN, stop_s=0.1))
    child.wait_ready()
    assert child.stop() == -signal.SIGKILL


def test_stop_can_be_called_twice() -> None:
    """Error paths and `finally` meet."""
    child = Child(python(FOREVER))
    child.wait_ready()
    assert child.stop() == child.stop() == -signal.SIGTERM


def test_what_a_child_leaves_in_its_group_ends_with_it() -> None:
    """A grandchild that keeps a port or a lock breaks the next start."""
    output = Output()
    code = (
        "import subprocess, sys, time\n"
        f"inner = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n"
        "print(inner.pid, flush=True); print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = Child(python(code, output))
    child.wait_ready()
    grandchild = next(int(line) for _, line in output.lines if line.isdigit())
    child.stop()
    wait_until(lambda: not alive(grandchild))


def test_ctrl_c_on_the_terminal_does_not_reach_a_child() -> None:
    """Ctrl-C goes to the foreground group; ours decides in which order the children end."""
    with Child(python(FOREVER)) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_a_child_does_not_outlive_a_parent_that_was_killed() -> None:
    """After a SIGKILL of `sluice run` nothing may keep the data folder or a port."""
    parent = textwrap.dedent(
        f"""
        import time
        from common.ops.process import Child, ChildSpec, Forward
        child = Child(ChildSpec(name="c", argv={(sys.executable, "-c", STUBBORN)!r},
                                output=Forward(line=lambda _, text: print(text, flush=True))))
        print(child.pid, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = 0
        said = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        pid = next(int(line) for line in said if line.isdigit())
        assert b"up" in said
        process.kill()
    wait_until(lambda: not alive(pid))


@pytest.mark.parametrize(
    ("status", "text"), [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-250, "signal 250")]
)
def test_an_exit_status_reads_as_words(status: int, text: str) -> None:
    """`-9` in a log line makes half of its readers look it up."""
    assert status_text(status) == text


def watching(owner: Supervisor) -> contextlib.AbstractContextManager[None]:
    """Run `owner.watch` on a thread for the length of a block."""

    @contextlib.contextmanager
    def run() -> Iterator[None]:
        until = threading.Event()
        thread = threading.Thread(target=owner.watch, args=(until,))
        thread.start()
        try:
            yield
        finally:
            until.set()
            thread.join()

    return run()


def test_a_crashed_child_is_started_again(owner: Supervisor) -> None:
    """A worker that was OOM-killed must not end the whole pipeline, nor stay away."""
    output = Output()
    child = owner.start(python(FOREVER, output))
    with watching(owner):
        os.kill(child.pid, signal.SIGKILL)
        output.wait_for("up", count=2)
        assert owner.running() == {"child": True}


def test_a_child_that_misses_a_precondition_is_not_restarted(owner: Supervisor) -> None:
    """Restarting does not install a CRD; the remedy must reach the user instead."""
    output = Output()
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))\n"
        "print('up', flush=True); time.sleep(600)\n"
    )
    child = owner.start(python(code, output))
    os.kill(child.pid, signal.SIGUSR1)
    with pytest.raises(PreconditionError, match="ended with status 3"):
        owner.watch(threading.Event())


def test_children_are_stopped_last_first(owner: Supervisor) -> None:
    """Workers must be able to give their claims back while Redis still runs."""
    output = Output()
    code = (
        "import signal, sys, time\n"
        "def end(*_): print(sys.argv[1], flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up-' + sys.argv[1], flush=True)\n"
        "time.sleep(600)\n"
    )
    for name in ("valkey", "watcher", "worker"):
        owner.start(
            ChildSpec(
                name=name,
                argv=(sys.executable, "-c", code, name),
                output=Forward(line=output),
                ready=lambda name=name: output.has(f"up-{name}"),  # type: ignore[misc] # mypy cannot infer a default's type in a lambda
                ready_s=DEADLINE_S,
                stop_s=DEADLINE_S,
            )
        )
    owner.stop()
    ends = [line for _, line in output.lines if not line.startswith("up-")]
    assert ends == ["worker", "watcher", "valkey"]
    assert owner.running() == {}


def test_children_of_one_stage_are_told_to_stop_together(owner: Supervisor) -> None:
    """Four workers that drain one after the other take four drain deadlines."""
    output = Output()
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked-' + sys.argv[1], flush=True))\n"
        "print('up-' + sys.argv[1], flush=True)\n"
        "while True: time.sleep(600)\n"
    )
    children = [
        owner.start(
            ChildSpec(
                name=name,
                argv=(sys.executable, "-c", code, name),
                output=Forward(line=output),
                ready=lambda name=name: output.has(f"up-{name}"),  # type: ignore[misc] # mypy cannot infer a default's type in a lambda
                ready_s=DEADLINE_S,
                stop_s=DEADLINE_S * 2,
                stage="workers",
            )
        )
        for name in ("a", "b")
    ]
    stopping = threading.Thread(target=owner.stop)
    stopping.start()
    output.wait_for("asked-a")
    output.wait_for("asked-b")
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    stopping.join()


def test_a_child_that_fails_to_become_ready_is_not_left_behind(owner: Supervisor) -> None:
    """A half-started pipeline is stopped whole."""
    output = Output()
    spec = python(STUBBORN, output, ready=lambda: False, ready_s=0.0, stop_s=0.1)
    with pytest.raises(SourceUnavailableError):
        owner.start(spec)
    assert owner.running() == {}


def test_restarts_come_slower_and_slower_up_to_a_cap() -> None:
    """A child that cannot start must not burn a core, nor be forgotten."""
    delays = [restart_delay_s(crashes) for crashes in range(1, 2000)]
    assert delays[0] == 0.5
    assert delays == sorted(delays)
    assert delays[-1] == 30.0
