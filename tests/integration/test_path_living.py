"""The whole path with real parts, disturbed in every way that users meet.

One product for all tests, a namespace each. Only the kubelet is a stand-in.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from common.model.errors import PreconditionError
from sandbox.demo.world import GROUP, create_all
from sandbox.faults import Answer
from sandbox.images import push, touch
from sandbox.manifests import Part, workload
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

VULNERABILITY = f"/apis/{GROUP}/v1alpha1/namespaces/{{}}/vulnerabilityreports/{{}}"


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living() as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def digest_of(report: Any) -> str:
    return str(report["report"]["artifact"]["digest"])


def test_an_unpullable_image_is_told_and_the_other_containers_are_reported(alive: Living) -> None:
    """The peer gives such a pod no report and no Event; nobody sees why."""
    here = alive.namespace()
    missing = alive.image("clean").replace(":1.0", ":no-such-tag")
    alive.deploy(here, "web", alive.image("alpine-app"), missing)
    alive.await_report(here, "c0")
    event = eventually(lambda: [e for e in alive.events(here) if e["reason"] == "ScanFailed"])[0]
    assert event["involvedObject"]["kind"] == "Deployment"
    assert "c1" in event["message"]
    assert "no-such-tag" in event["message"]
    told = eventually(
        lambda: [
            fact
            for _, fact in alive.ledger().tail(2000)
            if here in fact.key and fact.kind in ("parked", "retried")
        ]
    )
    assert told[0].data["reason"] == "ImageNotFound"
    assert eventually(lambda: alive.metric("sluice_failures_total", 'reason="ImageNotFound"')) >= 1
    assert len(told) < 10  # a class with backoff, no loop


def test_an_unpullable_image_heals_when_it_appears(alive: Living) -> None:
    """Traps 18 and 40: the slow probe need not be waited for.

    The kubelet's first imageID changes the fingerprint.
    """
    here = alive.namespace()
    late = alive.image("clean").replace(":1.0", ":late")
    alive.deploy(here, "web", late)
    eventually(lambda: "ScanFailed" in alive.reasons(here))
    registry = alive.world.registry.address
    push(registry, [touch_as("clean", "late")])
    alive.await_report(here)
    eventually(lambda: "ScanRecovered" in alive.reasons(here))


def touch_as(name: str, tag: str) -> Any:
    return replace(touch(name, tag), tags=(tag,))


def test_a_bad_reference_gets_a_clear_error_and_no_loop(alive: Living) -> None:
    """Bad input never takes anything else down."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("clean"), f"{alive.world.registry.address}/UPPER:a:b")
    alive.await_report(here, "c0")
    eventually(lambda: any("BadReference" in one["message"] for one in alive.events(here)))


def test_an_image_without_a_package_database_says_so(alive: Living) -> None:
    """Zero findings that prove nothing are marked, and there is no empty bill of materials."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("empty"))
    report = alive.await_report(here)
    assert report["metadata"]["annotations"]["kube-sluice/not-covered"] == "true"
    assert report["report"]["summary"]["criticalCount"] == 0
    eventually(lambda: alive.reports(here, "ExposedSecretReport"))
    assert alive.reports(here, "SbomReport") == {}


def test_a_moved_tag_gives_a_new_report(alive: Living) -> None:
    """Trap 4. Running digests are part of the fingerprint: the ReplicaSet did not change."""
    here, registry = alive.namespace(), alive.world.registry.address
    push(registry, [touch_as("clean", "moving")])
    alive.deploy(here, "web", alive.image("clean").replace(":1.0", ":moving"), pull="Always")
    before = digest_of(alive.await_report(here))
    push(registry, [replace(touch("alpine-app", "2"), name="clean", tags=("moving",))])
    alive.delete_pods(here)
    eventually(lambda: digest_of(alive.of(here)[0]) != before)
    eventually(lambda: alive.of(here)[0]["report"]["summary"]["criticalCount"] > 0)


def test_an_edited_report_is_made_true_again(alive: Living) -> None:
    """Trap 12. Generation differs from the stamp ⇒ rewritten."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    name = alive.await_report(here)["metadata"]["name"]
    alive.patch(VULNERABILITY.format(here, name), {"report": {"vulnerabilities": []}})
    eventually(lambda: alive.of(here)[0]["report"]["vulnerabilities"])


def test_a_deleted_report_comes_back(alive: Living) -> None:
    """A report deleted by a user is the user's way to ask for it again."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    report = alive.await_report(here)
    alive.world.plane.api.delete(VULNERABILITY.format(here, report["metadata"]["name"]))
    back = eventually(lambda: alive.of(here))[0]
    assert back["metadata"]["uid"] != report["metadata"]["uid"]


def test_a_report_left_by_another_owner_is_taken_over(alive: Living) -> None:
    """Trap 10 and 11. ownerReferences are replaced, not merged; reports map by name."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    report = alive.await_report(here)
    foreign = {**report["metadata"]["ownerReferences"][0], "uid": "00000000-dead-beef-0000-0"}
    path = VULNERABILITY.format(here, report["metadata"]["name"])
    alive.patch(path, {"metadata": {"ownerReferences": [foreign]}})
    mine = report["metadata"]["ownerReferences"][0]["uid"]
    eventually(
        lambda: (
            [
                owner["uid"]
                for one in alive.of(here)
                for owner in one["metadata"].get("ownerReferences", [])
            ]
            == [mine]
        )
    )


def test_pods_whose_names_collide_get_a_report_each(alive: Living) -> None:
    """Trap 7. Pod web/db-app and pod web-db/app are both `pod-web-db-app`."""
    here, image = alive.namespace(), alive.image("clean")
    pods = [
        workload("Pod", "web", [Part(name="db-app", image=image)], namespace=here),
        workload("Pod", "web-db", [Part(name="app", image=image)], namespace=here),
    ]
    create_all(alive.world.plane.api, pods)
    eventually(lambda: len(alive.reports(here)) == 2)
    found = alive.reports(here).values()
    owners = {one["metadata"]["ownerReferences"][0]["name"] for one in found}
    assert owners == {"web", "web-db"}


def test_a_rollout_keeps_a_report_all_the_time(alive: Living) -> None:
    """Trap 6 and law 8. The old report goes only when its successor's is stored."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    old = alive.await_report(here)["metadata"]["name"]
    path = f"/apis/apps/v1/namespaces/{here}/deployments/web"
    containers = [{"name": "c0", "image": alive.image("debian-app")}]
    alive.patch(path, {"spec": {"template": {"spec": {"containers": containers}}}})
    gaps = 0

    def replaced() -> bool:
        nonlocal gaps
        names = set(alive.reports(here))
        gaps += not names
        return bool(names) and old not in names

    eventually(replaced)
    assert gaps == 0


def test_a_rollout_that_cannot_start_keeps_what_runs(alive: Living) -> None:
    """Trap 37. The old pods keep serving, one of them restarts: what runs keeps its report."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"))
    old = alive.await_report(here)["metadata"]["name"]
    path = f"/apis/apps/v1/namespaces/{here}/deployments/web"
    bad = [{"name": "c0", "image": alive.image("alpine-app").replace(":1.0", ":never")}]
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    alive.patch(path, {"spec": {"strategy": strategy, "template": {"spec": {"containers": bad}}}})
    eventually(lambda: "ScanFailed" in alive.reasons(here))
    alive.product.force_sweep(timeout_s=30)
    assert old in alive.reports(here)


def test_a_namespace_that_vanishes_leaves_nothing_behind(alive: Living) -> None:
    """Trap 34. Result dropped, key rests, no retry."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("debian-node"))
    alive.await_report(here)
    alive.world.plane.api.delete(f"/apis/apps/v1/namespaces/{here}/deployments/web")
    eventually(lambda: not alive.reports(here))
    alive.product.await_quiet(timeout_s=30)


def test_a_registry_that_refuses_is_waited_for(alive: Living) -> None:
    """Trap 38. The registry answers 429: retried by itself, told, and nothing is lost."""
    here = alive.namespace()
    registry = alive.world.registry
    push(registry.address, [touch_as("debian-app", "slow")])
    repository = "sample/debian-app"
    with registry.fail(Answer(status=429), repository=repository, kind="blob"):
        alive.deploy(here, "web", alive.image("debian-app").replace(":1.0", ":slow"))
        eventually(lambda: alive.metric("sluice_failures_total", 'reason="RateLimited"') >= 1)
    alive.await_report(here)


def test_a_registry_that_is_down_opens_its_circuit_and_no_image_pays_for_it(alive: Living) -> None:
    """An outage holds every key of the registry: few requests, no attempt counted, none parked."""
    here, registry = alive.namespace(), alive.world.registry
    names = ("clean", "alpine-app", "alpine-node", "debian-app", "secrets")
    push(registry.address, [touch_as(name, "outage") for name in names])
    source = f"registry/{registry.address}"
    before = time.time()
    with registry.fail(Answer(status=503), repository="sample/[!t]*", kind="blob"):
        for name in names:
            alive.deploy(here, name, alive.image(name).replace(":1.0", ":outage"))
        trouble = eventually(
            lambda: [one for one in alive.circuits() if one.source == source and one.next_s]
        )[0]
        assert trouble.reason == "RegistryUnavailable"
        held = {fact.key for fact in alive.facts(before) if fact.kind == "held"}
        assert len(held) >= 3
    eventually(lambda: len(alive.reports(here)) == len(names))
    assert alive.circuits() == []
    eventually(lambda: "ScanRecovered" in alive.reasons(here))
    ends = [f for f in alive.facts(before) if f.key in held and f.kind in ("retried", "parked")]
    assert ends == []
    states = [f.data["state"] for f in alive.facts(before) if f.kind == "circuit"]
    assert states[0] == "open"
    assert states[-1] == "closed"


def test_a_dead_scanner_is_started_again_and_its_job_repeated(alive: Living) -> None:
    """The process that parses image content may die of it; nobody else may."""
    here, registry = alive.namespace(), alive.world.registry
    push(registry.address, [touch_as("debian-node", "killer")])
    for pid in alive.pids("worker.scanner"):
        os.kill(pid, signal.SIGKILL)
    alive.deploy(here, "web", alive.image("debian-node").replace(":1.0", ":killer"))
    alive.await_report(here)


def test_a_killed_workers_keys_are_taken_over(alive: Living) -> None:
    """Leases are seconds, and a crash loses nothing."""
    here = alive.namespace()
    workers = [pid for pid in alive.pids("-m\0worker\0") if pid]
    assert workers
    alive.deploy(here, "web", alive.image("alpine-node"))
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    alive.await_report(here)


def test_redis_away_for_ten_seconds_costs_ten_seconds(alive: Living) -> None:
    """Law 6. What changed meanwhile is found, and the older good reports stay."""
    here = alive.namespace()
    alive.deploy(here, "before", alive.image("clean"))
    kept = alive.await_report(here)["metadata"]["uid"]
    alive.world.valkey.stop()
    alive.deploy(here, "meanwhile", alive.image("alpine-app"))
    time.sleep(10)
    assert alive.of(here)[0]["metadata"]["uid"] == kept
    alive.world.valkey.restart()
    eventually(lambda: len(alive.reports(here)) == 2)
    assert kept in {one["metadata"]["uid"] for one in alive.reports(here).values()}


def test_an_api_server_that_restarts_is_followed_again(alive: Living) -> None:
    """Watches break, requests fail; afterwards everything is as if nothing had been."""
    here = alive.namespace()
    alive.deploy(here, "before", alive.image("clean"))
    alive.await_report(here)
    alive.world.plane.restart_apiserver()  # type: ignore[attr-defined] # a control plane has it
    alive.deploy(here, "after", alive.image("alpine-app"))
    for kind in ("VulnerabilityReport", "ExposedSecretReport", "SbomReport"):
        eventually(lambda kind=kind: len(alive.reports(here, kind)) == 2)  # type: ignore[misc] # bound now


def test_a_flush_of_redis_rewrites_nothing(alive: Living) -> None:
    """Trap 32 and law 1. Stamps are compared: 0 writes, and everything is settled again."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("alpine-app"), alive.image("secrets"))
    alive.await_report(here, "c1")
    alive.product.await_settled(timeout_s=60)
    kept = {name: one["metadata"]["resourceVersion"] for name, one in alive.reports(here).items()}
    alive.flush_redis()
    again = f"workload/ReplicaSet/{here}/"
    eventually(lambda: any(again in key and row == "Converged" for key, row in alive.settled()))
    alive.product.await_settled(timeout_s=60)
    after = {name: one["metadata"]["resourceVersion"] for name, one in alive.reports(here).items()}
    assert after == kept


def test_after_all_this_a_forced_sweep_finds_nothing_to_do(alive: Living) -> None:
    """Law 1, after the worst afternoon. Parked keys of broken images are no work."""
    alive.product.await_settled(timeout_s=60)
    before = alive.product.work()
    alive.product.force_sweep(timeout_s=60)
    spent = alive.product.work() - before
    assert (spent.inventories, spent.writes) == (0, 0)


def test_an_index_and_its_manifest_are_one_image(alive: Living) -> None:
    """Nodes and users name one content in two ways; it is pulled and analysed once."""
    one, two = alive.namespace(), alive.namespace()
    pushed = alive.world.images["multi"]
    manifest = pushed.platforms["linux/amd64"]
    assert manifest != pushed.digest
    mark = alive.world.registry.mark()
    alive.deploy(one, "web", pushed.reference)
    alive.deploy(two, "web", f"{pushed.registry}/{pushed.repository}@{manifest}")
    reports = {where: alive.await_report(where) for where in (one, two)}
    assert digest_of(reports[one]) == pushed.digest
    assert digest_of(reports[two]) == manifest
    assert reports[one]["report"]["vulnerabilities"] == reports[two]["report"]["vulnerabilities"]
    taken = [
        fact
        for fact in alive.facts(0.0)
        if fact.kind == "inventoried" and (pushed.digest in fact.key or manifest in fact.key)
    ]
    assert len(taken) == 1
    requests = alive.world.registry.requests(since=mark)
    blobs = [each.path for each in requests if each.kind == "blob" and each.method == "GET"]
    mine = [path for path in blobs if pushed.repository in path]
    assert len(mine) == len(set(mine))
    table = alive.images()

    def used() -> list[set[str]]:
        keys = [key for key in table.keys() if key.digest in (pushed.digest, manifest)]  # noqa: SIM118 # a table
        return [{use.namespace for use in table.uses(key)} for key in keys if table.uses(key)]

    eventually(lambda: used() == [{one, two}])
