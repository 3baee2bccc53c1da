"""RBAC: each component may do what the doctor asks for, and nothing beyond it."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import pytest

from common.cli.checks.access import RULES
from common.kube.lease import lease_place
from common.reports.catalog import BY_KIND, CLUSTER_KINDS, GROUP
from tests.charts.rendered import NAMESPACE, RELEASE, Rendered, environment, render

# group, resource, verb, and the object's name where only one is allowed
Right: TypeAlias = tuple[str, str, str, str]

ROLE = "Role"
CONFINED: dict[str, Any] = {
    "cluster": "production",
    "rbac": {"clusterWide": False},
    "settings": {"OPERATOR_TARGET_NAMESPACES": "shop, cart", "SLUICE_PLATFORM": "linux-amd64"},
}
OF_THE_CLUSTER = {"nodes", *(BY_KIND[kind].plural for kind in CLUSTER_KINDS)}
CONFIGMAPS: set[Right] = {
    (rule.group, resource, verb, name)
    for rule in RULES
    for resource in rule.resources
    for verb in rule.verbs
    for name in rule.names
}
IDENTITY: Right = ("", "namespaces", "get", "kube-system")


def rights(chart: Rendered, component: str, namespace: str | None = None) -> set[Right]:
    """Return what the component's account may do, through every binding that names it.

    In one namespace by its Roles, or (None) in the whole cluster.
    """
    account = {
        "kind": "ServiceAccount", "name": f"{RELEASE}-{component}", "namespace": NAMESPACE,
    }  # fmt: skip
    kind = f"Cluster{ROLE}" if namespace is None else ROLE
    roles = {
        each["metadata"]["name"]: each
        for each in of_kind(chart, kind)
        if each["metadata"].get("namespace") == namespace
    }
    bound = [
        roles[each["roleRef"]["name"]]
        for each in of_kind(chart, f"{kind}Binding")
        if account in each["subjects"] and each["metadata"].get("namespace") == namespace
    ]
    return {
        (group, resource, verb, name)
        for role in bound
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def of_kind(chart: Rendered, kind: str) -> list[Any]:
    """Return the objects of one kind."""
    return [each for each in chart.manifests if each["kind"] == kind]


def asked(component: str) -> set[Right]:
    """Return what `sluice doctor` wants the component to have."""
    return {
        (rule.group, resource, verb, "")
        for rule in RULES
        if rule.component == component and not rule.elects and not rule.names
        for resource in rule.resources
        for verb in rule.verbs
    }


@pytest.mark.parametrize("component", ["watcher", "worker", "matcher"])
def test_a_component_has_exactly_the_doctors_rules(component: str) -> None:
    """A right less breaks a feature, a right more is an attacker's; the table knows both."""
    assert rights(render(), component) == asked(component) | {IDENTITY}


@pytest.mark.parametrize("cluster", ["", "production"])
def test_the_watcher_may_hold_its_one_lease(cluster: str) -> None:
    """By name, in the release's namespace; a name cannot be asked of somebody who creates."""
    chart = render({"cluster": cluster})
    place = lease_place(NAMESPACE, cluster)
    (rule,) = (rule for rule in RULES if rule.elects)
    assert rights(chart, "watcher", NAMESPACE) - CONFIGMAPS == {
        (rule.group, resource, verb, "" if verb == "create" else place.name)
        for resource in rule.resources
        for verb in rule.verbs
    }
    for kind in ("Role", "RoleBinding"):
        for found in of_kind(chart, kind):
            assert found["metadata"]["namespace"] == place.namespace
    for other in ("worker", "matcher"):
        assert rights(chart, other, NAMESPACE) == set()


def test_without_an_election_nobody_may_hold_a_lease() -> None:
    """Then there is one watcher, and it writes nothing at all."""
    chart = render({"watcher": {"leaderElection": False}})
    assert rights(chart, "watcher", NAMESPACE) == CONFIGMAPS


def test_the_watcher_alone_may_read_trivy_operators_config_maps() -> None:
    """Three objects in the release's namespace, none of them a Secret; the others go by Redis."""
    assert rights(render(), "watcher", NAMESPACE) >= CONFIGMAPS
    assert not CONFIGMAPS & rights(render(), "watcher")
    for other in ("worker", "matcher"):
        assert not CONFIGMAPS & (rights(render(), other) | rights(render(), other, NAMESPACE))
    without = render({"trivyOperator": {"configMaps": False}})
    assert not CONFIGMAPS & rights(without, "watcher", NAMESPACE)
    told = environment(without.containers()["watcher"], namespace=NAMESPACE)
    assert told["SLUICE_OPERATOR_CONFIGMAPS"] == "false"


def test_the_matcher_may_only_learn_the_clusters_identity() -> None:
    """It downloads databases and answers questions; the cluster is nothing to it."""
    assert rights(render(), "matcher") == {IDENTITY}


def test_a_named_cluster_needs_no_identity() -> None:
    """With `cluster` set nobody asks for the uid, so nobody may."""
    chart = render({"cluster": "production"})
    assert rights(chart, "matcher") == set()
    assert IDENTITY not in rights(chart, "watcher") | rights(chart, "worker")


def test_the_watcher_has_no_right_to_secrets_and_writes_nothing_but_its_lease() -> None:
    """Law 9. It sees everything that happens, so it must not be able to do anything."""
    found = rights(render(), "watcher")
    assert not {right for right in found if right[1] == "secrets"}
    assert {right[2] for right in found} == {"list", "watch", "get"}
    assert [right for right in found if right[2] == "get"] == [IDENTITY]


def test_nobody_lists_or_watches_secrets() -> None:
    """Law 9: by name, at scan time."""
    for component in ("watcher", "worker", "matcher"):
        for _, resource, verb, _ in rights(render(), component):
            assert resource != "secrets" or verb == "get"


def test_pull_secrets_can_be_withheld() -> None:
    """The doctor calls these rights optional; the value takes them away and no other."""
    with_, without = (
        rights(render({"rbac": {"pullSecrets": pull}}), "worker") for pull in (True, False)
    )
    assert {right[:2] for right in with_ - without} == {("", "secrets"), ("", "serviceaccounts")}
    assert without < with_


def test_writers_write_reports_only() -> None:
    """And Events, which every component of Kubernetes may create."""
    writing = {"create", "update", "patch", "delete"}
    for group, resource, verb, _ in rights(render(), "worker"):
        assert verb not in writing or group == GROUP or resource == "events"


def test_no_rule_has_a_wildcard() -> None:
    """It would grow with every definition that anybody installs."""
    for component in ("watcher", "worker", "matcher"):
        assert "*" not in {part for right in rights(render(), component) for part in right}


def test_the_scanner_has_no_account() -> None:
    """Nor has Redis; nothing binds to the namespace's default account either."""
    accounts = {each["metadata"]["name"] for each in of_kind(render(), "ServiceAccount")}
    subjects = {
        subject["name"]
        for each in of_kind(render(), "ClusterRoleBinding")
        for subject in each["subjects"]
    }
    assert (
        subjects == accounts == {f"{RELEASE}-{name}" for name in ("watcher", "worker", "matcher")}
    )
    assert "serviceAccountName" not in render().pods()["redis"]["spec"]


def test_rights_may_be_made_by_somebody_else() -> None:
    """Then the chart makes none, and the notes say so."""
    chart = render({"rbac": {"create": False}})
    for scope in ("Cluster", ""):
        assert of_kind(chart, f"{scope}Role") == of_kind(chart, f"{scope}RoleBinding") == []
    assert "rbac.create is false" in chart.notes


@pytest.mark.parametrize("component", ["watcher", "worker"])
def test_without_rights_in_the_cluster_each_target_grants_the_same(component: str) -> None:
    """An installation that a namespace's owner can make: Roles only, nothing of the cluster."""
    chart = render(CONFINED)
    assert not of_kind(chart, "ClusterRole") + of_kind(chart, "ClusterRoleBinding")
    wanted = {right for right in asked(component) if right[1] not in OF_THE_CLUSTER}
    for namespace in ("shop", "cart"):
        assert rights(chart, component, namespace) == wanted
    assert rights(chart, "matcher", "shop") == set()


@pytest.mark.parametrize(
    ("lacking", "remedy"),
    [
        ({"cluster": ""}, "--set cluster="),
        ({"settings": {"SLUICE_PLATFORM": ""}}, "settings.SLUICE_PLATFORM=linux-amd64"),
        ({"settings": {"OPERATOR_TARGET_NAMESPACES": ""}}, "OPERATOR_TARGET_NAMESPACES"),
        ({"settings": {"OPERATOR_TARGET_NAMESPACES": " , "}}, "OPERATOR_TARGET_NAMESPACES"),
    ],
)
def test_what_only_the_cluster_could_tell_must_be_set(lacking: dict[str, Any], remedy: str) -> None:
    """Found when the chart is rendered, with what to add."""
    settings = {**CONFINED["settings"], **lacking.get("settings", {})}
    with pytest.raises(Exception, match=re.escape(remedy)):
        render({**CONFINED, **lacking, "settings": settings})
