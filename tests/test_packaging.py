"""The wheel's promises: three packages from one place, one command, no surprise in the names."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import common
import watcher
import worker

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_three_packages_come_from_one_place() -> None:
    """Another distribution that ships a `common` would silently overwrite ours."""
    places = {Path(str(one.__file__)).parent.parent for one in (common, watcher, worker)}
    assert places == {ROOT}


def test_the_top_level_names_are_said_aloud() -> None:
    """`import-names` is what installers can check; the wheel must hold exactly these."""
    names = PROJECT["project"]["import-names"]
    assert names == PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert names == PROJECT["tool"]["check-wheel-contents"]["toplevel"]


def test_the_command_is_installed() -> None:
    """Users type `sluice`."""
    scripts = {
        one.name: one.value for one in importlib.metadata.entry_points(group="console_scripts")
    }
    assert scripts["sluice"] == "common.cli.main:main"


def test_every_lua_script_travels_in_the_wheel() -> None:
    """A wheel without its Lua files installs well and fails at the first add."""
    scripts = list((ROOT / "common" / "queue" / "lua").glob("*.lua"))
    assert len(scripts) > 5
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    assert ".lua" not in ignored  # hatchling leaves out what git ignores


def test_no_package_reexports_anything() -> None:
    """A name has one home; the surface is scripts, settings and Redis names."""
    for package in (common, watcher, worker):
        text = Path(str(package.__file__)).read_text(encoding="utf-8")
        assert "import" not in text


def test_dependencies_are_locked_with_hashes() -> None:
    """What was reviewed is what is installed."""
    for name in ("run", "dev", "bench-saq", "bench-arq"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        pinned = [line for line in lines if "==" in line and not line.startswith((" ", "#"))]
        assert pinned
        assert all(line.endswith("\\") for line in pinned)
