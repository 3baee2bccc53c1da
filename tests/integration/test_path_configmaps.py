"""trivy-operator's ConfigMaps and the whole path: a change reaches exactly what it concerns.

Real parts all of them, one product, nobody's hand: its processes follow by themselves. Only the
kubelet is a stand-in.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.model.facts import Fact
from sandbox.api import ApiError
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

HOME = "default"
MAPS = f"/api/v1/namespaces/{HOME}/configmaps"
TRIVY, OPERATOR = "trivy-operator-trivy-config", "trivy-operator"


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living(OPERATOR_NAMESPACE=HOME) as one:
            yield one
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(autouse=True)
def _clean(alive: Living) -> Iterator[None]:
    """Leave no ConfigMap behind, and wait until it counts no more."""
    yield
    for name in (TRIVY, OPERATOR):
        with contextlib.suppress(ApiError):
            alive.world.plane.api.delete(f"{MAPS}/{name}")
    settle(alive, 0)


def settle(alive: Living, entries: int) -> None:
    """Wait until so many settings come from ConfigMaps, and everybody works with them."""

    def agreed() -> bool:
        document = status(alive)
        generation = document["generation"]
        return (
            document["settings"]["from_configmaps"] == entries
            and not document["settings"]["faults"]
            and len(document["workers"]) >= 2
            and not generation["standing_back"]
            and not document["lacking"]
        )

    eventually(agreed, within_s=120)


def status(alive: Living) -> Any:
    """Return `sluice status --json`."""
    return json.loads(alive.product.sluice("status", "--json"))


def say(alive: Living, name: str, **data: str) -> None:
    """Create or replace a ConfigMap."""
    api = alive.world.plane.api
    with contextlib.suppress(ApiError):
        api.delete(f"{MAPS}/{name}")
    api.create(MAPS, {"metadata": {"name": name}, "data": data})


def severities(alive: Living, namespace: str) -> set[str]:
    """Return those of the findings in a namespace."""
    (report,) = alive.of(namespace)
    return {one["severity"] for one in report["report"]["vulnerabilities"]}


def versions(alive: Living, namespace: str) -> dict[str, str]:
    """Return the version of each report there."""
    return {
        name: report["metadata"]["resourceVersion"]
        for kind in ("VulnerabilityReport", "ExposedSecretReport", "SbomReport")
        for name, report in alive.reports(namespace, kind).items()
    }


def running(alive: Living) -> list[int]:
    """Return the product's processes."""
    return sorted({*alive.pids("watcher"), *alive.pids("worker")})


def queued(alive: Living, since_s: float) -> set[str]:
    """Return the workloads that were queued since then."""
    return {each.key for each in enqueued(alive, since_s)}


def enqueued(alive: Living, since_s: float) -> list[Fact]:
    """Return why and how workloads were queued since then."""
    facts = [fact for fact in alive.facts(since_s) if fact.kind == "enqueued"]
    return [fact for fact in facts if fact.key.startswith("workload/")]


def test_a_severity_reaches_the_reports_that_it_concerns(alive: Living) -> None:
    """Every workload is looked at, those are written that differ, and no process was replaced."""
    here, other = alive.namespace(), alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.deploy(other, "web", alive.image("clean"))
    alive.await_report(here)
    alive.await_report(other)
    settle(alive, 0)
    all_of_them = severities(alive, here)
    assert {"CRITICAL", "HIGH"} <= all_of_them
    before, processes = versions(alive, other), running(alive)
    since_s = alive_now(alive)
    say(alive, TRIVY, **{"trivy.severity": "CRITICAL"})
    eventually(lambda: severities(alive, here) == {"CRITICAL"}, within_s=120)
    settle(alive, 1)
    assert versions(alive, other) == before
    assert running(alive) == processes
    assert {fact.data["lane"] for fact in enqueued(alive, since_s)} == {"bulk"}
    alive.world.plane.api.delete(f"{MAPS}/{TRIVY}")
    eventually(lambda: severities(alive, here) == all_of_them, within_s=120)


def test_what_is_excluded_concerns_its_own_workloads_alone(alive: Living) -> None:
    """A setting that rows tell runs nobody else, and replaces no worker's work."""
    here, other = alive.namespace(), alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.deploy(other, "web", alive.image("clean"))
    alive.await_report(here)
    alive.await_report(other)
    settle(alive, 0)
    before = versions(alive, here)
    since_s = alive_now(alive)
    say(alive, OPERATOR, **{"scanJob.excludeImages": "*/*/clean:*"})
    eventually(lambda: not alive.of(other), within_s=120)
    settle(alive, 1)
    assert versions(alive, here) == before
    assert here not in str(queued(alive, since_s))
    assert other in str(queued(alive, since_s))


def test_what_is_wrong_is_told_and_what_held_holds_on(alive: Living) -> None:
    """Through a restart of everything too; nobody crashes, and a correction counts by itself."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    alive.await_report(here)
    say(alive, TRIVY, **{"trivy.severity": "CRITICAL"})
    eventually(lambda: severities(alive, here) == {"CRITICAL"}, within_s=120)
    settle(alive, 1)
    before, processes = versions(alive, here), running(alive)
    say(alive, TRIVY, **{"trivy.severity": "CRITCAL", "trivy.vulnType": "os"})
    (fault,) = eventually(lambda: status(alive)["settings"]["faults"])
    assert fault["source"] == f"ConfigMap {HOME}/{TRIVY}, key trivy.severity"
    assert f"kubectl -n {HOME} edit configmap {TRIVY}" in fault["remedy"]
    text = alive.product.sluice("status")
    assert f"! {fault['source']} has 'CRITCAL'" in text
    assert "the settings of before hold until then" in text
    assert running(alive) == processes
    alive.product.restart()
    eventually(lambda: len(status(alive)["workers"]) >= 2 and status(alive)["watcher"]["alive"])
    assert status(alive)["settings"]["faults"] == [fault]
    eventually(lambda: not status(alive)["lacking"])
    assert versions(alive, here) == before
    say(alive, TRIVY, **{"trivy.severity": "HIGH"})
    eventually(lambda: severities(alive, here) == {"HIGH"}, within_s=120)


def test_the_doctor_knows_where_each_value_comes_from(alive: Living) -> None:
    """Environment, ConfigMap and key, or default."""
    say(alive, TRIVY, **{"trivy.ignoreUnfixed": "true", "trivy.command": "rootfs"})
    settle(alive, 1)
    text = said_by_doctor(alive)
    source = f"ConfigMap {HOME}/{TRIVY}, key trivy.ignoreUnfixed"
    assert f"TRIVY_IGNORE_UNFIXED: true, from {source}" in text
    assert f"OPERATOR_NAMESPACE: {HOME}, from the environment" in text
    assert "key trivy.command has no effect in this version" in text


def said_by_doctor(alive: Living) -> str:
    """Return the doctor's words, whatever it finds."""
    try:
        return alive.product.sluice("doctor")
    except PreconditionError as error:
        return str(error)


def alive_now(alive: Living) -> float:
    """Return Redis' time, after which facts are those of the test."""
    seconds, micros = alive.redis().time()
    return float(seconds) + micros / 1e6
