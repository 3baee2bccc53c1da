"""The chart's values: documented, closed, used, and refused where they are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from charts.schema import SET_BY_THE_CHART, VALUES, comments, schema
from common.ops.version import VERSION
from common.settings.table import BY_NAME, ROWS
from tests.charts.rendered import CHART, SCENARIOS, Rendered, render, values

TEXT = VALUES.read_text(encoding="utf-8")
DEFAULTS = yaml.safe_load(TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

# What a value is changed to, where its type alone does not say; and what must be set for it to
# matter.
EXAMPLES: Mapping[str, object] = {
    "image.digest": f"sha256:{'1' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"TRIVY_SEVERITY": "HIGH"},
    "watcher.replicas": 3,
    "registries.credentialProvider.folder": "/opt/providers",
    "filters.vexKeys": ["one.json", "two.json"],
    "redis.url": "redis://elsewhere:6379/0",
    "redis.image.digest": f"sha256:{'2' * 64}",
    "redis.image.pullPolicy": "Always",
    "proxy.httpProxy": "http://other:3128",
    "proxy.httpsProxy": "http://other:3128",
    "imageRegistry": "mirror.example.com",
    "worker.pools": {"one": {"serves": ["reconcile", "scan"]}},
    "worker.autoscaling.by": "hpa",
    "worker.autoscaling.maxReplicas": 77,
    "worker.autoscaling.minReplicas": 7,
    "worker.autoscaling.behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}},
    "worker.autoscaling.hpa.selector": {"matchLabels": {"lane": "fresh"}},
    "worker.autoscaling.keda.triggers": [{"type": "cron", "metadata": {}}],
    "commonLabels": {"example.com/team": "security"},
    "commonAnnotations": {"example.com/team": "security"},
    "networkPolicy.metricsFrom": [{"namespaceSelector": {}}],
    "networkPolicy.statusPageFrom": [{"namespaceSelector": {}}],
    "networkPolicy.egress.ports": [5000],
    "networkPolicy.egress.more": [{"to": [{"namespaceSelector": {}}]}],
    "monitoring.prometheusRule.disabled": ["KubeSluicePaused"],
    "monitoring.prometheusRule.selector": 'cluster="a"',
    "monitoring.prometheusRule.thresholds.coveragePercent": 50,
    "monitoring.prometheusRule.thresholds.redisMemoryPercent": 50,
}
BY_TYPE: Mapping[str, object] = {
    "podAnnotations": {"example.com/team": "security"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}],
    "maxUnavailable": "50%",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraInitContainers": [{"name": "programs", "image": "programs:1"}],
    "podLabels": {"azure.workload.identity/use": "true"},
    "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn"},
    "resources": {"limits": {"memory": "3Gi"}},
    "labels": {"release": "monitoring"},
    "alertLabels": {"team": "security"},
    "annotations": {"grafana_folder": "Security"},
    "relabelings": [{"targetLabel": "cluster", "replacement": "a"}],
    "metricRelabelings": [{"action": "drop", "regex": "trivy_.*", "sourceLabels": ["__name__"]}],
}
PROVIDERS = {"registries": {"credentialProvider": {"configMap": "providers", "folder": "/opt"}}}
HPA, KEDA = (
    {"cluster": "production", "worker": {"autoscaling": {"by": by}}} for by in ("hpa", "keda")
)
NEEDS: Mapping[str, Mapping[str, Any]] = {
    "redis.existingSecretKey": {"redis": {"existingSecret": "password"}},
    "registries.databaseUsernameKey": {"registries": {"databaseSecret": "login"}},
    "registries.databasePasswordKey": {"registries": {"databaseSecret": "login"}},
    "registries.credentialProvider.configMap": PROVIDERS,
    "registries.credentialProvider.configKey": PROVIDERS,
    "registries.credentialProvider.image": PROVIDERS,
    "registries.credentialProvider.folder": PROVIDERS,
    "filters.ignoreFileKey": {"filters": {"ignoreFileConfigMap": "ignored"}},
    "filters.ignorePolicyKey": {"filters": {"ignorePolicyConfigMap": "ignored"}},
    "filters.vexKeys": {"filters": {"vexConfigMap": "vex"}},
    "matcher.existingSecretKey": {"matcher": {"existingSecret": "token"}},
    "rbac.clusterWide": {
        "cluster": "production",
        "settings": {"OPERATOR_TARGET_NAMESPACES": "shop", "SLUICE_PLATFORM": "linux-amd64"},
    },
    "proxy.noProxy": {"proxy": {"httpsProxy": "http://proxy:3128"}},
    "networkPolicy.egress.ports": {"networkPolicy": {"egress": {"enabled": True}}},
    "networkPolicy.egress.more": {"networkPolicy": {"egress": {"enabled": True}}},
    **{
        f"worker.autoscaling.{name}": HPA
        for name in (
            "minReplicas",
            "maxReplicas",
            "keysPerReplica",
            "behavior",
            "hpa.metric",
            "hpa.selector",
        )
    },
    **{
        f"worker.autoscaling.keda.{name}": KEDA
        for name in ("namespace", "pollingIntervalS", "triggers")
    },
    "matcher.disruptionBudget.maxUnavailable": {"matcher": {"disruptionBudget": {"enabled": True}}},
    "redis.disruptionBudget.maxUnavailable": {"redis": {"disruptionBudget": {"enabled": True}}},
    "matcher.persistence.storageClass": {"matcher": {"persistence": {"enabled": True}}},
}
# A block that is off by default: each of its values matters once it is on.
SWITCHED = ("monitoring.serviceMonitor", "monitoring.prometheusRule", "monitoring.dashboard")


def needed(path: str) -> dict[str, Any]:
    """Return what must be set for the leaf to matter."""
    blocks = (block for block in SWITCHED if path.startswith(f"{block}."))
    for block in blocks:
        if not path.endswith(".enabled"):
            return setting(f"{block}.enabled", value=True)
    return dict(NEEDS.get(path, {}))


def leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that a user may set, by its dotted path."""
    for name, below in value.items():
        path = f"{above}{name}"
        if isinstance(below, dict) and below and name != "resources":
            yield from leaves(below, f"{path}.")
        else:
            yield path, below


LEAVES = dict(leaves(DEFAULTS))


def changed(path: str) -> object:
    """Return another value for the leaf."""
    name, default = path.rpartition(".")[2], LEAVES[path]
    if path in EXAMPLES:
        return EXAMPLES[path]
    if name in BY_TYPE:
        return BY_TYPE[name]
    match default:
        case bool():
            return not default
        case int():
            return default + 77
        case _:
            return f"other{default}".replace(".", "-")


def setting(path: str, value: object) -> dict[str, Any]:
    """Return values in which only this path is set."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; they agree where they meet."""
    both = dict(one)
    for name, value in other.items():
        both[name] = merged(both[name], value) if isinstance(both.get(name), dict) else value
    return both


def stable(rendered: Rendered) -> str:
    """Return everything but the password and the token, which are others each time."""
    text = "\n".join(rendered.files[name] for name in sorted(rendered.files))
    return re.sub(r"(?m)^  (password|token): .*$", "", text)


def test_the_same_values_render_the_same() -> None:
    """Else every value would seem to change something."""
    assert stable(render()) == stable(render())


def test_the_schema_is_what_the_comments_say() -> None:
    """A schema that is edited by hand is wrong after the next change of the values."""
    assert schema(TEXT) == SCHEMA, (
        "run: python -m charts.schema > charts/kube-sluice/values.schema.json"
    )


def test_every_value_is_documented_above_itself() -> None:
    """In sentences: they are all that `helm show values` gives to a user."""
    said = comments(TEXT)
    blocks = [path for path in said if "." not in path]
    for path in [*LEAVES, *blocks]:
        assert re.fullmatch(r"[A-Z].+[.}]", said[path].prose), path


def test_a_value_without_a_comment_breaks_the_generator() -> None:
    """Nobody can add one and forget to say what it does."""
    with pytest.raises(KeyError):
        schema("# Said.\nimage: x\nunsaid: y\n")
    with pytest.raises(TypeError, match="Schema:"):
        schema("# A list of what?\nthings: []\n")


@pytest.mark.parametrize("path", LEAVES)
def test_every_value_changes_what_is_rendered(path: str) -> None:
    """A value that does nothing is a lie in the documentation."""
    before = stable(render(needed(path)))
    assert stable(render(merged(needed(path), setting(path, changed(path))))) != before


def test_every_value_that_a_template_uses_exists() -> None:
    """Helm renders a misspelt one as nothing, without a word."""
    used: set[str] = set()
    for template in Path(CHART / "templates").iterdir():
        text = template.read_text(encoding="utf-8")
        used |= set(re.findall(r"\.Values\.([A-Za-z.]+)", text))
    said = comments(TEXT)
    assert used
    assert {path for path in used if path not in said} == set()


@pytest.mark.parametrize("block", ["watcher", "worker", "matcher", "redis"])
def test_the_blocks_are_alike(block: str) -> None:
    """Who knows one component's values knows them all."""
    alike = {
        "resources", "podAnnotations", "podLabels", "nodeSelector", "tolerations", "affinity",
        "topologySpreadConstraints", "priorityClassName", "disruptionBudget", "extraEnv",
        "extraVolumes", "extraVolumeMounts",
    }  # fmt: skip
    assert alike <= set(DEFAULTS[block])


# Valid names to Kubernetes, and keys of ConfigMaps; to YAML a number, a flag, nothing, a comment.
@pytest.mark.parametrize("text", ["123", "1e3", "true", "null", "a #b", "a\nkind: Pod"])
def test_a_text_stays_a_text(text: str) -> None:
    """What a user names is quoted: neither of another type nor a part of the manifest."""
    program = {"configMap": text, "configKey": text, "folder": f"/{text}"}
    filters = {name: text for name in yaml.safe_load(TEXT)["filters"] if name != "vexKeys"}
    placed = {"priorityClassName": text}
    volume = {"persistence": {"enabled": True, "storageClass": text}}
    secret = {"existingSecret": text, "existingSecretKey": text}
    changes = {
        "registries": {
            "caConfigMap": text,
            "databaseSecret": text,
            "databaseUsernameKey": text,
            "databasePasswordKey": text,
            "credentialProvider": program,
        },
        "filters": {**filters, "vexKeys": [text]},
        "watcher": placed,
        "worker": {
            **placed,
            "pools": {"1": {"serves": ["scan", "reconcile"]}},
            "autoscaling": {"by": "keda", "keda": {"namespace": text}},
        },
        "matcher": {**placed, **volume, **secret},
        "redis": {**placed, **volume, **secret, "caConfigMap": text},
        "cluster": "1",
    }
    chart = render(changes, name="123", namespace="456")
    expected = render(_replaced(changes, text, "plain"), name="name", namespace="space")
    assert _types(chart.manifests) == _types(expected.manifests)
    assert _types(chart.hooks) == _types(expected.hooks)


def _replaced(node: Any, text: str, by: str) -> Any:
    match node:
        case dict():
            return {name: _replaced(one, text, by) for name, one in node.items()}
        case list():
            return [_replaced(one, text, by) for one in node]
        case str():
            return node.replace(text, by)
        case _:
            return node


def _types(node: Any) -> Any:
    """Return a document with the type of each scalar in its place."""
    match node:
        case dict():
            return {name: _types(one) for name, one in node.items()}
        case list():
            return [_types(one) for one in node]
        case _:
            return type(node).__name__


def test_numbers_carry_their_unit_in_the_name() -> None:
    """A drain of 25 is read as minutes by somebody."""
    counts = {
        "replicas", "minReplicas", "maxReplicas", "keysPerReplica", "jobs", "maxUnavailable",
        "parkedKeys", "leasesExpired", "scannerMemoryRuns", "throttledRuns",
    }  # fmt: skip
    for path, value in LEAVES.items():
        if isinstance(value, int) and not isinstance(value, bool):
            name = path.rpartition(".")[2]
            assert name in counts or name.endswith(("S", "Gi", "Mb", "Percent")), path


@pytest.mark.parametrize(
    ("values_", "named"),
    [
        ({"wrker": {"replicas": 1}}, "wrker"),
        ({"worker": {"replica": 1}}, "replica"),
        ({"worker": {"replicas": "2"}}, "/worker/replicas"),
        ({"worker": {"replicas": -1}}, "/worker/replicas"),
        ({"worker": {"drainS": 99_999}}, "/worker/drainS"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"image": {"digest": "1.2.3"}}, "/image/digest"),
        ({"rbac": {"create": "yes"}}, "/rbac/create"),
        ({"settings": {"TRIVY_SEVERTY": "HIGH"}}, "TRIVY_SEVERTY"),
        ({"settings": {"SLUICE_REDIS_URL": "redis://x"}}, "SLUICE_REDIS_URL"),
        ({"settings": {"TRIVY_SEVERITY": ["HIGH"]}}, "/settings/TRIVY_SEVERITY"),
        ({"redis": {"url": "redis://:hunter2@cache:6379"}}, "/redis/url"),
        ({"redis": {"url": "redis://cache:6379/0?password=hunter2"}}, "/redis/url"),
        ({"redis": {"url": "http://cache"}}, "/redis/url"),
        ({"redis": {"persistence": {"size": "8Gi"}}}, "size"),
        ({"cluster": "Prod_1"}, "/cluster"),
        ({"fullnameOverride": "x" * 41}, "/fullnameOverride"),
        ({"watcher": {"replicas": 11}}, "/watcher/replicas"),
        ({"watcher": {"replicas": 2, "leaderElection": False}}, "watcher.leaderElection is false"),
        ({"settings": {"SLUICE_LEADER_ELECTION": False}}, "SLUICE_LEADER_ELECTION"),
        ({"watcher": {"resources": {"limit": {}}}}, "limit"),
        ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0"),
        ({"worker": {"pools": {"scan": {"replicas": 1}}}}, "missing property 'serves'"),
        ({"worker": {"pools": {"scan": {"serves": ["match"]}}}}, "/worker/pools/scan/serves/0"),
        ({"worker": {"pools": {"scan": {"serves": ["scan"], "x": 1}}}}, "x"),
        ({"worker": {"pools": {"Scan_": {"serves": ["scan"]}}}}, "Scan_"),
        ({"worker": {"pools": {"a": {"serves": ["scan"], "scanner": {"job": 1}}}}}, "job"),
        ({"worker": {"autoscaling": {"by": "vpa"}}}, "/worker/autoscaling/by"),
        ({"worker": {"autoscaling": {"minReplicas": 0}}}, "/worker/autoscaling/minReplicas"),
        ({"networkPolicy": {"egress": {"ports": ["https"]}}}, "/networkPolicy/egress/ports/0"),
        ({"imageRegistry": "https://mirror"}, "/imageRegistry"),
        ({"watcher": {"disruptionBudget": {"maxUnavailable": "one"}}}, "maxUnavailable"),
        ({"worker": {"extraEnv": [{"key": "A", "value": "b"}]}}, "/worker/extraEnv/0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values_: dict[str, Any], named: str) -> None:
    """Before anything is sent to a cluster, and with the place in the message."""
    with pytest.raises(helm_python.HelmError) as refused:
        render(values_)
    assert named in str(refused.value)


def test_the_settings_are_those_that_the_product_honours() -> None:
    """One that parses and does nothing is refused here: nobody should believe in it."""
    known = set(SCHEMA["definitions"]["settings"]["properties"])
    assert known == {row.name for row in ROWS if row.honoured}
    assert set(BY_NAME) >= set(SET_BY_THE_CHART)


@pytest.mark.parametrize("name", SET_BY_THE_CHART)
def test_what_the_chart_says_itself_is_refused_with_what_to_set(name: str) -> None:
    """A schema could only say that the name is not allowed."""
    with pytest.raises(helm_python.HelmError) as refused:
        render({"settings": {name: "x"}})
    instead = SET_BY_THE_CHART[name]
    assert f"settings.{name} is said by the chart itself; set {instead}" in str(refused.value)


@pytest.mark.parametrize("instead", SET_BY_THE_CHART.values())
def test_what_to_set_instead_is_a_value_of_the_chart(instead: str) -> None:
    """A remedy that is refused too would be no remedy."""
    for path, value in re.findall(r"--set ([A-Za-z.]+)=([^\s,]*)", instead):
        if path.startswith("worker.pools."):
            assert "pools" in DEFAULTS["worker"]
            continue
        assert path in LEAVES
        assert value
    assert "--set" in instead or instead.startswith("nothing, ")


def test_helm_as_a_parent_may_add_its_own_value() -> None:
    """A chart that depends on ours passes `global` whether anybody wants it or not."""
    render({"global": {"anything": 1}})


def test_the_chart_is_of_the_programs_version() -> None:
    """Its image's tag is taken from there."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == VERSION


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_passes_helms_strict_lint(scenario: Path) -> None:
    """As `helm lint --strict` runs over ci/ in chart repositories."""
    found = helm_python.lint(CHART, values(scenario), strict=True)
    assert found["errors"] == []
    assert [one for one in found["messages"] if one["severity"] > 1] == []
