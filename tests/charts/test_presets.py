"""What each preset promises, and what Pods survive: budgets, spreading, priorities."""

from __future__ import annotations

import re
from typing import Any

import pytest

from common.settings.parse import parse
from tests.charts.rendered import (
    CHART,
    Manifest,
    Rendered,
    all_containers,
    environment,
    render,
    values,
)

COMPONENTS = ("watcher", "worker", "matcher", "redis")
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
_MIB = {"Mi": 1, "Gi": 1024}


def preset(name: str) -> Rendered:
    """Render one of the chart's presets."""
    return render(values(CHART / "presets" / f"{name}.yaml"))


def mib(quantity: str) -> int:
    """Return a quantity of memory in MiB."""
    found = re.fullmatch(r"(\d+)(Mi|Gi)", quantity)
    assert found is not None
    return int(found[1]) * _MIB[found[2]]


def requested_mib(chart: Rendered) -> int:
    """Return the memory that all Pods request."""
    return sum(
        mib(one["resources"]["requests"]["memory"]) * (each["spec"].get("replicas") or 1)
        for each in chart.manifests
        if each["kind"] in ("Deployment", "StatefulSet")
        for one in all_containers(each["spec"]["template"])
    )


def budgets(chart: Rendered) -> dict[str, Any]:
    """Return the budgets by component."""
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]
        for each in chart.manifests
        if each["kind"] == "PodDisruptionBudget"
    }


def test_the_small_preset_is_four_pods_in_half_a_gigabyte() -> None:
    """One replica of each, one image at a time, a third of what the defaults request."""
    chart = preset("small")
    workloads = [each for each in chart.manifests if each["kind"] in ("Deployment", "StatefulSet")]
    assert [each["spec"]["replicas"] for each in workloads] == [1, 1, 1, 1]
    assert parse(environment(chart.containers()["worker"])).trivy.scanner_jobs == 1
    assert requested_mib(chart) <= 512
    assert requested_mib(chart) * 3 < requested_mib(render())


def test_every_preset_leaves_redis_room_to_rewrite_its_file() -> None:
    """A rewrite may copy all of it; the kernel would end the server in the middle."""
    for name in ("small", "ha"):
        chart = preset(name)
        text = chart.one("ConfigMap", "redis")["data"]["valkey.conf"]
        data_mb = re.search(r"maxmemory (\d+)mb", text)
        assert data_mb is not None
        limit = chart.containers()["redis"]["resources"]["limits"]["memory"]
        assert mib(limit) >= 2 * int(data_mb[1])


def test_the_ha_preset_survives_a_node() -> None:
    """Two watchers that never share a node, workers that rather do not, and volumes."""
    chart = preset("ha")
    watcher = chart.one("Deployment", "watcher")["spec"]
    assert watcher["replicas"] == 2
    node, _ = watcher["template"]["spec"]["topologySpreadConstraints"]
    assert (node["topologyKey"], node["whenUnsatisfiable"]) == (
        "kubernetes.io/hostname",
        "DoNotSchedule",
    )
    assert node["nodeTaintsPolicy"] == "Honor"  # else one cordoned node of two blocks the other
    assert chart.one("Deployment", "worker")["spec"]["replicas"] >= 2
    assert {"watcher", "worker"} <= set(budgets(chart))
    assert chart.one("PersistentVolumeClaim", "matcher")
    assert chart.one("StatefulSet", "redis")["spec"]["volumeClaimTemplates"]


def test_a_budget_lets_one_pod_go_at_a_time_and_never_holds_a_drain_by_itself() -> None:
    """With one replica, or with Pods that are not ready, a drain goes on."""
    for component, spec in budgets(render()).items():
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert spec["maxUnavailable"] in (1, "25%"), component  # a share is rounded up


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_budget_is_of_its_own_pods_and_can_be_chosen(component: str) -> None:
    """For the single ones too: 0 lets nobody drain their node unasked."""
    block = {"disruptionBudget": {"enabled": True, "maxUnavailable": 0}}
    chart = render({component: block})
    spec = budgets(chart)[component]
    assert spec["maxUnavailable"] == 0
    chosen = [
        name
        for name, pod in chart.pods().items()
        if spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    ]
    assert chosen == [component]
    assert component not in budgets(render({component: {"disruptionBudget": {"enabled": False}}}))


def test_a_redis_of_yours_has_no_budget_here() -> None:
    """It would select nothing."""
    own = {"url": "redis://cache", "disruptionBudget": {"enabled": True}}
    assert "redis" not in budgets(render({"redis": own}))


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_spread_among_their_own_component(component: str) -> None:
    """A values file cannot know the release's labels, so the chart adds them."""
    chart = render({component: {"topologySpreadConstraints": [dict(SPREAD)]}})
    pod: Manifest = chart.pods()[component]
    (constraint,) = pod["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "zone"
    labels = constraint["labelSelector"]["matchLabels"]
    assert labels.items() <= pod["metadata"]["labels"].items()
    assert labels["app.kubernetes.io/component"] == component
    own = {**SPREAD, "labelSelector": {"matchLabels": {"mine": "yes"}}}
    chart = render({component: {"topologySpreadConstraints": [own]}})
    assert chart.pods()[component]["spec"]["topologySpreadConstraints"] == [own]


@pytest.mark.parametrize("component", COMPONENTS)
def test_labels_of_yours_never_replace_the_ones_that_select(component: str) -> None:
    """A Deployment whose Pods it does not select is refused; a Service would lose them."""
    own = {"app.kubernetes.io/component": "mine", "example.com/team": "security"}
    plain = render().pods()[component]["metadata"]["labels"]
    chart = render({"commonLabels": own, component: {"podLabels": own}})
    labels = chart.pods()[component]["metadata"]["labels"]
    assert labels == {**plain, "example.com/team": "security"}


def test_common_labels_and_annotations_are_on_every_object() -> None:
    """What a cost report or a policy engine goes by; an object's own annotations win."""
    marks = {"example.com/team": "security"}
    chart = render(
        {
            "commonLabels": marks,
            "commonAnnotations": {**marks, "role": "theirs"},
            "worker": {"serviceAccountAnnotations": {"role": "ours"}},
        }
    )
    for manifest in chart.manifests:
        metadata = manifest["metadata"]
        assert marks.items() <= metadata["labels"].items(), metadata["name"]
        assert marks.items() <= metadata["annotations"].items(), metadata["name"]
    assert chart.one("ServiceAccount", "worker")["metadata"]["annotations"]["role"] == "ours"


@pytest.mark.parametrize(
    ("named", "pulled"),
    [
        ("kube-sluice", "mirror.example.com:5000/hub/kube-sluice"),
        ("team/kube-sluice", "mirror.example.com:5000/hub/team/kube-sluice"),
        ("ghcr.io/team/kube-sluice", "mirror.example.com:5000/hub/team/kube-sluice"),
        ("localhost/kube-sluice", "mirror.example.com:5000/hub/kube-sluice"),
        ("registry:5000/kube-sluice", "mirror.example.com:5000/hub/kube-sluice"),
    ],
)
def test_one_registry_may_stand_for_all(named: str, pulled: str) -> None:
    """A mirror of an air-gapped cluster; digests and tags stay what they were."""
    mirror = "mirror.example.com:5000/hub"
    chart = render({"imageRegistry": mirror, "image": {"repository": named, "tag": "1"}})
    images = {name: one["image"] for name, one in chart.containers().items()}
    assert images.pop("redis").startswith(f"{mirror}/valkey/valkey:")
    assert set(images.values()) == {f"{pulled}:1"}
