"""Removes the cgroups of what lived in namespaces of its own, however its starter ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox.place import Place

_SWEEP_S = 20.0  # the sweeper gives up by itself before
_ROOT = Path(__file__).parents[1]


class Sweep:
    """One sweeper (`node_sweeper`), which waits for the lock `name` of a place."""

    def __init__(self, place: Place, name: str, groups: Sequence[Path]) -> None:
        """Start it. The caller holds the lock already, and hands it to what it starts."""
        self._name = name
        self._groups = groups
        with place.log(f"{name}-sweeper").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    *(sys.executable, "-m", "sandbox.node_sweeper"),
                    *(str(place.folder / f"{name}.lock"), *map(str, groups)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                start_new_session=True,  # a Ctrl-C at the terminal is not for it
            )

    def wait(self) -> None:
        """Wait until the groups are gone. Raises PreconditionError when some stay."""
        if self._child.wait(_SWEEP_S):
            groups = ", ".join(map(str, self._groups))
            raise PreconditionError(f"cgroups of the {self._name} are busy, remove them: {groups}")
