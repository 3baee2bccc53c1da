"""Alerts, dashboard and scrape: what they ask for exists, and real tools accept them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from charts.dashboard import SCHEMA_VERSION, dashboard
from common.model.errors import PreconditionError
from sandbox.prometheus import programs
from tests import metrics_page
from tests.charts.alert_cases import CASES, Series
from tests.charts.rendered import CHART, render
from tests.fixtures_sandbox import lacking
from tests.monitoring import ADDED, ALL_ON, TARGET, alerts, expressions, selectors

METRICS = {row.name: row for row in metrics_page.rows()}
EXPRESSIONS = list(expressions())
ALERTS = alerts()
_LONGEST_SUMMARY = 100


def rendered(**prometheus_rule: Any) -> Any:
    """Return the PrometheusRule with these values of it."""
    values = {"monitoring": {"prometheusRule": {"enabled": True, **prometheus_rule}}}
    return render(values).one("PrometheusRule", "alerts")


# --- what is asked for


@pytest.mark.parametrize(("name", "expr"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_every_query_asks_for_metrics_and_labels_that_are_served(name: str, expr: str) -> None:
    """A metric that is renamed leaves an alert that never fires, and an empty panel."""
    asked = selectors(expr)
    assert asked, name
    for one in asked:
        if one.metric.startswith("process_"):  # the client library's own
            continue
        row = METRICS[one.family]
        assert one.metric == one.family or row.kind == "histogram", one.metric
        if len(asked) == 1:
            assert one.labels <= {*row.labels, *ADDED}, f"{name}: {one.labels}"


def test_a_counter_is_never_shown_without_a_rate() -> None:
    """Its value says when Redis was flushed, and little else."""
    for name, expr in EXPRESSIONS:
        for one in selectors(expr):
            if one.metric.endswith(("_total", "_bucket")):
                assert re.search(rf"(rate|increase)\({one.metric}\{{", expr), name


# --- alerts


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """Whoever is woken by one knows nothing of this program."""
    for name, alert in ALERTS.items():
        told = alert["annotations"]
        assert re.fullmatch(r"KubeSluice([A-Z][a-z]+)+", name)
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert told["summary"].endswith(".")
        assert len(told["summary"]) <= _LONGEST_SUMMARY
        assert told["description"].endswith(".")
        assert told["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
        assert "@" not in f"{alert['expr']}{told}", name


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Give the real promtool."""
    try:
        return programs(say=lambda _text: None)["promtool"]
    except PreconditionError as error:
        lacking(error)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give the rendered rules as a file that Prometheus reads."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rendered()["spec"]), encoding="utf-8")
    return path


def checked(*command: str | Path) -> str:
    """Run a tool; return what it says, and fail with it."""
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_rules(promtool: Path, rules: Path) -> None:
    """The admission of the Prometheus Operator is the same parser."""
    assert f"SUCCESS: {len(ALERTS)} rules found" in checked(promtool, "check", "rules", rules)


def labelled(series: Series) -> list[dict[str, str]]:
    """Return series as promtool takes them, with the targets' labels."""
    told = ",".join(f'{name}="{value}"' for name, value in TARGET.items())
    return [{"series": key.replace("@", told), "values": text} for key, text in series.items()]


def unit(name: str, series: Series, firing: Mapping[str, int]) -> dict[str, Any]:
    """Return a test of promtool: how many alerts of that name fire at each time."""
    fires = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    asked = [
        {"expr": fires, "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}]}
        for at, count in firing.items()
    ]
    return {"interval": "1m", "input_series": labelled(series), "promql_expr_test": asked}


def test_every_alert_fires_when_it_must_and_not_before_and_not_otherwise(
    promtool: Path, rules: Path
) -> None:
    """By the real evaluation, with thresholds as the chart renders them."""
    assert CASES.keys() == ALERTS.keys()
    tests = [
        test
        for name, case in CASES.items()
        for test in (
            unit(name, case.fires, {case.early: 0, case.at: 1}),
            unit(name, case.calm, {case.early: 0, case.at: 0, "2h": 0}),
        )
    ]
    told = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}
    path = rules.with_name("tests.yaml")
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    checked(promtool, "test", "rules", path)


def test_thresholds_labels_and_runbooks_are_values() -> None:
    """Routes, limits and places are the user's."""
    rule = rendered(
        labels={"release": "monitoring"},
        alertLabels={"team": "security", "severity": "page"},
        disabled=["KubeSluicePaused"],
        runbookUrl="https://wiki.example.com/kube-sluice",
        selector='cluster="a"',
        thresholds={"coveragePercent": 50, "databaseAgeS": 1_000_000},
    )
    assert rule["metadata"]["labels"]["release"] == "monitoring"
    (group,) = rule["spec"]["groups"]
    found = {one["alert"]: one for one in group["rules"]}
    assert ALERTS.keys() - found.keys() == {"KubeSluicePaused"}
    assert {one["labels"]["team"] for one in found.values()} == {"security"}
    assert found["KubeSluiceLeader"]["labels"]["severity"] == "page"
    coverage = found["KubeSluiceCoverage"]
    assert "< 50 / 100" in coverage["expr"]
    assert 'sluice_workloads{state="true",cluster="a"}' in coverage["expr"]
    assert "50 %" in coverage["annotations"]["description"]
    assert "> 1000000" in found["KubeSluiceDatabaseOld"]["expr"]
    url = "https://wiki.example.com/kube-sluice#kubesluicecoverage"
    assert coverage["annotations"]["runbook_url"] == url


@pytest.mark.parametrize("selector", ['job="a # b"', 'job="a: b"', "job='a'", 'job=~"a\\\\d"'])
def test_a_selector_reaches_prometheus_as_it_was_written(selector: str) -> None:
    """In YAML's text " #" would begin a comment, and ": " would leave a rule without any alert."""
    told = {"enabled": True, "selector": selector}
    rule = render({"monitoring": {"prometheusRule": told}}).one("PrometheusRule", "alerts")
    (group,) = rule["spec"]["groups"]
    assert len(group["rules"]) > 10
    assert all(selector in each["expr"] for each in group["rules"])


def test_an_alert_that_is_left_out_must_exist() -> None:
    """A misspelt name would leave it on without a word."""
    with pytest.raises(helm_python.HelmError, match="KubeSluicePause"):
        rendered(disabled=["KubeSluicePause"])


def test_nothing_of_it_is_made_unless_it_is_asked_for() -> None:
    """Without the operator's definitions an installation would fail."""
    kinds = {each["kind"] for each in render().manifests}
    assert kinds.isdisjoint({"PrometheusRule", "ServiceMonitor"})
    with pytest.raises(KeyError):
        render().one("ConfigMap", "dashboards")


# --- scrape


def test_the_servicemonitor_finds_the_service_and_its_port() -> None:
    """A selector that matches nothing is no error anywhere."""
    chart = render(ALL_ON)
    monitor, service = (chart.one(kind, "metrics") for kind in ("ServiceMonitor", "Service"))
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    assert chosen <= service["metadata"]["labels"].items()
    others = [one for one in chart.manifests if one["kind"] == "Service" and one != service]
    assert not any(chosen <= one["metadata"]["labels"].items() for one in others)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["honorLabels"] is True
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == ["security"]


# --- dashboard


def test_the_dashboard_is_what_the_code_makes() -> None:
    """One that is edited by hand loses it with the next change."""
    made = json.loads((CHART / "dashboards" / "kube-sluice.json").read_text(encoding="utf-8"))
    assert made == dashboard(), (
        "run: python -m charts.dashboard > charts/kube-sluice/dashboards/kube-sluice.json"
    )


def test_helm_leaves_the_dashboard_as_it_is() -> None:
    """Its legends hold the braces of Helm's own language."""
    config = render(ALL_ON).one("ConfigMap", "dashboards")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = config["data"].values()
    assert json.loads(text) == dashboard()
    assert "{{resource}}" in text


def test_grafana_gets_what_it_needs() -> None:
    """Panels that lie on each other, or whose source nobody chose, show nothing."""
    made = dashboard()
    assert made["schemaVersion"] == SCHEMA_VERSION
    assert [one["name"] for one in made["templating"]["list"]] == [
        "datasource",
        "cluster",
        "namespace",
    ]
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        spots = set(places(panel["gridPos"]))
        assert not spots & taken, panel["title"]
        taken |= spots
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"].endswith(".")


def places(spot: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield the cells that a panel covers; none is beyond the right edge."""
    assert spot["x"] + spot["w"] <= 24
    for row in range(spot["y"], spot["y"] + spot["h"]):
        for column in range(spot["x"], spot["x"] + spot["w"]):
            yield row, column


def test_what_all_objects_have_these_have_too() -> None:
    """With labels and annotations of their own beside them."""
    common = {"commonAnnotations": {"a.example.com/x": "1"}, "commonLabels": {"team": "security"}}
    own = {"labels": {"release": "monitoring"}}
    switched = {name: {"enabled": True, **own} for name in ALL_ON["monitoring"]}
    switched["dashboard"]["annotations"] = {"grafana_folder": "Security"}
    chart = render({**common, "monitoring": switched})
    for kind, name in (
        ("PrometheusRule", "alerts"),
        ("ServiceMonitor", "metrics"),
        ("ConfigMap", "dashboards"),
    ):
        told = chart.one(kind, name)["metadata"]
        assert {"team": "security", "release": "monitoring"}.items() <= told["labels"].items()
        assert told["annotations"]["a.example.com/x"] == "1"
    assert told["annotations"]["grafana_folder"] == "Security"
