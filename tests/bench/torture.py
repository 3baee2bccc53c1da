"""The torture: every fault alone and all of them at once, judged by an oracle outside Redis.

Scenes with real worker processes, a real Redis and a real API server (`torture_play`); then the
same scenes over copies of the product with one guard less each (`torture_mutants`), of which none
may pass. Counts of faults, never a time: a slow machine only takes longer.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sandbox import controlplane
from sandbox.controlplane import ControlPlane
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from tests.bench.torture_cluster import install
from tests.bench.torture_mutants import MUTANTS, Mutant
from tests.bench.torture_play import PLAYS
from tests.bench.torture_scene import Findings
from tests.bench.torture_tree import played, without

RUNS = 1  # the documented number of runs is in docs/torture.md
# Case, which findings it counts, and its unit.
_CASES = (
    ("lost", "lost", "keys"),
    ("doubled", "doubled", "pairs of runs"),
    ("wrong-follow-ups", "follow_ups", "keys"),
    ("stale-writes", "stale", "writes"),
    ("broken-promises", "promises", "promises"),
)
# A mutant often shows by a key that never ends; the real product gets longer.
_MUTANT_PATIENCE_S = 10.0
_MUTANT_PLAYS = 4
_PATIENCE_S = 60.0


def run(runs: int = RUNS) -> dict[str, object]:
    """Play all scenes `runs` times, each time with other dice, and every mutant once.

    Raises PreconditionError when the programs of the control plane cannot be had.
    """
    with _cluster() as kubeconfig:
        turns = [_turn(kubeconfig, seed) for seed in range(1, runs + 1)]
        missed = _missed(kubeconfig)
    rows = [*fault_rows(turns), mutants_row(missed), *count_rows(turns)]
    return {
        "name": "torture",
        "machine": {"cores": os.cpu_count()},
        "rows": rows,
        "ok": all(row["ours"] == row["goal"] for row in rows if row["goal"] is not None),
    }


@contextmanager
def _cluster() -> Iterator[Path]:
    with Place() as place, Stack() as stack:
        plane = ControlPlane(place, find(controlplane.PROGRAMS, say=_say), stack).start()
        install(plane.kubeconfig)
        yield plane.kubeconfig


def _turn(kubeconfig: Path, seed: int) -> dict[str, Findings]:
    """Play every scene once, one after the other: they must not disturb each other."""
    found = {}
    for scene in PLAYS:
        found[scene] = played(scene, kubeconfig=kubeconfig, seed=seed, patience_s=_PATIENCE_S)
        counts = ", ".join(f"{what} {number}" for what, number in found[scene].counts.items())
        _say(f"{scene}: {counts}")
        for fault in found[scene].faults:
            _say(f"WRONG in {scene}: {fault}")
    return found


def _missed(kubeconfig: Path) -> list[str]:
    """Play every mutant, two at a time, and return those that the oracle did not find."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        plays = list(pool.map(lambda mutant: plays_until_caught(mutant, kubeconfig), MUTANTS))
    for mutant, number in zip(MUTANTS, plays, strict=True):
        _say(f"{mutant.name}: {f'caught in play {number}' if number else 'MISSED'}")
    return [mutant.name for mutant, number in zip(MUTANTS, plays, strict=True) if not number]


def plays_until_caught(mutant: Mutant, kubeconfig: Path) -> int:
    """Play a mutant's scene until the oracle finds it; return how often, 0: it never did.

    Some guards matter in a window of milliseconds only, so a single play may miss it.
    """
    with without(mutant) as root:
        for number in range(1, _MUTANT_PLAYS + 1):
            findings = played(
                mutant.scene,
                root=root,
                kubeconfig=kubeconfig,
                patience_s=_MUTANT_PATIENCE_S,
                seed=number,
            )
            if getattr(findings, mutant.oracle):
                return number
    return 0


def fault_rows(turns: Sequence[dict[str, Findings]]) -> list[dict[str, object]]:
    """Return a row per kind of fault: how many there were in all scenes together. Pure."""
    rows = []
    for case, field, unit in _CASES:
        found = [_of_kind(turn, field) for turn in turns]
        counts = [len(faults) for faults in found]
        rows.append(_row(case, counts, unit=unit, goal=0, beside=_first(*found)))
    return rows


def _of_kind(turn: Mapping[str, Findings], field: str) -> list[str]:
    return [fault for found in turn.values() for fault in getattr(found, field)]


def mutants_row(missed: Sequence[str]) -> dict[str, object]:
    """Return the row of mutants that passed. Pure."""
    beside = _first(missed) or f"of {len(MUTANTS)}, each without one guard"
    return _row("mutants-missed", [len(missed)], unit="mutants", goal=0, beside=beside)


def count_rows(turns: Sequence[dict[str, Findings]]) -> list[dict[str, object]]:
    """Return what was done in all scenes together: changes, runs, faults. Pure."""
    sums = []
    for turn in turns:
        counter: Counter[str] = Counter()
        for found in turn.values():
            counter.update(found.counts)
        sums.append(counter)
    names = sorted(set().union(*sums))
    return [_row(name, [counter[name] for counter in sums], unit="", goal=None) for name in names]


def _first(*found: Sequence[str]) -> str:
    return next(itertools.chain(*found), "")


def _row(
    case: str, counts: list[int], *, unit: str, goal: int | None, beside: str = ""
) -> dict[str, object]:
    return {
        "case": case,
        "ours": sum(counts) if goal is not None else sorted(counts)[len(counts) // 2],
        "baseline": None,
        "baseline_name": None,
        "unit": unit,
        "ratio": None,
        "goal": goal,
        "runs": len(counts),
        "spread": [min(counts), max(counts)],
        "beside": beside,
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
