"""Labels and annotations: trivy-operator's names, values and precedence."""

from __future__ import annotations

import pytest

from common.model.workload import Container, Running
from common.reports.labels import (
    OWN_ANNOTATIONS,
    OWN_LABELS,
    report_annotations,
    report_labels,
    spec_hash,
)
from common.reports.naming import hash_string, is_label_value
from tests.fakes.report_builders import DIGEST, REFERENCE, body, row

_KINDS = ("VulnerabilityReport", "ExposedSecretReport", "SbomReport")


@pytest.mark.parametrize("kind", _KINDS)
def test_a_report_carries_trivy_operators_labels(kind: str) -> None:
    """Dashboards, policies and scripts select reports by them."""
    assert report_labels(kind, row(), "app", additional={}) == {
        "trivy-operator.resource.kind": "ReplicaSet",
        "trivy-operator.resource.namespace": "shop",
        "trivy-operator.resource.name": "web-6799fc88d8",
        "trivy-operator.container.name": "app",
        "resource-spec-hash": spec_hash(row()),
        "app.kubernetes.io/managed-by": "trivy-operator",
    }


def test_a_long_owner_is_labelled_by_its_hash_and_annotated_by_its_name() -> None:
    """A StatefulSet may have 253 characters, a label value 63."""
    long = row(name="x" * 64)
    labels = report_labels("SbomReport", long, "app", additional={})
    assert "trivy-operator.resource.name" not in labels
    assert labels["trivy-operator.resource.name-hash"] == hash_string("x" * 64)
    annotations = report_annotations(body("SbomReport"), long, report_ttl="")
    assert annotations == {"trivy-operator.resource.name": "x" * 64}


def test_an_owner_without_namespace_has_the_label_empty() -> None:
    """Upstream writes the key even for cluster-scoped owners, and selectors rely on it."""
    labels = report_labels("SbomReport", row(namespace=""), "app", additional={})
    assert labels["trivy-operator.resource.namespace"] == ""


@pytest.mark.parametrize("kind", _KINDS)
def test_additional_labels_win_over_copied_ones(kind: str) -> None:
    """The cluster's operator has the last word, as upstream."""
    owner = row(labels={"team": "from-workload", "app": "web"})
    labels = report_labels(kind, owner, "app", additional={"team": "from-settings"})
    assert labels["team"] == "from-settings"
    assert labels["app"] == "web"


@pytest.mark.parametrize("kind", _KINDS)
def test_no_label_of_a_user_replaces_the_owners_names(kind: str) -> None:
    """Otherwise a workload could hang its findings on another one."""
    forged = {"trivy-operator.resource.name": "other", "trivy-operator.resource.kind": "Pod"}
    labels = report_labels(kind, row(labels=forged), "app", additional=forged)
    assert labels["trivy-operator.resource.name"] == "web-6799fc88d8"
    assert labels["trivy-operator.resource.kind"] == "ReplicaSet"


def test_the_specification_hash_is_overridable_in_vulnerability_reports_only() -> None:
    """Upstream's order, kept to the letter."""
    given = {"resource-spec-hash": "mine"}
    vulnerability = report_labels("VulnerabilityReport", row(), "app", additional=given)
    assert vulnerability["resource-spec-hash"] == "mine"
    for kind in ("ExposedSecretReport", "SbomReport"):
        labels = report_labels(kind, row(), "app", additional=given)
        assert labels["resource-spec-hash"] == spec_hash(row())


def test_the_specification_hash_is_a_label_value() -> None:
    """It is written as one."""
    assert is_label_value(spec_hash(row()))


def test_the_specification_hash_follows_images_and_not_what_runs() -> None:
    """As upstream: a tag that moves changes the body, not the specification."""
    same = row(
        containers=(
            Container(
                name="app",
                role="container",
                image=REFERENCE,
                running=(Running(digest=DIGEST, platform="linux-amd64"),),
            ),
        ),
        labels={"team": "a"},
        has_pods=True,
    )
    assert spec_hash(same) == spec_hash(row())
    other = row(containers=(Container(name="app", role="container", image="nginx:2"),))
    assert spec_hash(other) != spec_hash(row())


def test_the_specification_hash_does_not_depend_on_the_containers_order() -> None:
    """Ephemeral containers are appended in any order."""
    one = Container(name="a", role="container", image="nginx:1")
    two = Container(name="b", role="init", image="busybox:1")
    assert spec_hash(row(containers=(one, two))) == spec_hash(row(containers=(two, one)))


def test_only_vulnerability_reports_have_a_lifetime() -> None:
    """Upstream never sets it on the other two; whoever sees it there would delete them."""
    for kind in _KINDS:
        annotations = report_annotations(body(kind), row(), report_ttl="24h0m0s")
        expected = "24h0m0s" if kind == "VulnerabilityReport" else None
        assert annotations.get("trivy-operator.aquasecurity.github.io/report-ttl") == expected


def test_without_a_lifetime_there_is_no_annotation() -> None:
    """An empty setting disables it."""
    assert report_annotations(body(), row(), report_ttl="") == {}


def test_a_truncated_report_says_what_is_missing() -> None:
    """Whoever counts entries must be told to read the summary."""
    cut = body(truncated=("text", "UNKNOWN"))
    assert report_annotations(cut, row(), report_ttl="") == {
        "kube-sluice/truncated": "text,UNKNOWN"
    }


def test_an_image_without_package_database_says_so() -> None:
    """Zero findings prove nothing where nothing could be looked up."""
    annotations = report_annotations(body(covered=False), row(), report_ttl="")
    assert annotations == {"kube-sluice/not-covered": "true"}
    secrets = report_annotations(body("ExposedSecretReport", covered=False), row(), report_ttl="")
    assert secrets == {}  # secrets are found without any package database


def test_all_that_is_ever_written_is_known_as_ours() -> None:
    """What is not known as ours would stay for ever once it is stale."""
    full = body(covered=False, truncated=("text",))
    long = row(name="x" * 64)
    assert report_annotations(full, long, report_ttl="1s").keys() <= OWN_ANNOTATIONS
    for owner in (long, row()):
        assert report_labels("SbomReport", owner, "app", additional={}).keys() <= OWN_LABELS
