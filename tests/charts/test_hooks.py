"""What Helm runs before an upgrade and for `helm test`, and what it may do meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from common.cli.command import parser_of
from common.cli.main import find_command
from common.kube.definitions import VERBS
from common.reports.catalog import CATALOG
from common.settings.parse import parse
from tests.charts.rendered import HOOK, RELEASE, Manifest, Rendered, environment, mounts, render

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 # a path


def hooks(chart: Rendered, component: str) -> dict[str, Any]:
    """Return a hook's objects by kind."""
    return {
        each["kind"]: each
        for each in chart.hooks
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == component
    }


def weight(manifest: Manifest) -> int:
    """Return when Helm makes it, the lowest first."""
    return int(manifest["metadata"]["annotations"]["helm.sh/hook-weight"])


@pytest.mark.parametrize("component", ["crds", "test"])
def test_a_hooks_account_and_rights_are_there_before_its_pod(component: str) -> None:
    """Helm sorts by weight alone; and what is left of the last time must not be in the way."""
    found = hooks(render(), component)
    runs = found.pop("Job", None) or found.pop("Pod")
    assert all(weight(each) < weight(runs) for each in found.values())
    for each in (*found.values(), runs):
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert "before-hook-creation" in policy
    for each in found.values():  # rights do not stay
        assert "hook-succeeded" in each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


@pytest.mark.parametrize("component", ["crds", "test"])
def test_a_hook_runs_a_command_that_exists(component: str) -> None:
    """With our image, which has no shell."""
    chart = render()
    found = hooks(chart, component)
    pod = found["Job"]["spec"]["template"] if component == "crds" else found["Pod"]
    (container,) = pod["spec"]["containers"]
    assert "command" not in container
    assert container["image"] == chart.containers()["watcher"]["image"]
    command = find_command(container["args"][0])
    assert command is not None
    parser_of(container["args"][0], command).parse_args(container["args"][1:])  # else it exits
    assert pod["spec"]["restartPolicy"] == "Never"


def test_definitions_are_brought_up_to_date_before_anything_else_of_an_upgrade() -> None:
    """A worker that writes a field too early would lose it: the API server prunes it."""
    found = hooks(render(), "crds")
    for each in found.values():
        assert each["metadata"]["annotations"][HOOK] == "pre-install,pre-upgrade"
    assert found["Job"]["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "crds",
        "--upgrade",
    ]
    assert found["Job"]["spec"]["activeDeadlineSeconds"] <= 300  # Helm's own patience


def test_who_upgrades_definitions_may_change_those_and_no_other() -> None:
    """By their names; the right to create cannot have one."""
    found = hooks(render(), "crds")
    create, change = found["ClusterRole"]["rules"]
    assert create["verbs"] == ["create"]
    assert set(change["verbs"]) == set(VERBS) - {"create"}
    assert change["resourceNames"] == [row.crd_name for row in CATALOG]
    for rule in (create, change):
        assert rule["resources"] == ["customresourcedefinitions"]
    (subject,) = found["ClusterRoleBinding"]["subjects"]
    assert subject["name"] == found["ServiceAccount"]["metadata"]["name"] == f"{RELEASE}-crds"


@pytest.mark.parametrize(
    "changes",
    [
        {"crds": {"upgrade": False}},
        {"rbac": {"create": False}},
        {
            "cluster": "production",
            "rbac": {"clusterWide": False},
            "settings": {
                "OPERATOR_TARGET_NAMESPACES": "shop",
                "SLUICE_PLATFORM": "linux-amd64",
            },
        },
    ],
)
def test_somebody_else_may_keep_the_definitions(changes: dict[str, Any]) -> None:
    """Who may not grant rights in the whole cluster must still be able to upgrade."""
    assert hooks(render(changes), "crds") == {}


def test_helm_test_waits_for_what_must_run() -> None:
    """It reads Redis with the components' own settings, and knows their key space."""
    chart = render({"hooks": {"testWaitS": 77}})
    (container,) = hooks(chart, "test")["Pod"]["spec"]["containers"]
    assert container["args"] == ["status", "--wait", "77"]
    told, worker = (
        parse(environment(one)).redis for one in (container, chart.containers()["worker"])
    )
    assert told == worker


def test_helm_test_has_no_right_but_the_clusters_identity() -> None:
    """And not even that, nor a token, where the cluster has a name."""
    found = hooks(render(), "test")
    assert found["ClusterRoleBinding"]["roleRef"]["name"] == f"{RELEASE}-identity"
    assert TOKEN in mounts(found["Pod"], "test")
    named = hooks(render({"cluster": "production"}), "test")
    assert set(named) == {"ServiceAccount", "Pod"}
    assert TOKEN not in mounts(named["Pod"], "test")


def test_helm_test_may_reach_redis_and_is_no_target_of_metrics() -> None:
    """The policy knows it by its component."""
    chart = render()
    labels = hooks(chart, "test")["Pod"]["metadata"]["labels"].items()
    (rule,) = chart.one("NetworkPolicy", "redis")["spec"]["ingress"]
    peers = [each["podSelector"]["matchLabels"] for each in rule["from"]]
    assert any(each.items() <= labels for each in peers)
    assert not chart.one("Service", "metrics")["spec"]["selector"].items() <= labels


def test_hooks_can_be_placed_and_kept_out_of_a_mesh() -> None:
    """A sidecar that never ends would keep a Job from ending."""
    chart = render(
        {
            "hooks": {
                "podAnnotations": {"sidecar.istio.io/inject": "false"},
                "tolerations": [{"operator": "Exists"}],
            }
        }
    )
    for component, kind in (("crds", "Job"), ("test", "Pod")):
        found = hooks(chart, component)[kind]
        pod = found["spec"]["template"] if kind == "Job" else found
        assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert HOOK in hooks(chart, "test")["Pod"]["metadata"]["annotations"]
