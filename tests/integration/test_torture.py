"""A short torture: every scene of `make bench NAME=torture`, smaller, and a mutant or two.

What the scenes do and how the oracle judges is told in docs/torture.md. Each scene is processes of
its own with a Redis and a diary of its own, and most of its time it waits for leases to end; so
several are played at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from sandbox.controlplane import ControlPlane
from tests.bench.torture import plays_until_caught
from tests.bench.torture_cluster import install
from tests.bench.torture_mutants import MUTANTS
from tests.bench.torture_play import PLAYS
from tests.bench.torture_tree import played

pytestmark = pytest.mark.integration

_SIZE = 0.3
_AT_ONCE = 3

Plays: TypeAlias = Mapping[str, Future[list[str]]]

# One of the queue and one of the writer: enough to see that the oracle has teeth.
CANARIES = ("nobody asks whose the key is", "any token ends a claim")


@pytest.fixture(scope="module")
def kubeconfig(controlplane: ControlPlane) -> Path:
    """Give the shared API server, with our definitions."""
    install(controlplane.kubeconfig)
    return controlplane.kubeconfig


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, kubeconfig: Path) -> Iterator[Plays]:
    """Play what the selected tests ask for, the longest (the last ones) first."""
    cases = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    chosen = {case.get("scene", case.get("mutant")) for case in cases}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            name: pool.submit(_play, name, kubeconfig)
            for name in reversed([*PLAYS, *CANARIES])
            if name in chosen
        }


def _play(name: str, kubeconfig: Path) -> list[str]:
    """Return the faults of a scene, or what the oracle found without a guard."""
    if name in PLAYS:
        return played(name, kubeconfig=kubeconfig, size=_SIZE).faults
    (mutant,) = [one for one in MUTANTS if one.name == name]
    return ["caught"] if plays_until_caught(mutant, kubeconfig) else []


@pytest.mark.parametrize("scene", PLAYS)
def test_nothing_is_lost_doubled_or_stale(scene: str, plays: Plays) -> None:
    """Law 2, and traps 8 and 25: whatever happens to workers, to Redis, and to the line between."""
    assert plays[scene].result() == []


@pytest.mark.parametrize("mutant", CANARIES)
def test_the_oracle_notices_a_missing_guard(mutant: str, plays: Plays) -> None:
    """A torture that never failed proves nothing."""
    assert plays[mutant].result()
