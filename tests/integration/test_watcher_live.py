"""The watcher between a real control plane and a real Valkey."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from common.kube.session import Session
from common.model.errors import StaleFenceError
from common.model.redis_address import parse_redis_url
from common.reports.labels import CONTAINER_NAME
from common.state.connect import connect
from common.state.names import Names
from sandbox.controlplane import ControlPlane
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.sentinel import Sentinels
from sandbox.valkey import Valkey, server
from tests import builders as b
from tests.deployments import PASSWORD
from tests.live import Live, environment, page_of, port_of, run_watcher
from tests.waiting import eventually

pytestmark = pytest.mark.integration


def test_a_deployments_replica_set_is_enqueued_and_again_when_its_image_id_is_told(
    live: Live,
) -> None:
    """Trap 3 and 40. The real deployment controller, a real status, one row that follows both."""
    with live.watching():
        live.create_deployment("web")
        assert eventually(lambda: live.listed("/apis/apps/v1/replicasets"))
        (replica_set,) = live.listed("/apis/apps/v1/replicasets")
        name = replica_set["metadata"]["name"]
        assert live.worked(name)
        row = live.row("ReplicaSet", name)
        assert row is not None
        assert (row.current, row.top_kind, row.top_name) == (True, "Deployment", "web")
        assert eventually(lambda: live.listed("/api/v1/pods"))
        (pod,) = live.listed("/api/v1/pods")
        live.tell(pod["metadata"]["name"], b.digest("a"))
        assert live.worked(name)
        assert live.digests("ReplicaSet", name) == [b.digest("a")]


def test_a_rollout_makes_the_old_replica_set_name_its_successor(live: Live) -> None:
    """Trap 5 and 6. The real controllers' order of events."""
    with live.watching():
        live.create_deployment("web")
        assert eventually(lambda: live.listed("/api/v1/pods"))
        (pod,) = live.listed("/api/v1/pods")
        live.tell(pod["metadata"]["name"], b.digest("a"))
        (old,) = [one["metadata"]["name"] for one in live.listed("/apis/apps/v1/replicasets")]
        assert eventually(lambda: live.digests("ReplicaSet", old))
        live.api.patch(
            f"/apis/apps/v1/namespaces/{live.namespace}/deployments/web",
            {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}},
        )

        def successor() -> str:
            row = live.row("ReplicaSet", old)
            return row.successor if row is not None and not row.current else ""

        assert eventually(successor)
        new = live.row("ReplicaSet", successor())
        assert new is not None
        assert new.current
        assert new.containers[0].image == "app:2"
        assert live.digests("ReplicaSet", old) == [b.digest("a")], "what runs keeps its row"


def test_after_a_restart_nothing_is_enqueued(live: Live) -> None:
    """Law 1: unchanged input, 0 enqueues; also after a restart of the watcher."""
    with live.watching():
        for number in range(5):
            live.create_pod(f"tool-{number}")
            live.tell(f"tool-{number}", b.digest("a"))
        for number in range(5):
            assert eventually(lambda name=f"tool-{number}": live.digests("Pod", name))  # type: ignore[misc] # bound early
        live.quiet()
    before = live.ledger.counts()
    with live.watching():
        assert live.swept_once_more()["workloads"] == 5
    assert {**live.ledger.counts(), "swept": 0} == {**before, "swept": 0}


def test_the_epoch_tells_by_which_ways_images_are_got(live: Live) -> None:
    """What is parked is tried again when they change, and for nothing else than that."""
    ways = []
    for changed in ({}, {"TRIVY_SEVERITY": "HIGH"}, {"TRIVY_MAX_IMAGE_SIZE": "1GB"}):
        with live.watching(**changed):
            ways.append(live.redis.hget(live.names.own("epoch"), "ways"))
    assert ways[0]
    assert ways[0] == ways[1]
    assert ways[0] != ways[2]


def test_reports_that_others_touch_bring_their_workload_back_and_our_own_do_not(
    live: Live,
) -> None:
    """Trap 12 and 13. The API server's own generations, our own stamps."""
    with live.watching() as registry:
        pod = live.create_pod("tool")
        live.tell("tool", b.digest("a"))
        assert eventually(lambda: live.digests("Pod", "tool"))
        live.work()
        passed = registry.get_sample_value("sluice_watcher_keys_passed_total")
        path = live.write_report(pod)

        def seen() -> bool:
            return registry.get_sample_value("sluice_watcher_reports") == 1

        assert eventually(seen)
        assert registry.get_sample_value("sluice_watcher_keys_passed_total") == passed
        live.api.patch(path, {"metadata": {"labels": {"team": "shop"}}})
        live.api.patch(path, {"report": {"summary": {"criticalCount": 9}}})
        assert live.worked("tool")
        live.api.delete(path)
        assert live.worked("tool")
        assert live.causes()[-2:] == ["ReportEdited", "ReportDeleted"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"labels": {CONTAINER_NAME: "yy"}}, "ReportMislabelled"),
        ({"labels": {"trivy-operator.resource.name": "zz"}}, "ReportMislabelled"),
        ({"annotations": {"kube-sluice/content-hash": "garbage"}}, "ReportNoStamp"),
        ({"annotations": {"kube-sluice/content-hash": f"v1:{'cd' * 16}"}}, "ReportChanged"),
    ],
    ids=["container", "owner's name", "unreadable hash", "another hash"],
)
def test_metadata_of_ours_that_somebody_changes_brings_the_workload_back(
    live: Live, change: dict[str, Any], cause: str
) -> None:
    """None of it moves the generation."""
    with live.watching() as registry:
        pod = live.create_pod("tool")
        assert live.worked("tool")
        path = live.write_report(pod)
        assert eventually(lambda: registry.get_sample_value("sluice_watcher_reports") == 1)
        assert live.work() == []
        live.api.patch(path, {"metadata": change})
        assert live.worked("tool")
        assert live.causes()[-1] == cause


def test_a_report_that_is_given_away_and_deleted_brings_its_workload_back(live: Live) -> None:
    """The owner is alive, so that no garbage collector takes the report in between."""
    path = f"/api/v1/namespaces/{live.namespace}/configmaps"
    made = live.api.create(
        path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    )
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other"}
    with live.watching() as registry:
        pod = live.create_pod("tool")
        assert live.worked("tool")
        report = live.write_report(pod)
        assert eventually(lambda: registry.get_sample_value("sluice_watcher_reports") == 1)
        live.api.patch(
            report,
            {"metadata": {"ownerReferences": [{**other, "uid": made["metadata"]["uid"]}]}},
        )
        assert live.worked("tool")
        live.api.delete(report)
        assert live.worked("tool")
        assert live.causes()[-2:] == ["ReportForeignOwner", "ReportDeleted"]


def test_a_workload_that_is_deleted_is_forgotten(live: Live) -> None:
    """Its row goes, its key is worked on once more, and nothing of it is left."""
    with live.watching():
        live.create_pod("tool")
        assert live.worked("tool")
        live.api.delete(f"/api/v1/namespaces/{live.namespace}/pods/tool", grace_s=0)
        assert live.worked("tool")
        assert live.row("Pod", "tool") is None
        live.quiet()
        assert live.swept_once_more()["workloads"] == 0


def test_a_workload_deleted_while_no_watcher_ran_is_forgotten_by_the_first_sweep(
    live: Live,
) -> None:
    """No event tells; the join does."""
    with live.watching():
        live.create_pod("tool")
        assert live.worked("tool")
    live.api.delete(f"/api/v1/namespaces/{live.namespace}/pods/tool", grace_s=0)
    with live.watching():
        assert live.worked("tool")
        assert live.row("Pod", "tool") is None


def test_an_entry_that_stands_in_no_list_is_repaired_by_the_next_sweep(live: Live) -> None:
    """Trap 2. The job's hash says `queued`, its list entry is gone: membership is verified."""
    with live.watching():
        live.create_pod("tool")
        assert eventually(lambda: live.row("Pod", "tool"))
        lost = live.redis.delete(
            live.names.rq("queue", "reconcile", 0), live.names.rq("queue", "reconcile", 1)
        )
        assert lost == 1
        assert live.work() == []
        assert live.swept_once_more()["enqueued"] == 1
        assert live.work() == ["tool"]


def test_a_second_watcher_takes_over_and_the_first_is_refused(live: Live) -> None:
    """Trap 24. For a moment both see the same change; only the newer one's write counts."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(StaleFenceError))
        stack.enter_context(live.watching())
        with live.watching():
            live.create_pod("tool")
            assert live.worked("tool")


def test_what_a_crash_of_redis_lost_is_swept_up(
    controlplane: ControlPlane,
    admin_session: Session,
    namespace: str,
    sandbox_place: Place,
    sandbox_stack: Stack,
) -> None:
    """Trap 1 and 2. Redis is killed and comes back as another run: everything is compared again."""
    valkey = Valkey(sandbox_place, sandbox_stack, name="valkey-watcher").start()
    with Redis.from_url(valkey.socket_url) as redis:
        live = Live(controlplane, admin_session, redis, Names("crash"))
        live.namespace = namespace
        with live.watching():
            live.create_pod("tool")
            assert live.worked("tool")
            sweeps = live.sweeps()
            valkey.kill()
            live.create_pod("other")
            valkey.restart()
            assert live.worked("other")
            assert eventually(lambda: live.sweeps() > sweeps)
            redis.flushall()
            assert eventually(lambda: live.row("Pod", "tool"))
            assert sorted(live.work()) == ["other", "tool"]


def test_what_a_failover_lost_is_swept_up(
    controlplane: ControlPlane, admin_session: Session, namespace: str
) -> None:
    """Trap 1 and 2. The successor never heard of a row and its key: the run id tells of it."""
    with Place() as place, Stack() as stack:
        pair = Sentinels(place, stack, program=server(), password=PASSWORD).start()
        address = replace(parse_redis_url(pair.url), password=PASSWORD)
        with connect(address) as redis:
            live = Live(controlplane, admin_session, redis, Names("failover"))
            live.namespace = namespace
            with live.watching():
                live.create_pod("tool")
                assert live.worked("tool")
                pair.cut_off()
                live.create_pod("other")
                assert eventually(lambda: live.row("Pod", "other"))
                former = pair.primary()
                former.kill()
                pair.await_failover(former)
                assert eventually(lambda: _answers(redis))
                assert live.worked("other")
                assert live.causes()[-1] == "NeverSettled"


def _answers(redis: Redis) -> bool:
    with contextlib.suppress(RedisError):
        return bool(redis.ping())
    return False


# --- the process ----------------------------------------------------------------------------------


def test_the_process_serves_its_pages_and_ends_when_told(
    live: Live, controlplane: ControlPlane, valkey: Valkey
) -> None:
    """What the chart runs: ready only when loaded, findings from stamps, status 0 at the end."""
    live.write_report(live.create_pod("tool"))
    environ = {
        **environment(controlplane, valkey, live.namespace),
        "SLUICE_CLUSTER": live.names.cluster,
    }
    with run_watcher(environ) as (process, lines):
        assert eventually(lambda: port_of(lines, "/readyz") and port_of(lines, "/metrics")), lines
        probes, metrics = port_of(lines, "/readyz"), port_of(lines, "/metrics")
        assert eventually(lambda: page_of(probes, "/readyz")[0] == 200), lines
        assert page_of(probes, "/readyz")[1] == "loaded: ok\nelection: ok\n"
        assert page_of(probes, "/healthz/") == (200, "loop: ok\n")
        _, text = page_of(metrics, "/metrics")
        assert 'sluice_watcher_events_total{resource="pods"}' in text
        assert "sluice_watcher_workloads 1.0" in text
        assert "sluice_redis_up 1.0" in text
        assert 'sluice_queue_depth{lane="fresh",pool="reconcile"} ' in text
        assert "sluice_watcher_leader 1.0" in text
        assert (
            f'trivy_image_vulnerabilities{{namespace="{live.namespace}",name="pod-tool-app",'
            'resource_kind="Pod",resource_name="tool",container_name="app",image_registry="",'
            'image_repository="app",image_tag="1",image_digest="",severity="Critical"} 2' in text
        )
        status, shown = page_of(port_of(lines, "/status.json"), "/")
        assert (status, f" · {live.names.cluster} · kube-sluice" in shown) == (200, True)
        status, shown = page_of(
            port_of(lines, "/status.json"), "/workload/Pod/" + live.namespace + "/tool"
        )
        assert (status, "VulnerabilityReport/pod-tool-app" in shown) == (200, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert live.ledger.counts()["started"] == 1


def _wait_ended(environ: dict[str, str]) -> tuple[int, str]:
    with run_watcher(environ) as (process, lines):
        status = process.wait(timeout=60)
    return status, "".join(lines)


def test_a_running_trivy_operator_is_refused_by_the_process(
    live: Live, controlplane: ControlPlane, valkey: Valkey
) -> None:
    """Trap 36. Status 3, and the command that stops the other one."""
    live.create_deployment("scanner")
    path = f"/apis/apps/v1/namespaces/{live.namespace}/deployments/scanner"
    live.api.patch(path, {"metadata": {"labels": {"app.kubernetes.io/name": "trivy-operator"}}})
    assert eventually(lambda: live.listed("/api/v1/pods"))
    (pod,) = live.listed("/api/v1/pods")
    ready = [{"type": "Ready", "status": "True"}]
    live.tell(pod["metadata"]["name"], b.digest("a"), conditions=ready)
    assert eventually(lambda: live.api.get(path)["status"].get("readyReplicas") == 1)
    try:
        status, said = _wait_ended(environment(controlplane, valkey, live.namespace))
    finally:
        live.api.delete(path)  # other tests' watchers must not meet it
    assert status == 3, said
    assert f"--namespace {live.namespace} deployment/scanner --replicas=0" in said


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda environ: environ.pop("SLUICE_REDIS_URL"), "SLUICE_REDIS_URL"),
        (lambda environ: environ.update(SLUICE_NONSENSE="1"), "SLUICE_NONSENSE"),
        (lambda environ: environ.update(SLUICE_KUBECONFIG="/nowhere"), "/nowhere"),
    ],
    ids=["no Redis", "unknown setting", "no kubeconfig"],
)
def test_a_precondition_that_is_not_met_is_named_with_status_3(
    change: Callable[[dict[str, str]], object],
    word: str,
    controlplane: ControlPlane,
    valkey: Valkey,
) -> None:
    """Scripts tell it from a failure."""
    environ = environment(controlplane, valkey, "default")
    change(environ)
    status, said = _wait_ended(environ)
    assert (status, word in said) == (3, True), said
