"""Which Trivy is used: the right one of several, one that works, one that is new enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import PreconditionError
from common.ops.trivy_program import OLDEST, Trivy, find_trivy, is_supported, require_trivy


def program(folder: Path, script: str) -> str:
    """Write an executable that answers `version` in its own way."""
    path = folder / "trivy"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_the_configured_program_wins(tmp_path: Path) -> None:
    """Whoever sets a path means it."""
    path = program(tmp_path, """echo '{"Version": "0.80.1"}'""")
    assert require_trivy(path, "/nowhere") == Trivy(path=path, version="0.80.1")


def test_a_program_on_the_path_is_found(tmp_path: Path) -> None:
    """An image or a distribution installs it there."""
    path = program(tmp_path, """echo '{"Version": "0.70.0", "VulnerabilityDB": {}}'""")
    assert require_trivy("", str(tmp_path)).path == path


def test_the_wheels_program_is_the_last_resort() -> None:
    """`pip install` with the extra `local` brings it beside the interpreter."""
    found = require_trivy("", "/nowhere")
    assert Path(found.path).name == "trivy"
    assert found.version.startswith("0.")


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("""echo '{"Version": "0.69.3"}'""", "0.69.3"),
        ("""echo '{"Version": "dev"}'""", "dev"),
        ("""echo '{}'""", "no known version"),
        ("echo nonsense", "DecodeError"),
        ("exit 1", "CalledProcessError"),
    ],
)
def test_a_program_that_is_too_old_or_none_is_refused_with_the_remedy(
    tmp_path: Path, script: str, word: str
) -> None:
    """An older report format would be misread in silence."""
    with pytest.raises(PreconditionError, match="SLUICE_TRIVY_PATH") as caught:
        require_trivy(program(tmp_path, script), "")
    assert word in str(caught.value)


def test_a_missing_program_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """The setting is named, and what it points to."""
    with pytest.raises(PreconditionError, match=r"no usable Trivy at .*/absent") as caught:
        require_trivy(str(tmp_path / "absent"), "")
    assert "SLUICE_TRIVY_PATH" in str(caught.value)


def test_an_old_program_is_still_found_by_those_who_only_want_to_know(tmp_path: Path) -> None:
    """`sluice version` and `doctor` tell its version; refusing would hide it."""
    path = program(tmp_path, """echo '{"Version": "0.19.2"}'""")
    assert find_trivy(path, "") == Trivy(path=path, version="0.19.2")


@given(st.integers(0, 5), st.integers(0, 200), st.sampled_from(["", ".0", ".3-rc1"]))
def test_versions_are_compared_as_numbers(major: int, minor: int, rest: str) -> None:
    """As text, 0.8 would be newer than 0.70 and 0.100 older."""
    assert is_supported(f"v{major}.{minor}{rest}") is ((major, minor) >= OLDEST)
    assert is_supported(f"{major}.{minor}{rest}") is ((major, minor) >= OLDEST)


@pytest.mark.parametrize("version", ["", "dev", "1", ".70", "unknown 0.76"])
def test_what_is_no_version_is_not_supported(version: str) -> None:
    """A build of somebody's own may read anything; we cannot know."""
    assert not is_supported(version)
