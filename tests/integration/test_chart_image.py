"""What the Dockerfile does, done here: the wheel, installed without its source, runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.ops.version import VERSION
from tests.charts.test_image import ENVIRONMENT

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "watcher", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The environment that the image would hold at /opt/sluice."""

    folder: Path
    wheel: Path

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Run `sluice` as the image's entry point does, and return its output."""
        done = subprocess.run(
            [str(self.folder / "bin" / "sluice"), *arguments],
            env={**ENVIRONMENT, "PATH": os.environ["PATH"], **(environ or {})},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Give the wheel, built as the Dockerfile builds it, in an environment without pip.

    Dependencies come from this environment's folder, which the lock file describes as well.
    """
    folder = tmp_path_factory.mktemp("image")
    source, wheels, target = folder / "source", folder / "wheels", folder / "sluice"
    source.mkdir()
    for name in PACKAGES:  # what .dockerignore lets in
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    subprocess.run([*pip, *build], check=True)
    venv.create(target, with_pip=False)
    dependencies = sysconfig.get_path("purelib")
    own = Path(sysconfig.get_path("purelib", vars={"base": str(target)}))
    (own / "dependencies.pth").write_text(dependencies)
    (wheel,) = wheels.glob("*.whl")
    install = ("install", "--no-deps", "--no-index", str(wheel))
    subprocess.run([*pip, "--python", str(target / "bin" / "python"), *install], check=True)
    return Installed(folder=target, wheel=wheel)


def test_the_wheel_holds_every_file_of_the_packages(installed: Installed) -> None:
    """A Lua script that stays behind is missed by the first key, not by an import."""
    wanted = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(path.endswith(".lua") for path in wanted)
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_the_installed_command_says_its_version(installed: Installed) -> None:
    """From its own files, wherever it is called from."""
    told = json.loads(installed.run("version", "--json"))
    assert VERSION in told.values()


@pytest.mark.parametrize("command", ["watcher", "worker", "scanner"])
def test_each_component_can_be_asked_for_help(installed: Installed, command: str) -> None:
    """The image's four commands exist."""
    assert command in installed.run(command, "--help")


def test_the_installed_modules_are_the_wheels(installed: Installed) -> None:
    """The components are started as `python -P -m`: the working folder must not matter."""
    code = "import watcher, worker.scanner, common; print(watcher.__file__)"
    done = subprocess.run(
        [str(installed.folder / "bin" / "python"), "-c", code],
        env=ENVIRONMENT,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(installed.folder)


def test_nothing_is_written_where_the_code_stands(installed: Installed) -> None:
    """The root is read-only in chart and compose, and pip has compiled every module."""
    before = {path for path in installed.folder.rglob("*") if path.is_file()}
    installed.run("crds")
    assert {path for path in installed.folder.rglob("*") if path.is_file()} == before


def test_a_user_without_a_name_and_without_a_home_can_run_it(installed: Installed) -> None:
    """The image's users are numbers that no passwd file knows."""
    told = installed.run("version", "--json", environ={"HOME": "/nonexistent"})
    assert VERSION in told
