"""The cases in which trivy-operator leaves workloads without reports, on ours and a real node.

A rollout, a database update, a refresh that fails, a time-to-live that ends, an image that cannot
be pulled: 0 seconds without a report, by a watch that misses no change (`tests.absence`).
One product for all of them, a namespace each.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.state.names import Names
from sandbox import vulndb
from sandbox.demo.product import CLUSTER
from sandbox.demo.world import REPORTS, create_all
from sandbox.faults import Answer
from sandbox.images import push, touch
from sandbox.manifests import Part, workload
from tests.absence import AbsenceWatch, absences
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.e2e

VULNERABILITY, SECRET, SBOM = REPORTS
DAY_S = 86_400.0
# What a kubelet may pull and a scanner may not: its credentials differ, or a proxy is in between.
SCANNERS_ALONE = "containerd/*"
_databases = count(1)


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work on a node; parked images are probed within seconds."""
    probes = "Unauthorized.probe_s=4,ImageNotFound.probe_s=4"
    try:
        with living(node=True, SLUICE_ERROR_POLICIES=probes) as one:
            # Definitions have a storage some seconds after their installation.
            eventually(one.product.database)
            here = one.namespace()
            one.deploy(here, "first", one.image("alpine-app"))
            eventually(lambda: complete(one, here, 1))
            yield one
    except PreconditionError as error:
        lacking(error)


@pytest.fixture
def absent(alive: Living) -> Iterator[AbsenceWatch]:
    """Give a watch over every report, from before the first of the test's own."""
    with absences(alive.world.plane.api) as watch:
        yield watch


def versions(alive: Living, namespace: str, kind: str) -> dict[str, str]:
    """Return the resource version of each report: the same one was not written."""
    return {
        name: one["metadata"]["resourceVersion"]
        for name, one in alive.reports(namespace, kind).items()
    }


def all_versions(alive: Living, namespace: str) -> dict[str, dict[str, str]]:
    return {kind: versions(alive, namespace, kind) for kind in REPORTS}


def complete(alive: Living, namespace: str, number: int) -> bool:
    """Say whether so many containers have all three reports."""
    return all(len(alive.reports(namespace, kind)) == number for kind in REPORTS)


def images_of(alive: Living, namespace: str) -> dict[str, set[str]]:
    """Return the digests that the reports of each kind are about."""
    return {
        kind: {
            one["report"]["artifact"]["digest"] for one in alive.reports(namespace, kind).values()
        }
        for kind in (VULNERABILITY, SECRET)
    }


def roll(alive: Living, namespace: str, name: str, image: str) -> None:
    """Give a Deployment another image, with no pod less meanwhile."""
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    template = {"spec": {"containers": [{"name": "c0", "image": image}]}}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    alive.patch(path, {"spec": {"strategy": strategy, "template": template}})


def running(alive: Living, namespace: str) -> dict[str, str]:
    """Return the pods whose container c0 runs, by name, with the digest that runs."""
    pods = alive.world.plane.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return {
        pod["metadata"]["name"]: status["imageID"].partition("@")[2]
        for pod in pods
        for status in pod["status"].get("containerStatuses", ())
        if status["name"] == "c0" and "running" in status["state"]
    }


def publish(alive: Living, level: vulndb.Level) -> str:
    """Push a later database than any before and return its version; nobody is told."""
    number = next(_databases)
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5) + timedelta(minutes=number)
    folder = alive.place.sub(f"database-{number}")
    vulndb.build(folder, level=level, updated_at=at)
    vulndb.push(alive.world.registry.address, folder)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def matched_by(alive: Living, version: str) -> Callable[[], bool]:
    """Return the question whether every image was matched by that database."""
    table = alive.images()

    def ask() -> bool:
        states = table.states(table.keys())
        return all(one.database == version for one in states if one.used)

    return ask


def found(alive: Living, namespace: str) -> dict[str, int]:
    """Return how many vulnerabilities each report tells of."""
    return {
        name: len(one["report"]["vulnerabilities"])
        for name, one in alive.reports(namespace).items()
    }


def test_the_watch_sees_a_report_that_is_gone_for_a_moment(
    alive: Living, absent: AbsenceWatch
) -> None:
    """Without this, 0 seconds could mean that nobody looked."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    eventually(lambda: complete(alive, here, 1))
    assert absent.gaps() == {}
    (name,) = alive.reports(here)
    path = f"/apis/aquasecurity.github.io/v1alpha1/namespaces/{here}/vulnerabilityreports/{name}"
    alive.world.plane.api.delete(path)
    eventually(lambda: complete(alive, here, 1))
    eventually(absent.gaps)
    ((place, gone_s),) = absent.gaps().items()
    assert place == (VULNERABILITY, here, "Deployment/web", "c0")
    assert gone_s > 0


# --- C: rollouts ----------------------------------------------------------------------------------


def test_a_new_tag_on_five_deployments(alive: Living, absent: AbsenceWatch) -> None:
    """The peer: 3.8 to 5.5 s without any, and five old SbomReports for ever."""
    here, names = alive.namespace(), [f"web-{number}" for number in range(5)]
    for name in names:
        alive.deploy(here, name, alive.image("alpine-python"))
    eventually(lambda: complete(alive, here, 5))
    new = alive.world.images["debian-node"]
    for name in names:
        roll(alive, here, name, new.reference)
    every = {VULNERABILITY: {new.digest}, SECRET: {new.digest}}
    eventually(lambda: images_of(alive, here) == every and complete(alive, here, 5))
    eventually(lambda: set(running(alive, here).values()) == {new.digest})
    alive.product.await_quiet(timeout_s=60)
    assert complete(alive, here, 5)
    assert absent.gaps() == {}
    mine = {place for place in absent.places() if place[1] == here}
    assert mine == {(kind, here, f"Deployment/{name}", "c0") for kind in REPORTS for name in names}


def test_a_rollout_to_a_tag_that_does_not_exist(alive: Living, absent: AbsenceWatch) -> None:
    """The peer deletes the running image's reports as soon as one of its pods restarts."""
    here, api = alive.namespace(), alive.world.plane.api
    alive.deploy(here, "web", alive.image("alpine-app"))
    eventually(lambda: complete(alive, here, 1) and running(alive, here))
    roll(alive, here, "web", alive.image("alpine-app").replace(":1.0", ":never"))
    eventually(lambda: "ScanFailed" in alive.reasons(here))
    (old,) = running(alive, here)
    api.delete(f"/api/v1/namespaces/{here}/pods/{old}")
    eventually(lambda: set(running(alive, here)) - {old})
    alive.product.force_sweep(timeout_s=30)
    alive.product.await_settled(timeout_s=60)
    assert complete(alive, here, 1)
    assert images_of(alive, here)[VULNERABILITY] == set(running(alive, here).values())

    roll(alive, here, "web", alive.image("clean"))  # the user sees the Event and mends it
    clean = alive.world.images["clean"].digest
    eventually(lambda: images_of(alive, here)[VULNERABILITY] == {clean})
    eventually(lambda: complete(alive, here, 1))
    assert absent.gaps() == {}


def test_a_rollout_to_what_only_the_kubelet_may_pull(alive: Living, absent: AbsenceWatch) -> None:
    """The new pods run and the old ones are gone, but the old report is the only one there is."""
    here, registry = alive.namespace(), alive.world.registry
    alive.deploy(here, "web", alive.image("alpine-app"))
    eventually(lambda: complete(alive, here, 1) and running(alive, here))
    late = replace(touch("debian-app", "kubelet-only"), tags=("kubelet-only",))
    new = push(registry.address, [late])["debian-app"]
    with registry.fail(Answer(status=401, spared=SCANNERS_ALONE), repository="sample/debian-app"):
        roll(alive, here, "web", new.reference)
        eventually(lambda: set(running(alive, here).values()) == {new.digest})
        eventually(lambda: "ScanFailed" in alive.reasons(here))
        alive.product.force_sweep(timeout_s=30)
        assert complete(alive, here, 1)
    eventually(lambda: images_of(alive, here)[VULNERABILITY] == {new.digest})
    eventually(lambda: complete(alive, here, 1))
    assert absent.gaps() == {}


def test_a_rollout_and_its_undoing_while_every_process_restarts(
    alive: Living, absent: AbsenceWatch
) -> None:
    """Each revision is the other's successor in turn, and nobody remembers what was decided."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    eventually(lambda: complete(alive, here, 1) and running(alive, here))
    first, second = alive.world.images["alpine-app"], alive.world.images["debian-app"]
    for turn in range(3):
        roll(alive, here, "web", second.reference)
        if turn == 1:
            alive.product.restart()
        eventually(lambda: second.digest in running(alive, here).values())
        roll(alive, here, "web", first.reference)
        if turn == 2:
            alive.flush_redis()
    eventually(lambda: set(running(alive, here).values()) == {first.digest})
    eventually(lambda: images_of(alive, here)[VULNERABILITY] == {first.digest})
    eventually(lambda: complete(alive, here, 1))
    assert absent.gaps() == {}


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_rollout_in_place(alive: Living, absent: AbsenceWatch, kind: str) -> None:
    """These have no revisions of their own: the same report is made true."""
    here, new = alive.namespace(), alive.world.images["debian-node"]
    parts = [Part(name="c0", image=alive.image("alpine-app"))]
    create_all(alive.world.plane.api, [workload(kind, "web", parts, namespace=here)])
    eventually(lambda: complete(alive, here, 1) and running(alive, here))
    names = set(alive.reports(here))
    template = {"spec": {"containers": [{"name": "c0", "image": new.reference}]}}
    path = f"/apis/apps/v1/namespaces/{here}/{kind.lower()}s/web"
    alive.patch(path, {"spec": {"template": template}})
    eventually(
        lambda: images_of(alive, here) == {VULNERABILITY: {new.digest}, SECRET: {new.digest}}
    )
    alive.product.await_settled(timeout_s=60)
    assert set(alive.reports(here)) == names
    assert complete(alive, here, 1)
    assert absent.gaps() == {}


# --- D: databases, refreshes, time-to-live --------------------------------------------------------


@pytest.fixture
def settled(alive: Living) -> str:
    """Give a namespace with one Deployment per kind of image, all reported under one database."""
    here = alive.namespace()
    for name in ("alpine-app", "alpine-python", "debian-app", "secrets"):
        alive.deploy(here, name, alive.image(name))
    version = publish(alive, 1)
    alive.product.sluice("database", "check")
    eventually(lambda: complete(alive, here, 4))
    eventually(matched_by(alive, version))
    alive.product.await_settled(timeout_s=60)
    return here


def test_a_later_database(alive: Living, settled: str, absent: AbsenceWatch) -> None:
    """The peer: 8 s without a report for each, or 102 s when all expired at once."""
    before, told = all_versions(alive, settled), found(alive, settled)
    version = publish(alive, 2)
    requests = alive.world.registry.mark()
    alive.product.sluice("database", "check")
    eventually(matched_by(alive, version))
    eventually(lambda: sum(found(alive, settled).values()) > sum(told.values()))
    alive.product.await_settled(timeout_s=60)
    after = all_versions(alive, settled)
    changed = {name for name in before[VULNERABILITY] if found(alive, settled)[name] != told[name]}
    written = {n for n, v in after[VULNERABILITY].items() if v != before[VULNERABILITY][n]}
    assert written == changed
    assert len(changed) == 2  # those of the two images that level 2 affects
    assert (after[SECRET], after[SBOM]) == (before[SECRET], before[SBOM])
    asked = alive.world.registry.requests(since=requests)
    assert {one.repository for one in asked} - {""} == {vulndb.REPOSITORY}  # "" is /v2/
    assert absent.gaps() == {}


def test_a_database_repository_that_answers_429(
    alive: Living, settled: str, absent: AbsenceWatch
) -> None:
    """The peer deletes what expires meanwhile, and never asks again by itself."""
    before = all_versions(alive, settled)
    told = found(alive, settled)
    version = publish(alive, 2)
    with alive.world.registry.fail(Answer(status=429), repository=vulndb.REPOSITORY) as rule:
        with pytest.raises(PreconditionError, match="RateLimited"):
            alive.product.sluice("database", "check")
        make_old(alive)
        alive.product.force_sweep(timeout_s=30)
        alive.product.await_settled(timeout_s=60)
        assert rule.hits
        assert all_versions(alive, settled) == before
        told_of = alive.product.sluice("status")
        assert "look for a newer vulnerability database failed" in told_of
        assert "RateLimited" in told_of
    eventually(matched_by(alive, version))  # by itself
    eventually(lambda: sum(found(alive, settled).values()) > sum(told.values()))
    assert "failed" not in alive.product.sluice("status")
    assert absent.gaps() == {}


def make_old(alive: Living) -> float:
    """Let every image's time-to-live be over; return when they now count as verified."""
    redis: Any = alive.redis()
    old_s = time.time() - 3 * DAY_S
    for key in alive.images().keys():  # noqa: SIM118 # a table
        redis.hset(Names(CLUSTER).own(f"image:{key}"), mapping={"ver": old_s})
    return old_s


def verified(alive: Living, *, since_s: float) -> bool:
    table = alive.images()
    states = [one for one in table.states(table.keys()) if one.used]
    return all((one.verified_at or 0) > since_s for one in states)


def test_a_time_to_live_that_ends(alive: Living, settled: str, absent: AbsenceWatch) -> None:
    """The peer deletes first and scans later; here nothing is even written."""
    before = all_versions(alive, settled)
    old_s = make_old(alive)
    alive.product.force_sweep(timeout_s=30)
    eventually(lambda: verified(alive, since_s=old_s + DAY_S))
    alive.product.await_settled(timeout_s=60)
    assert all_versions(alive, settled) == before
    assert absent.gaps() == {}


def test_a_time_to_live_that_ends_while_nothing_answers(
    alive: Living, settled: str, absent: AbsenceWatch
) -> None:
    """Registry and match server are away; what is known stays, and is verified when they are back.

    The match server cannot come back while its program is stopped, and it answers nobody.
    """
    before = all_versions(alive, settled)
    servers = alive.pids("trivy\0server")
    assert servers
    with alive.world.registry.fail(Answer(status=503)):
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        try:
            old_s = make_old(alive)
            alive.product.force_sweep(timeout_s=30)
            eventually(lambda: alive.metric("sluice_images", 'verified="overdue"') > 0)
            assert all_versions(alive, settled) == before
        finally:
            for pid in servers:
                os.kill(pid, signal.SIGCONT)
        eventually(lambda: verified(alive, since_s=old_s + DAY_S))
    alive.product.await_settled(timeout_s=60)
    assert all_versions(alive, settled) == before
    assert absent.gaps() == {}


def test_lost_layers_while_the_registry_refuses(
    alive: Living, settled: str, absent: AbsenceWatch
) -> None:
    """A refresh needs the images again and cannot have them: the old reports are the best there is.

    With the registry back all is true by itself, under the database of meanwhile.
    """
    told = found(alive, settled)
    before = all_versions(alive, settled)
    forget_layers(alive)
    version = publish(alive, 2)
    images = "sample/[!t]*"  # all but the databases
    with alive.world.registry.fail(Answer(status=429), repository=images) as rule:
        alive.product.sluice("database", "check")
        eventually(lambda: rule.hits)
        eventually(lambda: any(one.source.startswith("registry/") for one in alive.circuits()))
        assert found(alive, settled) == told
        assert all_versions(alive, settled) == before
        alive.product.force_sweep(timeout_s=30)
        assert "RateLimited" in alive.product.sluice("status")
        assert all_versions(alive, settled) == before
    eventually(matched_by(alive, version), within_s=120)
    eventually(lambda: sum(found(alive, settled).values()) > sum(told.values()))
    alive.product.await_settled(timeout_s=60)
    assert complete(alive, settled, 4)
    assert absent.gaps() == {}


def forget_layers(alive: Living) -> None:
    """Take the match server's layers away: the server that comes back knows none."""
    (folder,) = (alive.product.data / "match").glob("layers*/")
    for pid in alive.pids("trivy\0server"):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


# --- E: an image that cannot be pulled ------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "Unauthorized"), (404, "ImageNotFound"), (429, "RateLimited")]
)
def test_an_image_that_the_scanner_cannot_pull(
    alive: Living, absent: AbsenceWatch, status: int, reason: str
) -> None:
    """The peer: no report, no status, no Event on the workload, no further try by itself."""
    here, registry = alive.namespace(), alive.world.registry
    tag = f"late-{status}"
    late = push(registry.address, [replace(touch("debian-app", tag), tags=(tag,))])["debian-app"]
    with registry.fail(
        Answer(status=status, spared=SCANNERS_ALONE), repository="sample/debian-app"
    ) as rule:
        alive.deploy(here, "web", alive.image("clean"), late.reference)
        eventually(lambda: complete(alive, here, 1))
        event = eventually(lambda: [e for e in alive.events(here) if e["reason"] == "ScanFailed"])
        assert event[0]["involvedObject"]["kind"] == "Deployment"
        assert "c1" in event[0]["message"]
        assert tag in event[0]["message"]
        assert running(alive, here)  # the kubelet had no trouble
        assert reason in alive.product.sluice("status")
        told = alive.product.sluice("history", f"Deployment/{here}/web")
        assert reason in told
        restarts(alive, here)
        alive.product.force_sweep(timeout_s=30)
        assert rule.hits < 40  # a few probes, no loop
        assert complete(alive, here, 1)
    eventually(lambda: complete(alive, here, 2))  # nobody asked for it
    assert {one["report"]["artifact"]["digest"] for one in alive.of(here, "c1")} == {late.digest}
    eventually(lambda: "ScanRecovered" in alive.reasons(here))
    eventually(lambda: reason not in alive.product.sluice("status"))
    assert absent.gaps() == {}


def restarts(alive: Living, namespace: str) -> None:
    """Let the pod be replaced, and its new one run."""
    before = set(running(alive, namespace))
    alive.delete_pods(namespace)
    eventually(lambda: set(running(alive, namespace)) - before)
