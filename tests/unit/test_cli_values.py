"""The command line's pure parts: columns, ages, spreading, what OBJECT means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.cli.layout import columns
from common.cli.rescan import spread
from common.cli.subject import (
    Exactly,
    Image,
    Known,
    Named,
    Report,
    keys_meant,
    read_wish,
)
from common.model.image import ImageUse
from common.model.key import ClusterKey, ImageKey, WorkKey, WorkloadKey
from common.model.workload import Container, Fingerprint, WorkloadRow, fingerprint
from common.overview.ages import database_age_s
from common.overview.words import age, counted
from common.queue.contract import Lane
from tests.cli_values import FakeSettled, row

# --- layout


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (-3, "0s"),
        (0.4, "0s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (7_500, "2h5m"),
        (86_400, "1d"),
        (97_200, "1d3h"),
    ],
)
def test_an_age_has_at_most_two_units(seconds: float | None, expected: str) -> None:
    """`97200.0` makes everybody count."""
    assert age(seconds) == expected


def test_columns_line_up_and_leave_no_blanks_at_the_end() -> None:
    """Trailing blanks wrap on narrow terminals."""
    assert columns([("a", "bb"), ("ccc", "")], head=("X", "Y")) == "X    Y\na    bb\nccc"
    assert columns([]) == ""


def test_counts_read_as_words() -> None:
    """`1 keys` looks like a bug."""
    assert (counted(1, "key"), counted(0, "key")) == ("1 key", "0 keys")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2026-11-25T06:00:00Z", 3_600),
        ("2026-11-25T06:00:00.123456789Z", 3_599.877),
        ("2026-11-25T06:00:00", 3_600),
        ("2026-11-25T08:00:00Z", 0),
        ("latest", None),
    ],
)
def test_a_databases_age_comes_from_its_version(version: str, expected: float | None) -> None:
    """The version is the time it was made; one that is no time has no age, not a wrong one."""
    now_s = 1_795_590_000.0  # 2026-11-25T07:00:00Z
    found = database_age_s(version, now_s)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.01))


# --- rescan


def key(name: str) -> WorkloadKey:
    """Return a workload's key."""
    return WorkloadKey(kind="ReplicaSet", namespace="shop", name=name)


@given(st.integers(1, 60), st.floats(0, 1e6))
@example(26, 0.0078125)  # rounding up would end after the time
def test_runs_are_spread_evenly_and_end_in_time(count: int, over_s: float) -> None:
    """`--over 2h` promises no burst and no run after two hours."""
    adds = spread([key(str(n)) for n in range(count)], over_s=over_s, lane=Lane.BULK)
    delays = [add.delay_s for add in adds]
    assert delays == sorted(delays)
    assert delays[0] == 0
    assert max(delays) <= over_s
    gaps = [after - before for before, after in itertools.pairwise(delays)]
    assert all(abs(gap - over_s / count) <= 0.002 for gap in gaps)


# --- what OBJECT means

DIGEST = "sha256:" + "ab" * 32
IMAGE = ImageKey(digest=DIGEST, platform="linux-amd64", options="0f")


POD = WorkloadKey(kind="Pod", namespace="shop", name="web")


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Deployment/shop/web", Named(kind="Deployment", namespace="shop", name="web")),
        ("deploy/shop/web", Named(kind="Deployment", namespace="shop", name="web")),
        ("pods/shop/web-1", Named(kind="Pod", namespace="shop", name="web-1")),
        ("STATEFULSET/shop/db", Named(kind="StatefulSet", namespace="shop", name="db")),
        ("Rollout/shop/web", Named(kind="Rollout", namespace="shop", name="web")),
        ("VulnerabilityReport/shop/r", Report(name="VulnerabilityReport/shop/r")),
        ("vulns/shop/r", Report(name="VulnerabilityReport/shop/r")),
        ("sbomreports.aquasecurity.github.io/shop/r", Report(name="SbomReport/shop/r")),
        ("ClusterVulnerabilityReport/r", Report(name="ClusterVulnerabilityReport//r")),
        ("vulns/app", Image(text="vulns/app")),
        ("docker.io/library/nginx", Image(text="docker.io/library/nginx")),
        ("quay/team/app:1", Image(text="quay/team/app:1")),
        ("nginx:1.27", Image(text="nginx:1.27")),
        (DIGEST, Image(text=DIGEST)),
        ("workload/Pod/shop/web", Exactly(key=POD)),
        (str(IMAGE), Exactly(key=IMAGE)),
        ("cluster/database", Exactly(key=ClusterKey(what="database"))),
    ],
)  # fmt: skip
def test_an_object_is_read_as_its_user_means_it(text: str, wish: object) -> None:
    """Nobody wants to learn a syntax to ask why."""
    assert read_wish(text) == wish


class FakeRows:
    """The watcher's rows."""

    def __init__(self, *rows: WorkloadRow) -> None:
        self._rows = {each.key: each for each in rows}

    def keys(self) -> Iterator[WorkloadKey]:
        """Yield every key, and one whose row is gone by now."""
        yield from self._rows
        yield key("vanished")

    def get(self, wanted: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        """Return a row."""
        found = self._rows.get(wanted)
        return None if found is None else (found, fingerprint(found))

    def all(self) -> Iterator[WorkloadRow]:
        """Yield every row, the first one twice, as a scan may."""
        yield from self._rows.values()
        yield from list(self._rows.values())[:1]


class FakeImages:
    """One image that one workload uses."""

    def keys(self) -> list[ImageKey]:
        """Return the image."""
        return [IMAGE]

    def uses(self, wanted: ImageKey) -> list[ImageUse]:
        """Return its use."""
        assert wanted == IMAGE
        return [ImageUse(workload=str(key("web-new")), reference="app:1", namespace="shop")]


def naming(name: str, image: str, **changes: Any) -> WorkloadRow:
    """Return a workload whose container names this image."""
    container = Container(name="app", role="container", image=image)
    return msgspec.structs.replace(row(name), containers=(container,), top_name=name, **changes)


ROWS = FakeRows(
    row("web-old", current=False),
    row("web-new"),
    msgspec.structs.replace(row("web-x", namespace="other"), containers=()),
    naming("vain", "quay.io/shop/cart:tyop"),
    naming("pinned", "cart@sha256:" + "cd" * 32),
    naming("unasked", "quay.io/shop/cart:tyop", skip="ByLabel"),
    naming("past", "quay.io/shop/cart:tyop", current=False),
)


def meant(text: str, rows: FakeRows = ROWS) -> list[WorkKey]:
    """Return the keys that a text means here."""
    settled = FakeSettled({key("web-new"): ["VulnerabilityReport/shop/r", "SbomReport/shop/r"]})
    return keys_meant(read_wish(text), Known(rows=rows, images=FakeImages(), settled=settled))


def test_a_report_means_the_workload_that_it_was_written_for() -> None:
    """Whoever reads a report asks about the report, by the name that kubectl shows."""
    assert meant("vulns/shop/r") == [key("web-new")]
    assert meant("vulns/other/r") == []


def test_a_deployment_means_its_current_replicaset() -> None:
    """The ledger knows ReplicaSets; users know Deployments."""
    assert meant("Deployment/shop/web") == [key("web-new")]


def test_a_deployment_without_a_current_replicaset_means_all_it_has() -> None:
    """During a rollout there may be none; silence would be worse than the old story."""
    rows = FakeRows(row("web-old", current=False))
    assert meant("deploy/shop/web", rows) == [key("web-old")]


def test_a_workload_is_meant_even_when_it_is_gone() -> None:
    """Why a report vanished is asked after the workload did."""
    assert meant("Pod/shop/long-gone") == [
        WorkloadKey(kind="Pod", namespace="shop", name="long-gone")
    ]


@pytest.mark.parametrize(
    "text", ["app:1", "docker.io/library/app:1", DIGEST, DIGEST[:19], f"registry/app@{DIGEST}"]
)
def test_an_image_is_found_by_reference_and_by_digest(text: str) -> None:
    """People copy whatever stands in their manifest or in `kubectl describe`."""
    assert meant(text) == [IMAGE]


@pytest.mark.parametrize(
    ("text", "name"),
    [("quay.io/shop/cart:tyop", "vain"), ("docker.io/library/cart@sha256:" + "cd" * 32, "pinned")],
)
def test_an_image_that_no_registry_resolves_means_the_workloads_that_name_it(
    text: str, name: str
) -> None:
    """It has no digest, so no key of its own: `nothing is known` sent people away from why."""
    assert meant(text) == [key(name)]


def test_an_image_that_one_workload_may_not_pull_means_that_workload_too() -> None:
    """The other one's digest explains nothing about this one's refused password."""
    rows = FakeRows(row("web-new"), row("denied"))
    assert meant("app:1", rows) == [IMAGE, key("denied")]


@pytest.mark.parametrize(
    "text", ["app:2", "sha256:00", "sha256:" + "cd" * 32, "Deployment/shop/other"]
)
def test_what_nobody_knows_means_nothing(text: str) -> None:
    """Better no answer than somebody else's."""
    assert meant(text) == []
