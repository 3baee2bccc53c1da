"""A Trivy that is not rolled out yet, beside a product at work: compared, and nothing else."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.ops.trivy_program import Trivy
from common.state.names import Names
from common.state.trusted import TrustTable
from sandbox.demo.product import CLUSTER
from sandbox.vulndb import REPOSITORY
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

# Does what the real one does, and then tells of every vulnerability by another name.
LIAR = """#!/bin/sh
"{trivy}" "$@"; status=$?
for word in "$@"; do
  case "$word" in --output=*) sed -i s/CVE-2023-5363/CVE-2023-0000/g "${{word#--output=}}" ;; esac
done
exit $status
"""


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work on two images."""
    try:
        with living() as one:
            here = one.namespace()
            one.deploy(here, "web", one.image("alpine-app"), one.image("debian-app"))
            eventually(lambda: len(one.reports(here)) == 2)
            one.product.await_settled(timeout_s=60)
            yield one
    except PreconditionError as error:
        lacking(error)


def canary(
    alive: Living, path: Path, *more: str, place: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, with its temporary files below `place`."""
    environ = alive.product.environ()
    if place is not None:
        environ["TMPDIR"] = str(place)
    return subprocess.run(
        [sys.executable, "-m", "common.cli.main", "canary", "--trivy", str(path), *more],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_candidate_that_agrees_is_told_so_and_not_trusted(
    alive: Living, trivy: Trivy, tmp_path: Path
) -> None:
    """It has a scanner, a match server and a database of its own; the cluster's are left alone."""
    another = tmp_path / "trivy-next"
    another.symlink_to(trivy.path)
    redis: Any = alive.redis()
    trust = TrustTable(redis, Names(CLUSTER))
    before, work = trust.current(), alive.product.work()
    stored = {key: one.inventory for key, one in _records(alive).items()}
    mark = alive.world.registry.mark()
    ended = canary(alive, another, "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["agrees"], said["trusted"]) == (trivy.version, None)
    assert [one["differences"] for one in said["images"]] == [0, 0]
    assert all(one["findings"] for one in said["images"])
    asked = {one.repository for one in alive.world.registry.requests(since=mark)}
    assert asked >= {REPOSITORY, "sample/alpine-app", "sample/debian-app"}
    assert trust.current() == before
    assert alive.product.work() == work
    assert {key: one.inventory for key, one in _records(alive).items()} == stored
    assert alive.circuits() == []


def _records(alive: Living) -> dict[str, Any]:
    table = alive.images()
    return {str(key): table.get(key) for key in table.keys()}  # noqa: SIM118 # a table


def test_a_candidate_that_differs_is_named_before_anybody_relies_on_it(
    alive: Living, trivy: Trivy, tmp_path: Path
) -> None:
    """Its command line names another vulnerability than its server: a replay would be wrong."""
    liar = tmp_path / "trivy-liar"
    liar.write_text(LIAR.format(trivy=trivy.path))
    liar.chmod(0o755)
    ended = canary(alive, liar, place=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert "only Trivy's command line: CVE-2023-0000" in ended.stdout
    assert "only our replay: CVE-2023-5363" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "do not roll it out: findings differ"
    assert not list(tmp_path.glob("sluice-canary-*"))
    assert not [line for line in _command_lines() if str(tmp_path) in line]


def _command_lines() -> Iterator[str]:
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield place.read_text(errors="replace")


def test_what_is_no_trivy_is_refused(alive: Living, tmp_path: Path) -> None:
    """Exit status 3 and a remedy, before anything is downloaded."""
    mark = alive.world.registry.mark()
    ended = canary(alive, tmp_path / "none")
    assert ended.returncode == 3
    assert "no usable Trivy" in ended.stderr
    assert alive.world.registry.requests(since=mark) == []
