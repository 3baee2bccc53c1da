"""Plays one scene: `python -m tests.bench.torture_play SCENE [--size 1] [--seed 1] …`.

Prints its findings as JSON. A process of its own, so that the same scene can be played over another
tree of the product (`torture_mutants`).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import torture_scenes_redis as redis_suffers
from tests.bench import torture_scenes_workers as workers_suffer
from tests.bench.torture_ground import ground
from tests.bench.torture_scene import Findings, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One scene and what it needs."""

    act: Callable[[Any], None] | str  # a name in `torture_scenes_reports`, for it needs a cluster
    fsync: str = "always"

    @property
    def needs_cluster(self) -> bool:
        """Whether it writes reports to an API server."""
        return isinstance(self.act, str)


PLAYS = {
    "changes-during-a-run": Play(act=workers_suffer.changes_during_a_run),
    "workers-die": Play(act=workers_suffer.workers_die),
    "a-worker-sleeps": Play(act=workers_suffer.a_worker_sleeps),
    "a-worker-is-cut-off": Play(act=workers_suffer.a_worker_is_cut_off),
    "redis-dies": Play(act=redis_suffers.redis_dies),
    "redis-loses-its-last-second": Play(
        act=redis_suffers.redis_loses_its_last_second, fsync="everysec"
    ),
    "redis-sleeps": Play(act=redis_suffers.redis_sleeps),
    "redis-is-full": Play(act=redis_suffers.redis_is_full),
    "strangers-meddle": Play(act=redis_suffers.strangers_meddle),
    "a-writer-sleeps": Play(act="a_writer_sleeps"),
    "two-generations": Play(act="two_generations"),
    "everything-at-once": Play(act="everything_at_once"),
}


def play(
    name: str,
    folder: Path,
    *,
    size: float = 1.0,
    seed: int = 1,
    patience_s: float = 30.0,
    kubeconfig: Path | None = None,
) -> Findings:
    """Play one scene and return what the oracle found; its files stay in `folder`."""
    chosen = PLAYS[name]
    dice = random.Random(seed)  # noqa: S311 # for the order of faults
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(ground(folder, fsync=chosen.fsync, patience_s=patience_s))
        if not isinstance(chosen.act, str):
            return Scene(ground=place, size=size, dice=dice).play(chosen.act)
        if kubeconfig is None:
            raise ValueError(f"{name} needs a cluster")
        # Here, for they take a second to import.
        from tests.bench import (  # noqa: PLC0415
            torture_cluster,
            torture_report_scene,
            torture_scenes_reports,
        )

        reported = stack.enter_context(torture_cluster.reported(kubeconfig, folder))
        scene = torture_report_scene.ReportScene(
            ground=place, size=size, dice=dice, reported=reported
        )
        return scene.play(getattr(torture_scenes_reports, chosen.act))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the status is 0 whatever was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.torture_play")
    parser.add_argument("scene", choices=PLAYS)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience-s", type=float, default=30.0)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the diary there")
    parsed = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = parsed.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = play(
            parsed.scene,
            folder,
            size=parsed.size,
            seed=parsed.seed,
            patience_s=parsed.patience_s,
            kubeconfig=parsed.kubeconfig,
        )
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
