"""Trivy's own findings against our replay, from one run of a real scanner on real images."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import msgspec
import pytest

from sandbox.images import Pushed, samples
from tests.fixtures_trivy import RunningScanner, inventory_job
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.told import compare, told_of
from worker.project.vulnerability import told_once

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", [one.name for one in samples()])
def test_the_trivy_that_the_suite_runs_passes_its_canary(
    name: str, scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
) -> None:
    """And a replay that lost or changed one finding would not."""
    taken = scanner.scanner.inventory(inventory_job(pushed[name].pinned, match_url, canary=True))
    with closing(TwirpMatcher(match_url)) as matcher:
        found = told_once(matcher.match(taken.inventory).findings)
    assert compare(taken.told, told_of(found)).number == 0
    assert len(taken.told) == len(found)
    if found:
        other = msgspec.structs.replace(found[0], fixed_version="0")
        changed = compare(taken.told, told_of([other, *found[1:]]))
        assert (len(changed.only_cli), len(changed.only_replay)) == (1, 1)


def test_who_is_no_canary_is_told_nothing(
    scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
) -> None:
    """The findings of every scan would double its answer."""
    taken = scanner.scanner.inventory(inventory_job(pushed["alpine-app"].pinned, match_url))
    assert taken.told == ()
