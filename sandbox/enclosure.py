"""Holds what lives in namespaces and cgroups of its own, and ends all of it, however we end.

One process outside (`node_launch`) holds the namespaces: with it the kernel ends everything inside.
A sweeper (`node_sweeper`) then removes the cgroups.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox import node_host
from sandbox.node_cgroups import group_name
from sandbox.node_plan import Mount
from sandbox.place import Place
from sandbox.processes import Process

ROOT = Path(__file__).parents[1]
_SWEEP_S = 20.0  # the sweeper gives up by itself before


class Enclosure:
    """One of them; `name` is its lock's in the place, `folder` names its cgroups."""

    def __init__(self, place: Place, name: str, folder: Path) -> None:
        """Nothing runs before `start`. The host can hold one: `node_host.require` said so."""
        self._place = place
        self._name = name
        group = group_name(folder)
        self.cgroups = tuple(
            Mount(controllers=each.controllers, group=each.group(group))
            for each in node_host.here()
        )
        self._process: Process | None = None  # None: not started
        self._sweeper: subprocess.Popen[bytes] | None = None  # None: nothing to sweep

    def start(self, launch: Callable[[int], Process]) -> Process:
        """Start what `launch` starts, which holds the lock that it is given as long as it lives.

        Raises PreconditionError when another of this name lives in the place.
        """
        lock = self._place.claim(self._name)
        try:
            self._sweeper = self._sweep_at_the_end()
            self._process = launch(lock)
        finally:
            os.close(lock)
        return self._process

    def stop(self) -> None:
        """End everything in it at once, and wait until its cgroups are gone.

        Raises PreconditionError when some stay.
        """
        if self._process is not None:
            self._process.kill()
        if self._sweeper is None:
            return
        status = self._sweeper.wait(_SWEEP_S)
        self._sweeper = None
        if status:
            groups = ", ".join(map(str, self.groups))
            raise PreconditionError(f"cgroups of the {self._name} are busy, remove them: {groups}")

    @property
    def pid(self) -> int:
        """The one process outside; whoever kills it ends everything inside."""
        if self._process is None:
            raise PreconditionError(f"the {self._name} was not started")
        return self._process.pid

    @property
    def groups(self) -> tuple[Path, ...]:
        """Its groups in each hierarchy; none exists after `stop`."""
        return tuple(each.group for each in self.cgroups)

    def _sweep_at_the_end(self) -> subprocess.Popen[bytes]:
        """Start the sweeper, which first waits for the lock that we hold."""
        lock = self._place.folder / f"{self._name}.lock"
        with self._place.log(f"{self._name}-sweeper").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "sandbox.node_sweeper", str(lock), *map(str, self.groups)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # a Ctrl-C at the terminal is not for it
            )
