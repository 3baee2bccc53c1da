"""`sluice` itself: exit statuses, streams, help."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from common.cli import main as main_module
from common.cli.command import Context
from common.cli.main import COMMANDS, find_command, main, overview
from common.cli.terminal import Terminal
from common.model.errors import PreconditionError, SourceUnavailableError, TransientError
from common.ops.exit_status import DONE, FAILED, PRECONDITION, WRONG_USAGE

NAMES = [name for name, _, _ in COMMANDS]

# The words of the interface page; a script may hold on to each of them.
PROMISED = {
    "run": ["--context", "--kubeconfig", "--yes", "--workers", "--data-dir"],
    "status": ["--json"],
    "top": [],
    "history": ["OBJECT", "--json"],
    "queue": ["ls", "parked", "dead", "requeue", "drop", "pause", "resume"],
    "rescan": ["OBJECT", "--all", "--over"],
    "canary": ["--images", "--trivy", "--json"],
    "database": ["status", "check"],
    "doctor": [],
    "crds": ["--install"],
    "values": ["FILE", "--all"],
    "watcher": [],
    "worker": ["--pool"],
    "scanner": [],
    "version": ["--json"],
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away whatever the machine's environment says to the product."""
    for name in os.environ:
        if name.startswith(("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An example is what people read first, and often the only thing."""
    assert main([name, "--help"]) == DONE
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"sluice {name}" in text.partition("Example")[2]
    for word in PROMISED[name]:
        assert word in text


@pytest.mark.parametrize("action", ["ls", "parked", "requeue", "drop", "pause", "resume"])
def test_every_action_of_queue_has_help_with_an_example(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its actions are commands of their own to everybody who types them."""
    assert main(["queue", action, "--help"]) == DONE
    assert f"sluice queue {action}" in capsys.readouterr().out.partition("Example")[2]


def test_dead_is_another_word_for_parked(capsys: pytest.CaptureFixture[str]) -> None:
    """The interface page promised it; two words for one thing in what we say were too many."""
    assert main(["queue", "dead", "--help"]) == DONE
    old = capsys.readouterr().out
    assert main(["queue", "parked", "--help"]) == DONE
    assert capsys.readouterr().out == old
    assert "Example" in old


def test_the_promised_commands_are_all_there() -> None:
    """The interface page is a contract."""
    assert set(PROMISED) == set(NAMES)


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Bare `sluice` shows the way, and says with its status that nothing was done."""
    assert main([]) == WRONG_USAGE
    assert main(["--help"]) == DONE
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in NAMES)
    assert "Example" in overview()


@pytest.mark.parametrize(
    "words",
    [
        ["stats"],
        ["run", "--sooner"],
        ["run", "--workers", "0"],
        ["queue"],
        ["queue", "requeue", "no-key"],
        ["queue", "ls", "--limit", "0"],
        ["rescan"],
        ["rescan", "--all", "Pod/shop/web"],
        ["rescan", "--all", "--over", "soon"],
        ["database", "download"],
        ["top", "--interval-s", "nan"],
        ["status", "--js"],
        ["worker", "--pool", "reconcil"],
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts tell a typing error from a failure; an abbreviation would break with a new option."""
    assert main(words) == WRONG_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err


@pytest.mark.parametrize("key", ["Pod/shop/web", "foo", "workload/Pod/shop", ""])
def test_a_key_that_is_none_is_told_with_its_form(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`history` takes Pod/shop/web, so people write it here too."""
    assert main(["queue", "requeue", key]) == WRONG_USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert "such as workload/Pod/shop/web" in said
    assert "sluice rescan" in said


def test_a_misspelt_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    """The way to the right word should not lead through the manual."""
    main(["stauts"])
    assert "did you mean status?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["status"], ["history", "Pod/a/b"], ["queue", "ls"], ["rescan", "--all"], ["database"]],
)
def test_without_any_redis_the_remedy_is_named(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The precondition of every command that looks at the tables."""
    assert main(words) == PRECONDITION
    out, err = capsys.readouterr()
    assert out == ""
    assert "set SLUICE_REDIS_URL" in err


def test_a_redis_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is copied into a ticket as it is."""
    monkeypatch.setenv("SLUICE_REDIS_URL", "redis://ada:hunter2@127.0.0.1:1/0")
    assert main(["history", "Pod/shop/web"]) == PRECONDITION
    said = capsys.readouterr().err
    assert "redis://127.0.0.1:1/0" in said
    assert "set SLUICE_REDIS_URL" in said
    assert "hunter2" not in said


def test_wrong_settings_are_a_precondition_told_in_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command reads the same settings as the components."""
    monkeypatch.setenv("SLUICE_LEASES", "1")
    monkeypatch.setenv("SLUICE_LEASE_S", "x")
    assert main(["status"]) == PRECONDITION
    assert "2 settings are wrong" in capsys.readouterr().err


def test_a_setting_that_is_not_honoured_is_told_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result owns stdout."""
    monkeypatch.setenv("OPERATOR_BUILT_IN_TRIVY_SERVER", "true")
    main(["status"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "warning: OPERATOR_BUILT_IN_TRIVY_SERVER" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PreconditionError("install it"), PRECONDITION),
        (SourceUnavailableError("away"), FAILED),
        (SourceUnavailableError("away", reason="RedisRefused"), PRECONDITION),
        (TransientError("POST /apis/x: 403 no", reason="Forbidden"), PRECONDITION),
        (TransientError("GET /version: 401 no", reason="Unauthorized"), PRECONDITION),
        (KeyboardInterrupt(), FAILED),
    ],
)
def test_an_error_becomes_its_exit_status(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """0, 1, 2 and 3 are the only statuses there are."""
    monkeypatch.setattr(main_module, "find_command", fail_later(error))
    monkeypatch.setattr(main_module, "_forget_stdout", lambda: None)
    assert main(["version"]) == status
    assert "Traceback" not in capfd.readouterr().err


def fail_later(error: BaseException) -> object:
    """Return a look-up whose command fails with this error when it runs."""
    command = find_command("version")
    assert command is not None

    def run(_context: Context, _arguments: object) -> int:
        raise error

    return lambda _name: type(command)(
        summary=command.summary, examples=command.examples, arguments=command.arguments, run=run
    )


def test_versions_are_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Bug reports begin with this."""
    assert main(["version", "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert {"sluice", "python", "trivy", "rq", "redis"} <= set(found)
    assert found["python"].startswith("3.")


def test_the_definitions_are_printed_as_yaml_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """They go straight into kubectl."""
    assert main(["crds"]) == DONE
    out, err = capsys.readouterr()
    assert out.count("kind: CustomResourceDefinition") == 12
    assert err == ""


def test_a_dashboard_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control codes in a log file help nobody."""
    assert main(["top"]) == PRECONDITION
    assert "sluice status" in capsys.readouterr().err


# --- the terminal


class Screen(io.StringIO):
    """A terminal that somebody looks at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def terminal(answer: str = "", *, watched: bool) -> tuple[Terminal, io.StringIO]:
    """Return a terminal and its stderr."""
    make = Screen if watched else io.StringIO
    err = make()
    return Terminal(stdin=make(answer), stdout=make(), stderr=err), err


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)],
)
def test_only_a_yes_is_a_yes(answer: str, *, expected: bool) -> None:
    """Enter alone must not write into a cluster."""
    asked, _ = terminal(answer, watched=True)
    assert asked.confirm("Go on?", otherwise="give --yes") is expected


def test_where_nobody_can_be_asked_the_other_way_is_named() -> None:
    """A pipeline that hangs at a question is found hours later."""
    alone, _ = terminal("y\n", watched=False)
    with pytest.raises(PreconditionError, match="give --yes"):
        alone.confirm("Go on?", otherwise="give --yes")


def test_progress_is_shown_only_on_a_terminal() -> None:
    """Log files are not for bars."""
    alone, silent = terminal(watched=False)
    alone.progress("50 %")
    assert silent.getvalue() == ""
    watched, err = terminal(watched=True)
    watched.progress("50 %")
    watched.note("done")
    assert err.getvalue().endswith("\x1b[2Kdone\n")


def test_foreign_text_does_not_steer_the_terminal() -> None:
    """A tenant names an image so that `history` clears the screen of whoever asks."""
    evil = "app:\x1b[2J\x1b]0;owned\x07\u202e1\rall is well"
    alone, err = terminal(watched=True)
    out = alone.stdout
    assert isinstance(out, io.StringIO)
    alone.result(f"{evil}\n\ttab stays")
    alone.note(evil)
    alone.screen(evil)
    shown = err.getvalue().removeprefix("\r\x1b[2K") + out.getvalue().removeprefix("\x1b[H")
    assert not {"\x07", "\r", "\u202e"} & set(shown)
    assert "\x1b[2J" not in shown
    assert "\n\ttab stays\n" in shown


def test_a_screen_is_cut_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps pushes the first one, which says what is wrong, out of sight."""
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "3")
    shown, _ = terminal(watched=True)
    shown.screen("0123456789abc\n2\n3\n4")
    assert isinstance(shown.stdout, io.StringIO)
    text = shown.stdout.getvalue()
    assert text == "\x1b[H012345678…\x1b[K\n2\x1b[K\n\x1b[J"


def test_a_result_ends_with_exactly_one_newline() -> None:
    """Files without one, and with two, are both a nuisance."""
    out = io.StringIO()
    shown = Terminal(stdin=sys.stdin, stdout=out, stderr=sys.stderr)
    shown.result("a")
    shown.result("b\n")
    assert out.getvalue() == "a\nb\n"
