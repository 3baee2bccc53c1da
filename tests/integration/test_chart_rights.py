"""The chart's rights on a real API server: enough for each component, and nothing beyond."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli.checks.access import RULES, check_access, check_configmaps
from common.kube.cluster import Cluster
from common.kube.configmaps import ConfigMaps
from common.kube.errors import DeniedError
from common.kube.lease import Lease, lease_place
from common.model.errors import PreconditionError
from common.model.finding import Good, Notice
from common.model.lease import LeaseRecord
from common.settings.operator_keys import MAPS
from sandbox.controlplane import ControlPlane
from tests.charts.release import (
    RESTRICTED,
    Release,
    apply,
    bare_pods,
    installed,
    lacking,
)
from tests.charts.rendered import SCENARIOS, Rendered, render, values
from tests.waiting import eventually
from watcher.preflight import check_lease

pytestmark = pytest.mark.integration

NEEDED = [
    (rule.component, rule.group, resource, verb, rule.elects)
    for rule in RULES
    if not rule.names
    for resource in rule.resources
    for verb in rule.verbs
]


@pytest.fixture(scope="module")
def release(
    controlplane: ControlPlane, programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Give the chart with its defaults, applied."""
    folder = tmp_path_factory.mktemp("tokens")
    with installed(programs["kubectl"], controlplane, folder) as one:
        yield one


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object(
    scenario: Path, controlplane: ControlPlane, programs: dict[str, Path], namespace: str
) -> None:
    """Strictly: a misspelt field is dropped silently otherwise."""
    chart = render(values(scenario), namespace=namespace)
    apply(programs["kubectl"], controlplane, chart, "--dry-run=server")
    hooked = [each for each in chart.hooks if each["kind"] != "Pod"]  # which needs its account
    hooks = Rendered(files={}, manifests=hooked, namespace=namespace)
    apply(programs["kubectl"], controlplane, hooks, "--dry-run=server")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_restricted_standard_admits_the_pods_of_every_scenario(
    scenario: Path, controlplane: ControlPlane, programs: dict[str, Path]
) -> None:
    """A controller's Pods are refused later, when nobody looks: here each is sent by itself."""
    namespace = f"test-{secrets.token_hex(4)}"
    chart = render(values(scenario), namespace=namespace)
    controlplane.create_namespace(namespace, RESTRICTED)
    try:
        apply(programs["kubectl"], controlplane, bare_pods(chart), "--dry-run=server")
    finally:
        controlplane.api.delete(f"/api/v1/namespaces/{namespace}")


def test_the_restricted_standard_admits_every_pod(release: Release) -> None:
    """Controllers make the Pods and admission checks them: two workers, one of the others."""

    def made() -> list[str]:
        path = f"/api/v1/namespaces/{release.namespace}/pods"
        return sorted(
            pod["metadata"]["labels"]["app.kubernetes.io/component"]
            for pod in release.controlplane.api.get(path)["items"]
        )

    assert eventually(lambda: len(made()) >= 5), made()
    assert made() == ["matcher", "redis", "watcher", "worker", "worker"]


@pytest.mark.parametrize("component", ["watcher", "worker"])
def test_the_doctor_finds_no_fault_with_a_components_own_token(
    release: Release, component: str
) -> None:
    """The doctor knows what each component asks for; its account must have all of it."""
    with release.session(component) as session:
        lease = lease_place(release.namespace, "")
        found = list(check_access(Cluster(session).can_i, targets=(), lease=lease))
    mine = [each for each in found if each.topic.endswith(component)]
    assert mine
    assert all(isinstance(each, Good) for each in mine), mine


@pytest.mark.parametrize(
    ("component", "group", "resource", "verb", "elects"),
    NEEDED,
    ids=lambda value: "" if isinstance(value, bool) else value or "core",
)
def test_no_right_can_be_left_out(
    release: Release, component: str, group: str, resource: str, verb: str, *, elects: bool
) -> None:
    """Taken from the role, it is refused, and the doctor names exactly what is missing."""
    lease = lease_place(release.namespace, "")
    namespace, name = (lease.namespace, lease.name) if elects else ("", "")
    with release.session(component) as session:
        cluster = Cluster(session)

        def can() -> bool:
            return cluster.can_i(verb, group, resource, namespace, name=name)

        def said() -> list[str]:
            """Ask the server about this right and take the others for given."""
            this = (verb, group, resource)
            found = check_access(
                lambda v, g, r, _, **_names: can() if (v, g, r) == this else True,
                targets=(),
                lease=lease,
            )
            return [each.said for each in found if not isinstance(each, Good)]

        assert eventually(can)
        role = "election" if elects else component
        with release.without(role, group, resource, verb, namespace=namespace):
            assert eventually(lambda: not can())
            assert any(f"may not {verb} {resource}" in each for each in said())
        assert eventually(can)


@pytest.mark.parametrize("component", ["watcher", "worker", "matcher"])
def test_every_component_can_tell_which_cluster_it_is_in(release: Release, component: str) -> None:
    """They meet in Redis under the uid of kube-system: three times the same."""
    with release.session(component) as session:
        found = Cluster(session).kube_system_uid()
    admin = release.controlplane.api.get("/api/v1/namespaces/kube-system")
    assert found == admin["metadata"]["uid"]


@pytest.mark.parametrize(
    ("component", "verb", "resource"),
    [
        ("watcher", "get", "secrets"),
        ("watcher", "list", "secrets"),
        ("watcher", "watch", "secrets"),
        ("watcher", "get", "configmaps"),
        ("watcher", "get", "namespaces"),
        ("watcher", "create", "pods"),
        ("worker", "list", "secrets"),
        ("worker", "watch", "secrets"),
        ("worker", "list", "pods"),
        ("worker", "create", "serviceaccounts/token"),
        ("worker", "list", "events"),
        ("matcher", "get", "secrets"),
        ("matcher", "list", "pods"),
        ("matcher", "create", "events"),
    ],
)
def test_a_component_is_refused_what_is_not_its_business(
    release: Release, component: str, verb: str, resource: str
) -> None:
    """Law 9, asked of the API server itself."""
    with release.session(component) as session:
        assert not Cluster(session).can_i(verb, "", resource)


def test_the_watchers_right_ends_at_its_own_lease(release: Release) -> None:
    """Its namespace may hold other products' Leases, and kubelets keep theirs elsewhere."""
    group = "coordination.k8s.io"
    with release.session("watcher") as session:
        cluster = Cluster(session)
        for verb in ("get", "patch"):
            assert not cluster.can_i(verb, group, "leases", release.namespace, name="other")
        for verb in ("list", "watch", "update", "delete"):
            assert not cluster.can_i(verb, group, "leases", release.namespace, name="kube-sluice")
        assert not cluster.can_i("create", group, "leases", "kube-node-lease")
    with release.session("worker") as session:
        for verb in ("get", "create", "patch"):
            assert not Cluster(session).can_i(verb, group, "leases", release.namespace)


def test_a_watcher_holds_its_lease_with_its_own_token(release: Release) -> None:
    """And is told, before anything else, which right it lacks."""
    place = lease_place(release.namespace, "")
    with release.session("watcher") as session:
        check_lease(Cluster(session), place)
        lease = Lease(session, place, request_s=10)
        made = lease.create(LeaseRecord(holder="a", duration_s=15))
        assert lease.replace(made, acquired=False).holder == "a"
    with (
        release.session("worker") as session,
        pytest.raises(PreconditionError, match=r"may not get, create, patch the Lease .*Role"),
    ):
        check_lease(Cluster(session), place)


def test_the_watcher_reads_trivy_operators_config_maps_and_no_other(release: Release) -> None:
    """By name, in its own namespace; the doctor names those that it may not read."""
    with release.session("watcher") as session:
        maps = ConfigMaps(session, release.namespace)
        assert maps.read(MAPS) == {}
        with pytest.raises(DeniedError):
            maps.read(["kube-root-ca.crt"])
        with pytest.raises(DeniedError):
            ConfigMaps(session, "default").read(MAPS)
        can_i = Cluster(session).can_i
        assert [type(each) for each in check_configmaps(can_i, release.namespace)] == [Good]
        assert [type(each) for each in check_configmaps(can_i, "default")] == [Notice]
    for other in ("worker", "matcher"):
        with release.session(other) as session, pytest.raises(DeniedError):
            ConfigMaps(session, release.namespace).read(MAPS)


def test_the_watcher_writes_no_report_and_the_worker_lists_none(release: Release) -> None:
    """One sees all and writes nothing, the other writes by name what it was told to."""
    group, reports = "aquasecurity.github.io", "vulnerabilityreports"
    with release.session("watcher") as session:
        for verb in ("create", "update", "patch", "delete", "deletecollection"):
            assert not Cluster(session).can_i(verb, group, reports)
    with release.session("worker") as session:
        for verb in ("list", "watch", "deletecollection"):
            assert not Cluster(session).can_i(verb, group, reports)


def test_lacking_takes_one_right_and_leaves_the_rest() -> None:
    """Else the tests above would prove too much."""
    rules = [{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["list", "watch"]}]
    assert lacking(rules, "", "pods", "list") == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
    ]
    assert lacking([{**rules[0], "verbs": ["get"]}], "", "pods", "get") == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
    ]
