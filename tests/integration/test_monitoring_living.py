"""Dashboard and alerts against a real Prometheus that scrapes the real product at work."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from common.model.errors import PreconditionError
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.prometheus import Prometheus, programs
from tests.charts.rendered import render
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living
from tests.monitoring import ALL_ON, TARGET, expressions, selectors

pytestmark = pytest.mark.integration

SWEEP_S = "10"  # images are told after a whole sweep
# Series that exist only while something is wrong, and queries that show what is not 0 or not well.
ONLY_IN_TROUBLE = {"sluice_circuit_state"}
EMPTY_WHEN_HEALTHY = {
    "Queue/Retries and parked runs/A",
    "Queue/Retries and parked runs/B",
    "Sources/Sources in trouble/A",
    "Watch/Streams/B",
    "Watch/Streams/C",
    "Work/Failures/A",
    # This Redis has no limit of its memory.
    "Resources/Redis' memory/B",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The product at work, and a Prometheus that scrapes it."""

    product: Living
    prometheus: Prometheus
    page: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Give both, once the product has done something of everything."""
    rules = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rule = render(ALL_ON).one("PrometheusRule", "alerts")
    rules.write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    try:
        with Place() as place, Stack() as stack, living(SLUICE_SWEEP_INTERVAL_S=SWEEP_S) as one:
            here = one.namespace()
            one.deploy(here, "web", one.image("alpine-app"), one.image("secrets"))
            eventually(one.product.pages)
            url = one.product.metrics_url()
            prometheus = Prometheus(
                place,
                stack,
                jobs={TARGET["job"]: [urlsplit(url).netloc]},
                labels={"namespace": TARGET["namespace"]},
                rules=[rules],
            ).start()
            one.await_report(here)
            eventually(lambda: one.reports(here, "ExposedSecretReport"))
            # A whole sweep has seen the images.
            eventually(lambda: prometheus.query("sluice_image_verified_age_seconds"))
            yield Watched(product=one, prometheus=prometheus, page=url)
    except PreconditionError as error:
        lacking(error)


def test_every_metric_that_dashboard_and_alerts_read_has_series(watched: Watched) -> None:
    """With the labels that they ask for: an alert that is silent must be so because all is well."""
    missing = {
        one.text
        for _, expr in expressions()
        for one in selectors(expr)
        if one.metric not in ONLY_IN_TROUBLE and not watched.prometheus.query(one.text)
    }
    assert missing == set()


def test_every_panel_shows_something(watched: Watched) -> None:
    """Labels that do not match each other empty a panel as a wrong name does."""
    empty = {
        name for name, expr in expressions() if "/" in name and not watched.prometheus.query(expr)
    }
    assert empty <= EMPTY_WHEN_HEALTHY


def test_no_alert_is_raised_by_a_healthy_installation(watched: Watched) -> None:
    """An alert that is always there is one that nobody reads."""
    assert raised(watched) == set()


def test_an_alert_is_raised_and_reads_as_a_person_needs_it(watched: Watched) -> None:
    """The real rule, the real numbers, the real words."""
    watched.product.product.sluice("queue", "pause")
    try:
        (alert,) = eventually(
            lambda: [
                one
                for one in watched.prometheus.alerts()
                if one["labels"]["alertname"] == "KubeSluicePaused"
            ]
        )
        assert alert["state"] == "pending"
        assert "sluice queue resume" in alert["annotations"]["description"]
    finally:
        watched.product.product.sluice("queue", "resume")


def test_promtool_finds_nothing_wrong_with_the_page(watched: Watched) -> None:
    """Names, units, types and help, by Prometheus' own rules."""
    with urllib.request.urlopen(watched.page, timeout=10) as answer:  # noqa: S310 # loopback HTTP
        page = answer.read()
    promtool: Path = programs(say=lambda _text: None)["promtool"]
    done = subprocess.run(
        [str(promtool), "check", "metrics"], input=page, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_loss_of_redis_is_told_by_its_own_alert(watched: Watched) -> None:
    """Whoever is woken by five alerts looks at the wrong one first."""
    watched.product.world.valkey.stop()
    try:
        eventually(lambda: "KubeSluiceRedisDown" in raised(watched))
        # Without a Redis nobody may lead, which is no news then.
        leads = "sum(sluice_watcher_leader) == 0"
        eventually(lambda: watched.prometheus.query(leads))
        assert raised(watched) == {"KubeSluiceRedisDown"}
    finally:
        watched.product.world.valkey.restart()
    eventually(lambda: not raised(watched))


def raised(watched: Watched) -> set[str]:
    """Return the names of alerts that are pending or firing."""
    return {one["labels"]["alertname"] for one in watched.prometheus.alerts()}
