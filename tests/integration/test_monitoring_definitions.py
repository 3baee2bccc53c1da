"""The monitoring objects, by the Prometheus Operator's own definitions on a real API server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from common.model.errors import PreconditionError
from sandbox.api import ApiError
from sandbox.controlplane import ControlPlane
from sandbox.gomodule import module_folder
from tests.charts.rendered import render
from tests.fixtures_sandbox import lacking
from tests.monitoring import ALL_ON
from tests.waiting import eventually

pytestmark = pytest.mark.integration

OPERATOR = "github.com/prometheus-operator/prometheus-operator"
VERSION, CONTENT = "v0.83.0", "h1:qAKbm+45fqNGcn9sGTa1Ae2TM3KZuYA/uyoD2QKi9+o="
KINDS = {"PrometheusRule": "prometheusrules", "ServiceMonitor": "servicemonitors"}
NAMESPACE = "monitored"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/monitoring.coreos.com/v1"
EVERYTHING = {
    "monitoring": {
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "monitoring"},
            "relabelings": [{"targetLabel": "cluster", "replacement": "a"}],
            "metricRelabelings": [
                {"action": "drop", "regex": "trivy_.*", "sourceLabels": ["__name__"]}
            ],
        },
        "prometheusRule": {"enabled": True, "alertLabels": {"team": "security"}},
    }
}


@pytest.fixture(scope="module")
def plane(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    """Give the API server with the operator's definitions, and take them away again."""
    try:
        folder = module_folder(OPERATOR, VERSION, content=CONTENT, say=lambda _text: None)
    except PreconditionError as error:
        lacking(error)
    for plural in KINDS.values():
        file = f"monitoring.coreos.com_{plural}.yaml"
        text = (folder / "example" / "prometheus-operator-crd" / file).read_bytes()
        controlplane.api.create(DEFINITIONS, yaml.load(text, Loader=yaml.CSafeLoader))
    controlplane.create_namespace(NAMESPACE)
    for plural in KINDS.values():
        assert eventually(partial(is_served, controlplane, plural))
    yield controlplane
    for plural in KINDS.values():
        controlplane.api.delete(f"{DEFINITIONS}/{plural}.monitoring.coreos.com")


def is_served(plane: ControlPlane, plural: str) -> bool:
    """Say whether the API server serves a kind by now."""
    with contextlib.suppress(ApiError):
        plane.api.get(f"{GROUP}/namespaces/{NAMESPACE}/{plural}")
        return True
    return False


@pytest.mark.parametrize("values", [ALL_ON, EVERYTHING], ids=["defaults", "everything"])
def test_the_operators_own_definitions_accept_them(
    plane: ControlPlane, values: dict[str, Any]
) -> None:
    """With strict validation: a field that nobody knows is refused and not dropped."""
    made = [each for each in render(values, namespace=NAMESPACE).manifests if each["kind"] in KINDS]
    assert len(made) == len(KINDS)
    for manifest in made:
        path = f"{GROUP}/namespaces/{NAMESPACE}/{KINDS[manifest['kind']]}"
        plane.api.create(f"{path}?fieldValidation=Strict&dryRun=All", manifest)


def test_a_field_that_the_definitions_do_not_know_is_refused(plane: ControlPlane) -> None:
    """Else the test above would pass on anything."""
    (monitor,) = (one for one in render(ALL_ON).manifests if one["kind"] == "ServiceMonitor")
    odd = {**monitor, "spec": {**monitor["spec"], "endpoint": []}}
    path = f"{GROUP}/namespaces/{NAMESPACE}/servicemonitors"
    with pytest.raises(ApiError, match="endpoint"):
        plane.api.create(f"{path}?fieldValidation=Strict&dryRun=All", odd)
