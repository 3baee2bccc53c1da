"""trivy-operator's values, turned into ours: the real Helm engine takes whatever comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import helm_python
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.migration.fates import Fate, Row, ToSetting, ToValues
from common.migration.show import values_file
from common.migration.table import ROWS
from common.migration.translate import translate
from common.reports.plain_yaml import to_text
from common.settings.parse import parse
from tests.charts.rendered import CHART, Rendered, environment, render, values
from tests.migration_values import KEYS, defaults, documents, nested, plausible


def installed(document: Mapping[str, Any]) -> Rendered:
    """Return the chart as Helm renders it with the file that the command prints."""
    return render(helm_python.values_from_yaml(values_file(translate(document))))


def told(rendered: Rendered, container: str) -> dict[str, str]:
    """Return the environment of a container."""
    return environment(rendered.containers()[container])


def test_the_charts_defaults_are_ours() -> None:
    """Who never set anything installs the chart as it is."""
    text = values_file(translate(defaults()))
    assert helm_python.values_from_yaml(text) == {}
    assert installed(defaults()).pods().keys() == render().pods().keys()


@pytest.mark.parametrize("choice", range(3))
def test_a_file_with_everything_is_taken_by_the_closed_schema(choice: int) -> None:
    """The schema refuses a path that does not exist, and a value of another type."""
    pairs = [(key, plausible(key)[choice % len(plausible(key))]) for key in KEYS]
    rendered = installed(nested(pairs))
    for name in ("watcher", "worker", "matcher"):
        parse(told(rendered, name))


@given(documents())
def test_any_part_of_it_is_taken_too(document: dict[str, Any]) -> None:
    """What one value sets must not need another one, and its settings must parse."""
    parse(told(installed(document), "worker"))


@given(documents())
def test_helm_reads_the_file_as_it_was_meant(document: dict[str, Any]) -> None:
    """Its YAML is another program's: what one quotes the other may read as a number."""
    translation = translate(document)
    read = helm_python.values_from_yaml(values_file(translation))
    for path, value in translation.values.items():
        found: Any = read
        for part in path.split("."):
            found = found[part]
        assert found == (value == "true" if value in ("true", "false") else value)


@given(st.text())
def test_helm_reads_any_text_of_ours_as_it_was_written(text: str) -> None:
    """Ignore files and policies are people's own."""
    assert helm_python.values_from_yaml(to_text({"key": text, "list": [text]})) == {
        "key": text,
        "list": [text],
    }


def test_a_rich_file_arrives_where_it_counts() -> None:
    """What people set most, in the Pods that read it."""
    rendered = installed(
        {
            "excludeNamespaces": "kube-system",
            "nodeSelector": {"pool": "infra"},
            "operator": {"scanJobTimeout": "10m", "replicas": 2, "scannerReportTTL": ""},
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}},
            "trivy": {
                "severity": "HIGH,CRITICAL",
                "ignoreUnfixed": True,
                "httpsProxy": "http://proxy:3128",
                "dbRepositoryPassword": "secret",
                "ignoreFile": ["CVE-1970-0001"],
                "registry": {"mirror": {"docker.io": "mirror.example.com"}},
            },
            "trivyOperator": {"scanJobTolerations": [{"key": "scan", "operator": "Exists"}]},
        }
    )
    worker = told(rendered, "worker")
    assert parse(worker).reports.severities == ("HIGH", "CRITICAL")
    assert worker["OPERATOR_SCAN_JOB_TIMEOUT"] == "10m"
    assert worker["OPERATOR_SCANNER_REPORT_TTL"] == ""
    assert worker["SLUICE_IGNORE_RULES"] == "CVE-1970-0001\n"
    assert worker["SLUICE_REGISTRY_MIRRORS"] == "docker.io=mirror.example.com"
    for name in ("worker", "scanner", "matcher"):
        assert told(rendered, name)["HTTPS_PROXY"] == "http://proxy:3128"
    pods = rendered.pods()
    assert pods["worker"]["spec"]["tolerations"] == [{"key": "scan", "operator": "Exists"}]
    assert pods["matcher"]["spec"]["nodeSelector"] == {"pool": "infra"}
    assert rendered.one("Deployment", "watcher")["spec"]["replicas"] == 2
    account = rendered.one("ServiceAccount", "worker")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:x"}


def targets(fate: Fate) -> tuple[str, ...]:
    """Return the paths that a value may set."""
    if isinstance(fate, ToSetting) and fate.setting.honoured:
        return (f"settings.{fate.setting.name}",)
    return fate.targets if isinstance(fate, ToValues) else ()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_every_target_is_a_value_of_the_chart(row: Row) -> None:
    """The table must not name a path that a later chart dropped."""
    ours = values(CHART / "values.yaml")
    for path in targets(row.fate):
        above, _, name = path.rpartition(".")
        if above == "settings":
            render({"settings": {name: ""}})
            continue
        level: Any = ours
        for part in path.split("."):
            level = level[part]
