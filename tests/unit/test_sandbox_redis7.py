"""Where the tests' Redis 7 comes from: PATH, the cache, or the distribution's packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox import valkey
from sandbox.redis7 import cached, redis_server

SERVER = """#!/bin/sh
[ "$1" = --version ] && { echo 'Redis server v=VERSION sha=0'; exit 0; }
echo 'TLS'
exit 1
"""
TLS, NO_TLS = "No tls-cert-file configured!", "Missing implement of connection type tls"
APT = """#!/bin/sh
echo "$*" >> LOG
case "$*" in *download*) [ -e FAIL ] && exit 100; touch redis-tools_7.deb ;; esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" "$3/usr/lib/x"
touch "$3/usr/lib/x/liblzf.so.1"
cp SERVER "$3/usr/bin/redis-server"
"""


def program(file: Path, text: str) -> Path:
    """Write a program."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def server(file: Path, *, version: str = "7.0.15", tls: str = TLS) -> Path:
    """Write a server that tells its version, and whether it misses a certificate."""
    return program(file, SERVER.replace("VERSION", version).replace("TLS", tls))


class Machine:
    """A PATH, a cache, and packages that may be in reach."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.log, self.fail = folder / "bin", folder / "log", folder / "fail"
        self.bin.mkdir()
        self.said: list[str] = []
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
        found = shutil.which  # PATH's own programs must not be found
        monkeypatch.setattr(
            "sandbox.redis7.shutil.which", lambda name: found(name, path=str(self.bin))
        )

    def offers(self, **changes: str) -> None:
        """Put packages in reach that hold such a server."""
        packed = server(self.bin.parent / "packed", **changes)
        apt = APT.replace("LOG", str(self.log)).replace("FAIL", str(self.fail))
        program(self.bin / "apt-get", apt)
        program(self.bin / "dpkg-deb", DPKG.replace("SERVER", str(packed)))

    def find(self) -> Path:
        """Look for the server."""
        return redis_server(say=self.said.append)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_server_in_path_that_speaks_tls_is_taken(machine: Machine) -> None:
    """Who installed one has nothing to fetch."""
    mine = server(machine.bin / "redis-server")
    assert machine.find() == mine
    assert machine.said == []


@pytest.mark.parametrize("changes", [{"version": "6.0.16"}, {"tls": NO_TLS}])
def test_one_that_is_too_old_or_without_tls_is_passed_over(
    machine: Machine, changes: dict[str, str]
) -> None:
    """Ubuntu 22.04's; a build of one's own."""
    server(machine.bin / "redis-server", **changes)
    machine.offers()
    assert machine.find() == cached()


def test_it_is_fetched_once_and_neither_installed_nor_put_into_path(machine: Machine) -> None:
    """A package that is installed starts a service on 6379 of the developer's machine."""
    machine.offers()
    first = machine.find()
    assert machine.find() == first
    assert len(machine.said) == 1
    commands = machine.log.read_text().splitlines()
    assert [line.split()[-1] for line in commands if " update" in line] == ["update"]
    assert not any("install" in line.split() for line in commands)
    assert "LD_LIBRARY_PATH" in first.read_text()
    assert str(first.parent) not in os.environ["PATH"]
    assert [path.name for path in first.parents[2].iterdir()] == [first.parents[1].name]


def test_the_demos_server_is_another_one(machine: Machine) -> None:
    """It takes PATH's or the wheel's: what tests fetched must not change what users see."""
    machine.offers()
    fetched = machine.find()
    assert valkey.server() != fetched


def test_a_fetch_that_fails_leaves_nothing_and_names_the_remedy(machine: Machine) -> None:
    """Half a folder would be taken for a whole one by the next run."""
    machine.offers()
    machine.fail.touch()
    with pytest.raises(PreconditionError, match=r"apt-get failed: .*brew install redis"):
        machine.find()
    assert list(cached().parents[2].iterdir()) == []
    machine.fail.unlink()
    assert machine.find().exists()


def test_packages_that_do_not_fit_are_told(machine: Machine) -> None:
    """Ubuntu 22.04 has Redis 6."""
    machine.offers(version="6.0.16")
    with pytest.raises(PreconditionError, match="older than 7"):
        machine.find()


def test_a_machine_without_apt_is_told_what_to_install(machine: Machine) -> None:
    """macOS, Fedora."""
    with pytest.raises(PreconditionError, match=r"no apt-get; .*brew install redis"):
        machine.find()
