"""`sluice values`: streams, exit statuses, files that cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from common.cli.main import main
from common.migration import page
from common.ops.exit_status import DONE, FAILED, PRECONDITION, WRONG_USAGE
from tests.migration_values import CANARY


def written(folder: Path, text: str) -> str:
    """Return the name of a file that holds the text."""
    path = folder / "theirs.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_values_are_printed_and_what_became_of_each_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result goes to a file, the list to the person."""
    name = written(tmp_path, "trivy: {severity: HIGH, slow: false, timeout: 5m0s}\n")
    assert main(["values", name]) == DONE
    out, err = capsys.readouterr()
    assert yaml.safe_load(out) == {"settings": {"TRIVY_SEVERITY": "HIGH"}}
    assert "# trivy.severity" in out
    assert "trivy.severity → settings.TRIVY_SEVERITY" in err
    assert "trivy.slow: scanner.jobs says" in err
    assert "trivy.timeout" not in err
    main(["values", "--all", name])
    assert "trivy.timeout" in capsys.readouterr().err


def test_a_value_that_is_unknown_fails_and_the_rest_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script must not go on as if all were understood; a person wants the rest."""
    name = written(tmp_path, "trivy: {severty: HIGH, ignoreUnfixed: true}\n")
    assert main(["values", name]) == FAILED
    out, err = capsys.readouterr()
    assert yaml.safe_load(out) == {"settings": {"TRIVY_IGNORE_UNFIXED": True}}
    assert err.startswith("unknown (1)\n  trivy.severty")


def test_what_is_piped_in_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`helm get values … -o yaml | sluice values -`."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"trivy: {ignoreUnfixed: true}")))
    assert main(["values", "-"]) == DONE
    assert "TRIVY_IGNORE_UNFIXED: true" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["a: [", f"- {CANARY}", "a: 1\na: 2\n"])
def test_a_file_that_is_none_ends_with_3(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was done, and somebody must give another file."""
    assert main(["values", written(tmp_path, text)]) == PRECONDITION
    out, err = capsys.readouterr()
    assert out == ""
    assert CANARY not in err


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name with a typing error is the commonest fault."""
    assert main(["values", str(tmp_path / "none.yaml")]) == PRECONDITION
    assert "none.yaml: No such file" in capsys.readouterr().err
    assert main(["values"]) == WRONG_USAGE


def test_neighbours_with_one_fate_share_a_line_of_the_table() -> None:
    """Two hundred lines are read by nobody."""
    lines = page.table().splitlines()
    assert sum("`compliance.failEntriesLimit`, `reportType`" in line for line in lines) == 1
    assert any(line.startswith("| `trivy.severity` | `settings.TRIVY_SEVERITY`") for line in lines)
