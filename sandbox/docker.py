"""A real Docker engine on this machine, with Docker's command line and Compose.

dockerd and its containerd, from the distribution's packages, in namespaces of their own: no rule,
bridge, mount or group of theirs is seen on the host, and two engines run side by side. Ready in
about 2 s. Containers reach each other and the engine's own network, and nothing outside.

Needs what a node needs (`node_host`). Ends with its starter, also when that is killed.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from common.model.errors import PreconditionError, shorten
from sandbox import docker_plan, node_host
from sandbox.docker_plan import Plan
from sandbox.docker_programs import DockerPrograms
from sandbox.enclosure import ROOT, Enclosure
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack

_READY_S = 60.0  # 2 s on two idle cores; loaded ones need several times that
_ASK_S = 2.0
_COMMAND_S = 600.0  # a build of an image with everything in it: 30 s on two idle cores


class Docker:
    """One engine in one place. `start` it, use `run`, `stop` it."""

    def __init__(self, place: Place, programs: DockerPrograms, stack: Stack) -> None:
        """Nothing is written or runs before `start`.

        Raises PreconditionError when this host cannot run an engine.
        """
        node_host.require()
        self._place = place
        self._programs = programs
        self._stack = stack
        self.folder = place.sub("docker")
        self.socket = self.folder / "docker.sock"
        self._enclosure = Enclosure(place, "docker", self.folder)

    def start(self) -> Self:
        """Start it; return when it answers. Raises PreconditionError."""
        self._stack.push(self)
        self._enclosure.start(self._launch).wait_ready(self._answers, timeout_s=_READY_S)
        return self

    def stop(self) -> None:
        """End it with all its containers at once, and wait until its cgroups are gone.

        Raises PreconditionError when some stay.
        """
        self._enclosure.stop()

    @property
    def pid(self) -> int:
        """The one process outside; whoever kills it ends the engine."""
        return self._enclosure.pid

    @property
    def cgroups(self) -> tuple[Path, ...]:
        """Its groups in each hierarchy; none exists after `stop`."""
        return self._enclosure.groups

    def environ(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command that uses this engine, and nothing of the user's."""
        kept = {
            name: value
            for name, value in self._programs.environ().items()
            if not name.startswith(
                ("DOCKER_", "COMPOSE_", "KUBE", "SLUICE_", "OPERATOR_", "TRIVY_")
            )
        }
        return {
            **kept,
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.folder / "client"),
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
            **(settings or {}),
        }

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Return what `docker ARGUMENTS…` prints. Raises PreconditionError when it fails."""
        done = self.attempt(*arguments, environ=environ)
        if done.returncode:
            error = PreconditionError(
                f"docker {' '.join(arguments[:3])} ended with {done.returncode}: "
                f"{shorten(done.stderr.strip()[-256:])}"
            )
            error.add_note(done.stderr)
            raise error
        return done.stdout

    def attempt(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGUMENTS…` in the folder of this checkout, and return how it ended."""
        return subprocess.run(
            [str(self._programs.docker), *arguments],
            env=self.environ(environ),
            cwd=ROOT,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_COMMAND_S,
        )

    def names(self, kind: str) -> set[str]:
        """Return the names of all containers, volumes or networks, but Docker's own networks."""
        words = ("ps", "--all") if kind == "container" else (kind, "ls")
        form = "{{.Names}}" if kind == "container" else "{{.Name}}"
        found = set(self.run(*words, "--format", form).split())
        return found - {"bridge", "host", "none"}

    def _write(self) -> None:
        """Write what the engine and its command line read: the host's files are not for them."""
        plugins = self.folder / "client" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        for name, program in self._programs.plugins().items():
            (plugins / name).unlink(missing_ok=True)
            (plugins / name).symlink_to(program)
        (self.folder / "client" / "config.json").write_text("{}")
        (self.folder / "daemon.json").write_text("{}")
        environ = self._programs.environ()
        for name in ("NOTIFY_SOCKET", "DOCKER_HOST", "DOCKER_CONFIG"):
            environ.pop(name, None)
        command = (
            str(self._programs.dockerd),
            f"--config-file={self.folder / 'daemon.json'}",
            f"--data-root={self.folder / 'data'}",
            "--exec-root=/run/docker",  # an empty one inside: it ends with the engine
            "--pidfile=/run/docker.pid",
            f"--host=unix://{self.socket}",
        )
        plan = Plan(cgroups=self._enclosure.cgroups, command=command, environ=environ)
        docker_plan.write(plan, self.folder / "plan.json")

    def _launch(self, lock: int) -> Process:
        """Start the process outside. What is inside holds `lock` as long as it lives."""
        self._write()
        command = Command(
            name="docker",
            argv=(sys.executable, "-m", "sandbox.docker_launch", str(self.folder / "plan.json")),
            log=self._place.log("docker"),
            environ={**node_host.environ(), "PYTHONPATH": str(ROOT)},
            pass_fds=(lock,),
        )
        return Process(command).start()

    def _answers(self) -> bool:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(_ASK_S)
            connection.connect(str(self.socket))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(256)
