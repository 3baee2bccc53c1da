"""Workers in Deployments of their own, and how many of them: by hand, an HPA or KEDA."""

from __future__ import annotations

import re
from typing import Any

import pytest

from common.settings.parse import parse
from common.settings.pools import SERVED, queue_pools
from common.state.names import POOLS, Names
from tests.charts.rendered import (
    CHART,
    RELEASE,
    Manifest,
    Rendered,
    all_containers,
    environment,
    render,
    values,
)

BUDGET = "PodDisruptionBudget"
APART: dict[str, Any] = {
    "reconcile": {"serves": ["reconcile", "rematch"], "replicas": 3},
    "scan": {"serves": ["scan"], "scanner": {"jobs": 4}},
}


def workers(chart: Rendered) -> dict[str, Manifest]:
    """Return the Deployments of workers by the ends of their names."""
    return {
        each["metadata"]["name"].removeprefix(f"{RELEASE}-"): each["spec"]
        for each in chart.manifests
        if each["kind"] == "Deployment"
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    }


def containers(spec: Manifest) -> dict[str, Manifest]:
    """Return the containers of a Deployment by name."""
    return {one["name"]: one for one in all_containers(spec["template"])}


def of_kind(chart: Rendered, kind: str) -> list[Manifest]:
    """Return the objects of one kind."""
    return [each for each in chart.manifests if each["kind"] == kind]


# --- pools


def test_without_pools_there_is_one_deployment_for_everything() -> None:
    """A key of a pool that nobody serves waits for ever."""
    ((name, spec),) = workers(render()).items()
    assert name == "worker"
    told = parse({"SLUICE_WORKER_POOLS": containers(spec)["worker"]["args"][2]})
    assert queue_pools(told.pipeline.pools) == POOLS


def test_each_pool_has_a_deployment_that_serves_it_and_nothing_else() -> None:
    """What takes milliseconds does not wait behind what takes minutes."""
    found = workers(render({"worker": {"pools": APART}}))
    assert {name: containers(spec)["worker"]["args"] for name, spec in found.items()} == {
        "worker-reconcile": ["worker", "--pool", "reconcile,rematch"],
        "worker-scan": ["worker", "--pool", "scan"],
    }


def test_only_who_scans_has_a_scanner_and_what_a_scanner_needs() -> None:
    """Half a gigabyte less, and neither its folders nor the databases' login."""
    found = workers(render({"worker": {"pools": APART}}))
    assert set(containers(found["worker-scan"])) == {"scanner", "worker"}
    assert set(containers(found["worker-reconcile"])) == {"worker"}
    volumes = {one["name"] for one in found["worker-reconcile"]["template"]["spec"]["volumes"]}
    assert not volumes & {"socket", "scratch", "java-database", "databases"}
    told = environment(containers(found["worker-reconcile"])["worker"])
    assert not [name for name in told if name.startswith("SLUICE_SCANNER")]


def test_a_pool_has_the_workers_values_where_it_says_none_of_its_own() -> None:
    """False and 0 are values too; lists are replaced."""
    own = {
        **APART["scan"],
        "replicas": 0,
        "drainS": 120,
        "disruptionBudget": {"enabled": False},
        "tolerations": [],
        "scanner": {"jobs": 4, "extraEnv": [{"name": "A", "value": "b"}]},
    }
    common = {"drainS": 60, "tolerations": [{"operator": "Exists"}]}
    pools = {"reconcile": APART["reconcile"], "scan": own}
    chart = render({"worker": {**common, "pools": pools}, "scanner": {"memoryPerJobMb": 512}})
    scan, reconcile = workers(chart)["worker-scan"], workers(chart)["worker-reconcile"]
    assert (scan["replicas"], reconcile["replicas"]) == (0, 3)
    assert "tolerations" not in scan["template"]["spec"]
    assert reconcile["template"]["spec"]["tolerations"] == common["tolerations"]
    budgets = {each["metadata"]["name"] for each in of_kind(chart, BUDGET)}
    assert f"{RELEASE}-worker-reconcile" in budgets
    assert f"{RELEASE}-worker-scan" not in budgets
    told = parse(environment(containers(scan)["scanner"])).trivy
    assert (told.scanner_jobs, told.scanner_memory_mb) == (4, 512)
    assert parse(environment(containers(scan)["worker"])).trivy.scanner_jobs == 4
    for spec, drain_s in ((scan, 120), (reconcile, 60)):
        assert parse(environment(containers(spec)["worker"])).pipeline.drain_s == drain_s
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == drain_s + 15


def test_the_pools_pods_are_told_apart_by_their_selectors() -> None:
    """Two Deployments that select each other's Pods would count them as their own."""
    found = workers(render({"worker": {"pools": APART}}))
    for name, spec in found.items():
        chosen = [
            other
            for other, each in found.items()
            if spec["selector"]["matchLabels"].items()
            <= each["template"]["metadata"]["labels"].items()
        ]
        assert chosen == [name]


def test_each_pool_has_a_budget_of_its_own_pods() -> None:
    """One for all would let every scanner go as long as enough others stay."""
    chart = render({"worker": {"pools": APART}})
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(chart, BUDGET)}
    for name, spec in workers(chart).items():
        assert budgets[f"{RELEASE}-{name}"]["selector"] == spec["selector"]


def test_all_workers_are_one_component_to_policies_accounts_and_metrics() -> None:
    """Whoever serves a pool may reach Redis and the matcher, and has the workers' rights."""
    chart = render({"worker": {"pools": APART}})
    for spec in workers(chart).values():
        labels = spec["template"]["metadata"]["labels"]
        policy = chart.one("NetworkPolicy", "worker")["spec"]["podSelector"]["matchLabels"]
        service = chart.one("Service", "metrics")["spec"]["selector"]
        assert policy.items() <= labels.items()
        assert service.items() <= labels.items()
        assert spec["template"]["spec"]["serviceAccountName"] == f"{RELEASE}-worker"


def test_a_pod_spreads_among_those_of_its_own_pool() -> None:
    """Else many scanners would push the others' Pods together."""
    spread = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    chart = render({"worker": {"topologySpreadConstraints": [spread], "pools": APART}})
    for spec in workers(chart).values():
        (found,) = spec["template"]["spec"]["topologySpreadConstraints"]
        assert found["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]


@pytest.mark.parametrize("lacking", ["reconcile", "scan"])
def test_pools_that_leave_a_part_of_the_queue_to_nobody_are_refused(lacking: str) -> None:
    """Its keys would wait without a word; the message has what to add."""
    pools = {name: each for name, each in APART.items() if name != lacking}
    remedy = f"--set worker.pools.{lacking}.serves={{{lacking}}}"
    with pytest.raises(Exception, match=re.escape(remedy)):
        render({"worker": {"pools": pools}})
    assert set(queue_pools(("reconcile", "scan"))) == set(POOLS) == set(SERVED) - {"match"}


def test_an_upgrade_of_workers_takes_nobody_away_before_another_is_ready() -> None:
    """What the old one cannot finish within its grace it gives back."""
    for spec in workers(render({"worker": {"pools": APART}})).values():
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert spec["minReadySeconds"] > 0


def test_the_large_preset_scans_in_pods_of_their_own() -> None:
    """As many as wait; the others keep their number."""
    chart = render(values(CHART / "presets" / "large.yaml"))
    found = workers(chart)
    assert set(found) == {"worker-reconcile", "worker-scan"}
    assert "replicas" not in found["worker-scan"]
    (hpa,) = of_kind(chart, "HorizontalPodAutoscaler")
    assert hpa["spec"]["scaleTargetRef"]["name"] == f"{RELEASE}-worker-scan"


# --- autoscaling


def scaled(by: str, **more: Any) -> dict[str, Any]:
    """Return values with an autoscaler."""
    return {"cluster": "production", "worker": {"autoscaling": {"by": by, **more}}}


def test_the_number_is_said_by_one_alone() -> None:
    """A Deployment that says it too is set back by every upgrade, in the middle of the work."""
    kinds = {"none": set(), "hpa": {"HorizontalPodAutoscaler"}, "keda": {"ScaledObject"}}
    for by, wanted in kinds.items():
        chart = render(scaled(by))
        (spec,) = workers(chart).values()
        assert ("replicas" in spec) == (by == "none")
        found = {each["kind"] for each in chart.manifests}
        assert found & {"HorizontalPodAutoscaler", "ScaledObject"} == wanted


@pytest.mark.parametrize(
    ("serves", "measured"),
    [(None, ["reconcile", "scan"]), (["scan"], ["scan"])],
)
def test_a_horizontal_pod_autoscaler_goes_by_the_pools_that_its_pods_serve(
    serves: list[str] | None, measured: list[str]
) -> None:
    """By the metric of the page; what is known already takes milliseconds and does not count."""
    changes = scaled("hpa", minReplicas=2, maxReplicas=7, keysPerReplica=30)
    if serves:
        apart = {"other": {"serves": ["reconcile"], "autoscaling": {"by": "none"}}}
        changes["worker"]["pools"] = {"p": {"serves": serves}, **apart}
    (hpa,) = of_kind(render(changes), "HorizontalPodAutoscaler")
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 7)
    (metric,) = hpa["spec"]["metrics"]
    assert metric["type"] == "External"
    assert metric["external"]["metric"]["name"] == "sluice_queue_depth"
    (chosen,) = metric["external"]["metric"]["selector"]["matchExpressions"]
    assert chosen == {"key": "pool", "operator": "In", "values": measured}
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "30"}
    page = (CHART.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert "| `sluice_queue_depth` | gauge | `pool`, `lane` |" in page


def test_keda_goes_by_the_lists_that_keys_wait_in() -> None:
    """Under the names of the product; delayed and parked keys need nobody."""
    (found,) = of_kind(render(scaled("keda", keysPerReplica=30)), "ScaledObject")
    names = Names("production")
    asked = {each["metadata"]["listName"] for each in found["spec"]["triggers"]}
    assert asked == {
        names.rq("queue", pool, lane) for pool in ("reconcile", "scan") for lane in (0, 1)
    }
    for each in found["spec"]["triggers"]:
        assert each["type"] == "redis"
        assert each["metadata"]["listLength"] == "30"


@pytest.mark.parametrize(
    ("redis", "wanted"),
    [
        ({}, {"address": f"{RELEASE}-redis.security.svc:6379", "databaseIndex": "0"}),
        ({"url": "redis://cache"}, {"address": "cache:6379", "databaseIndex": "0"}),
        (
            {"url": "rediss://sluice@cache:6380/2", "existingSecret": "s", "caConfigMap": "ca"},
            {
                "address": "cache:6380",
                "databaseIndex": "2",
                "enableTLS": "true",
                "username": "sluice",
            },
        ),
    ],
)
def test_keda_signs_in_where_the_workers_do(redis: dict[str, str], wanted: dict[str, str]) -> None:
    """The same server, user, database, password and authority."""
    chart = render({**scaled("keda"), "redis": redis})
    (found,) = of_kind(chart, "ScaledObject")
    trigger = found["spec"]["triggers"][0]
    told = {k: v for k, v in trigger["metadata"].items() if not k.startswith("list")}
    assert told == wanted
    authentications = of_kind(chart, "TriggerAuthentication")
    assert (
        bool(authentications)
        == ("authenticationRef" in trigger)
        == (redis.get("url") != "redis://cache")
    )
    for each in authentications:
        assert trigger["authenticationRef"]["name"] == each["metadata"]["name"]
        (secret,) = each["spec"]["secretTargetRef"]
        assert secret["parameter"] == "password"
        assert secret["name"] == redis.get("existingSecret", f"{RELEASE}-redis")
        assert ("configMapTargetRef" in each["spec"]) == ("caConfigMap" in redis)


def test_keda_may_reach_the_charts_redis() -> None:
    """It runs in a namespace of its own, which the policy would keep out."""
    peers = render(scaled("keda")).one("NetworkPolicy", "redis")["spec"]["ingress"][0]["from"]
    label = {"kubernetes.io/metadata.name": "keda"}
    assert {"namespaceSelector": {"matchLabels": label}} in peers
    own = {"serves": ["scan"], "autoscaling": {"by": "keda", "keda": {"namespace": "mine"}}}
    pools = {"reconcile": APART["reconcile"], "scan": own}
    chart = render({"cluster": "production", "worker": {"pools": pools}})
    peers = chart.one("NetworkPolicy", "redis")["spec"]["ingress"][0]["from"]
    selectors = [each["namespaceSelector"] for each in peers if "namespaceSelector" in each]
    assert selectors == [{"matchLabels": {"kubernetes.io/metadata.name": "mine"}}]
    for values_ in ({}, scaled("hpa"), scaled("keda", keda={"triggers": [{"type": "cron"}]})):
        peers = render(values_).one("NetworkPolicy", "redis")["spec"]["ingress"][0]["from"]
        assert all("namespaceSelector" not in each for each in peers)


def test_triggers_of_ones_own_replace_the_lists() -> None:
    """A query of Prometheus, Sentinels, a time of day; then nothing must be named."""
    trigger = {"type": "prometheus", "metadata": {"query": "sum(sluice_queue_depth)"}}
    own = {"autoscaling": {"by": "keda", "keda": {"triggers": [trigger]}}}
    chart = render({"worker": own, "redis": {"url": "redis+sentinel://a:26379/main/0"}})
    (found,) = of_kind(chart, "ScaledObject")
    assert found["spec"]["triggers"] == [trigger]
    assert not of_kind(chart, "TriggerAuthentication")


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"worker": {"autoscaling": {"by": "keda"}}}, "--set cluster=production"),
        (
            {**scaled("keda"), "redis": {"url": "redis+sentinel://a:26379/main/0"}},
            "--set-json worker.autoscaling.keda.triggers=",
        ),
        (scaled("hpa", minReplicas=11), "--set worker.autoscaling.maxReplicas=11"),
        (
            {
                "worker": {
                    "pools": {
                        "p": {
                            "serves": ["reconcile", "scan"],
                            "autoscaling": {"by": "hpa", "maxReplicas": 1},
                        }
                    }
                }
            },
            "--set worker.pools.p.autoscaling.maxReplicas=2",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_set(changes: Any, remedy: str) -> None:
    """Found when the chart is rendered, not by a ScaledObject that is never ready."""
    with pytest.raises(Exception, match=re.escape(remedy)):
        render(changes)


def test_how_fast_it_follows_can_be_said_to_both() -> None:
    """In the words of a HorizontalPodAutoscaler, which KEDA makes too."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 600}}
    (hpa,) = of_kind(render(scaled("hpa", behavior=behavior)), "HorizontalPodAutoscaler")
    (found,) = of_kind(render(scaled("keda", behavior=behavior)), "ScaledObject")
    assert hpa["spec"]["behavior"] == behavior
    config = found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    assert config["behavior"] == behavior
