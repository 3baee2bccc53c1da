"""Where the tests' Prometheus comes from: PATH, the cache, or the distribution's packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.prometheus import PROGRAMS, programs


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a machine with an empty PATH and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def program(file: Path, text: str = "") -> Path:
    """Write a program."""
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def test_those_of_the_path_are_taken(machine: Path) -> None:
    """And nothing is fetched."""
    own = {name: program(machine / name) for name in PROGRAMS}
    assert programs(say=pytest.fail) == own


def test_a_prometheus_without_its_tool_is_none(machine: Path) -> None:
    """Two versions would judge one file differently."""
    program(machine / "prometheus")
    with pytest.raises(PreconditionError, match="put prometheus and promtool in PATH"):
        programs(say=lambda _text: None)


def test_the_package_is_unpacked_once(machine: Path) -> None:
    """60 MB a test would be felt."""
    path = f"{os.defpath}:/usr/bin"
    log = machine / "log"
    program(
        machine / "apt-get",
        f'PATH={path}; echo "$*" >> {log}; case "$*" in *download*) touch prometheus_2.deb ;; esac',
    )
    made = " ".join(f'"$3/usr/bin/{name}"' for name in PROGRAMS)
    program(machine / "dpkg-deb", f'PATH={path}; mkdir -p "$3/usr/bin"; touch {made}')
    found = programs(say=lambda _text: None)
    assert all(path.exists() for path in found.values())
    asked = log.read_text()
    assert asked.rstrip().endswith("download prometheus")
    assert programs(say=pytest.fail) == found
    assert log.read_text() == asked
