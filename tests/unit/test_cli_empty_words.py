"""Arguments that are empty, as a script's unset variable gives them, do not mean the default."""

from __future__ import annotations

import os

import pytest

from common.cli.main import main
from common.ops.exit_status import WRONG_USAGE


@pytest.mark.parametrize(
    "words",
    [
        ["worker", "--pool", ""],
        ["worker", "--pool", " , "],
        ["run", "--context", ""],
        ["run", "--kubeconfig", ""],
        ["run", "--data-dir", " "],
    ],
    ids=repr,
)
def test_an_empty_argument_is_wrong_usage(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--pool "$POOL"` started every pool, and `--context "$C"` wrote to whichever was current."""
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it became a worker"))
    monkeypatch.setenv("SLUICE_KUBECONFIG", "/nowhere")
    assert main(words) == WRONG_USAGE
    assert words[1] in capsys.readouterr().err
