"""NetworkPolicies: who may connect to what, as the API would enforce it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.rendered import Manifest, Rendered, render

OURS = ("watcher", "worker", "matcher")
STRANGER = {"app.kubernetes.io/name": "web", "app.kubernetes.io/component": "worker"}
EGRESS: dict[str, Any] = {"networkPolicy": {"egress": {"enabled": True}}}


def policy(chart: Rendered, component: str) -> Any:
    """Return the policy that selects a component's Pods: exactly one."""
    labels = chart.pods()[component]["metadata"]["labels"]
    (found,) = (
        each["spec"]
        for each in chart.manifests
        if each["kind"] == "NetworkPolicy" and selects(each["spec"]["podSelector"], labels)
    )
    return found


def selects(selector: Manifest, labels: Manifest) -> bool:
    """Say whether a selector that has labels only selects a Pod with these."""
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def lets_in(chart: Rendered, component: str, port: str, labels: Manifest) -> bool:
    """Say whether a Pod of the same namespace with these labels may connect to a named port."""
    named = {each["name"] for each in chart.containers()[component]["ports"]}
    assert port in named
    return any(
        {"port": port} in rule["ports"]
        and (
            "from" not in rule or any(selects(peer["podSelector"], labels) for peer in rule["from"])
        )
        for rule in policy(chart, component)["ingress"]
    )


def test_every_component_has_one_policy_for_what_comes_in() -> None:
    """One that is not selected is open to everybody."""
    chart = render()
    for component in chart.pods():
        assert "Ingress" in policy(chart, component)["policyTypes"]


def test_every_rule_names_its_ports() -> None:
    """One without ports opens all of them, those of a debugger too."""
    chart = render({"networkPolicy": {"statusPageFrom": [{"podSelector": {}}]}})
    for component in chart.pods():
        assert all(rule["ports"] for rule in policy(chart, component)["ingress"])


def test_only_workers_reach_the_match_server() -> None:
    """Whoever may store layers there could hide findings from the whole cluster."""
    chart = render()
    let_in = [
        name
        for name, pod in chart.pods().items()
        if lets_in(chart, "matcher", "match", pod["metadata"]["labels"])
    ]
    assert let_in == ["worker"]
    assert not lets_in(chart, "matcher", "match", STRANGER)


def test_only_this_releases_components_reach_redis() -> None:
    """The scanner is in a worker's Pod, which a policy cannot tell apart; it has no password."""
    chart = render()
    let_in = {
        name
        for name, pod in chart.pods().items()
        if lets_in(chart, "redis", "redis", pod["metadata"]["labels"])
    }
    assert let_in == set(OURS)
    assert not lets_in(chart, "redis", "redis", STRANGER)
    other = render(name="another").pods()["worker"]["metadata"]["labels"]
    assert not lets_in(chart, "redis", "redis", other)


def test_the_charts_redis_connects_to_nobody() -> None:
    """Whoever breaks into it gets no further; it follows no other server."""
    spec = policy(render(), "redis")
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec


@pytest.mark.parametrize("component", OURS)
def test_probes_pass_and_metrics_are_for_whom_the_values_say(component: str) -> None:
    """A kubelet is no Pod, so no selector would let it in."""
    chart = render()
    assert lets_in(chart, component, "health", STRANGER)
    assert lets_in(chart, component, "metrics", STRANGER)
    peers = [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    closed = render({"networkPolicy": {"metricsFrom": peers}})
    assert lets_in(closed, component, "health", STRANGER)
    assert not lets_in(closed, component, "metrics", STRANGER)
    assert lets_in(closed, component, "metrics", {"app": "prometheus"})


def test_the_status_page_is_for_nobody_until_somebody_is_named() -> None:
    """It shows what is vulnerable; a port-forward reaches it in any case."""
    assert not lets_in(render(), "watcher", "status", STRANGER)
    chart = render({"networkPolicy": {"statusPageFrom": [{"podSelector": {"matchLabels": {}}}]}})
    assert lets_in(chart, "watcher", "status", STRANGER)


def test_nobody_is_bounded_in_what_goes_out_unless_it_is_asked_for() -> None:
    """A port that is missing would stop scans, and the chart cannot know it."""
    for component in OURS:
        assert policy(render(), component)["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize("component", OURS)
def test_what_goes_out_is_names_redis_the_matcher_and_the_ports_that_are_said(
    component: str,
) -> None:
    """All of a component's own connections; the matcher is for workers alone."""
    chart = render(EGRESS)
    names, outside, *inside = policy(chart, component)["egress"]
    assert {each["protocol"] for each in names["ports"]} == {"UDP", "TCP"}
    assert outside == {"ports": [{"port": 443}, {"port": 6443}]}
    reached = {
        (name, rule["ports"][0]["port"])
        for rule in inside
        for name, pod in chart.pods().items()
        if selects(rule["to"][0]["podSelector"], pod["metadata"]["labels"])
    }
    wanted = {("redis", "redis")} | ({("matcher", "match")} if component == "worker" else set())
    assert reached == wanted


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("redis://cache", {6379}),
        ("rediss://user@cache:6380/0", {6380}),
        ("redis+sentinel://a:26379,b:26379,c:26380/main/0", {26379, 26380, 6379}),
    ],
)
def test_a_redis_of_yours_is_reached_at_the_ports_of_its_url(url: str, ports: set[int]) -> None:
    """Behind Sentinels the servers' own port is told by nobody before."""
    chart = render({**EGRESS, "redis": {"url": url}})
    outside = policy(chart, "worker")["egress"][1]
    assert {each["port"] for each in outside["ports"]} == {443, 6443, *ports}


def test_no_ports_are_none_and_not_all() -> None:
    """A rule without ports opens every one of them."""
    egress = {"enabled": True, "ports": []}
    chart = render({"networkPolicy": {"egress": egress}})
    for component in ("watcher", "worker", "matcher"):
        rules = chart.one("NetworkPolicy", component)["spec"]["egress"]
        assert all(rule["ports"] for rule in rules)


def test_rules_of_ones_own_are_added_to_all_three() -> None:
    """What the chart cannot say: one namespace, one address."""
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}
    chart = render({"networkPolicy": {"egress": {"enabled": True, "more": [rule]}}})
    for component in OURS:
        assert policy(chart, component)["egress"][-1] == rule


def test_policies_can_be_left_to_somebody_else() -> None:
    """Some clusters have their own for every namespace."""
    chart = render({"networkPolicy": {"enabled": False}})
    assert "NetworkPolicy" not in {each["kind"] for each in chart.manifests}
