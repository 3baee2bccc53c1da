"""The whole path with real parts and every filter set: what users hid stays hidden, and no longer.

One product for all tests, a namespace each. Only the kubelet is a stand-in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import PreconditionError
from sandbox.demo.world import create_all
from sandbox.manifests import Part, workload
from tests.filters.policies import policy
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

BUSYBOX, OPENSSL, LIBSSL = "CVE-2022-48174", "CVE-2023-5363", "libssl3"
# Long enough for the product to start, and for a report, on a machine that others use too.
HELD_S = 90.0


@pytest.fixture(scope="module")
def ends_s() -> float:
    """Give the moment at which a rule ends, in Unix seconds."""
    return time.time() + HELD_S


@pytest.fixture(scope="module")
def alive(ends_s: float, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Give the product at work."""
    folder: Path = tmp_path_factory.mktemp("filters")
    moment = datetime.fromtimestamp(ends_s, UTC).isoformat()
    (folder / "ignore.yaml").write_text(
        f"vulnerabilities: [{{id: {BUSYBOX}, expired_at: {moment}}}]", encoding="utf-8"
    )
    (folder / "ignore.rego").write_text(policy(f'input.PkgName == "{LIBSSL}"'), encoding="utf-8")
    try:
        with living(
            TRIVY_IGNOREFILE=str(folder / "ignore.yaml"),
            TRIVY_IGNORE_POLICY=str(folder / "ignore.rego"),
            SLUICE_EXCLUDE_IMAGES="*/*/clean:*",
            SLUICE_SKIP_INIT_CONTAINERS="true",
        ) as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def found(report: Any, field: str = "vulnerabilityID") -> set[str]:
    """Return what a report tells of."""
    return {one[field] for one in report["report"]["vulnerabilities"]}


def test_a_rule_hides_until_it_ends_and_a_policy_for_ever(alive: Living, ends_s: float) -> None:
    """No process starts again when a rule ends, and nobody has to ask."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    report = alive.await_report(here)
    assert OPENSSL in found(report)
    assert LIBSSL not in found(report, "resource")
    if time.time() < ends_s - 1:
        assert BUSYBOX not in found(report)
    eventually(lambda: BUSYBOX in found(alive.of(here)[0]), within_s=HELD_S + 60)
    assert time.time() > ends_s
    assert LIBSSL not in found(alive.of(here)[0], "resource")


def test_what_is_left_out_has_no_report(alive: Living) -> None:
    """Neither an excluded image nor an init container."""
    here = alive.namespace()
    parts = [
        Part(name="app", image=alive.image("alpine-app")),
        Part(name="helper", image=alive.image("clean")),
        Part(name="first", image=alive.image("alpine-node"), init=True),
    ]
    create_all(alive.world.plane.api, [workload("Deployment", "web", parts, namespace=here)])
    alive.await_report(here, "app")
    eventually(lambda: any(here in key and how == "Converged" for key, how in alive.settled()))
    assert not alive.of(here, "helper")
    assert not alive.of(here, "first")


def test_a_workloads_skips_count_for_it_alone(alive: Living) -> None:
    """Two workloads run one image: what one of them skips the other still sees."""
    here = alive.namespace()
    alive.deploy(here, "open", alive.image("secrets"))
    made = workload(
        "Deployment",
        "skips",
        [Part(name="c0", image=alive.image("secrets"))],
        namespace=here,
    )
    prefix = "trivy-operator.aquasecurity.github.io"
    made["metadata"]["annotations"] = {f"{prefix}/skip-files": "/app/id_rsa, /app/ci.env"}
    create_all(alive.world.plane.api, [made])

    def targets(workload_name: str) -> set[str]:
        reports = alive.reports(here, "ExposedSecretReport")
        return {
            one["target"]
            for name, report in reports.items()
            if f"-{workload_name}-" in name
            for one in report["report"]["secrets"]
        }

    eventually(lambda: targets("open") and targets("skips"))
    assert "/app/id_rsa" in targets("open")
    assert "/app/ci.env" in targets("open")
    assert "/app/settings.env" in targets("skips")
    assert not targets("skips") & {"/app/id_rsa", "/app/ci.env"}
