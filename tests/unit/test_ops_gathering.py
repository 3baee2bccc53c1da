"""Several children's metrics as one page."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from common.ops.gathering import Gathering, families, gathered_registry, merged, readiness
from common.ops.probes import Page, ProbeServer, health_route


def page(value: float) -> str:
    """Return what one child serves."""
    registry = CollectorRegistry()
    Counter("sluice_runs", "Runs.", ["pool"], registry=registry).labels("scan").inc(value)
    Histogram("sluice_seconds", "Seconds.", buckets=(1.0,), registry=registry).observe(value)
    Gauge("trivy_image_vulnerabilities", "Found.", ["name"], registry=registry).labels("a").set(7)
    return generate_latest(registry).decode()


class Shown(Collector):
    """Families, as a registry shows them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._families


def shown(pages: dict[str, str]) -> str:
    """Return the merged page."""
    registry = CollectorRegistry()
    registry.register(Shown(merged({name: families(text) for name, text in pages.items()})))
    return generate_latest(registry).decode()


def test_equal_series_of_two_children_stay_two() -> None:
    """Summed or overwritten, a worker that stands still could not be told from one that works."""
    text = shown({"worker-1": page(1), "worker-2": page(2)})
    assert 'sluice_runs_total{pool="scan",process="worker-1"} 1.0' in text
    assert 'sluice_runs_total{pool="scan",process="worker-2"} 2.0' in text
    assert 'sluice_seconds_bucket{le="1.0",process="worker-1"} 1.0' in text


def test_trivy_operators_names_keep_exactly_their_labels() -> None:
    """Dashboards and alerts of trivy-operator must fit without a change."""
    text = shown({"watcher": page(1)})
    assert 'trivy_image_vulnerabilities{name="a"} 7.0' in text


def test_a_family_has_one_head_however_many_children_serve_it() -> None:
    """A second TYPE line makes Prometheus refuse the whole page."""
    text = shown({"a": page(1), "b": page(2)})
    assert text.count("# TYPE sluice_runs_total ") == 1
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names))


def test_a_child_that_does_not_answer_is_seen_and_hides_nobody() -> None:
    """Its absence is the news."""
    registry = gathered_registry({"gone": "http://127.0.0.1:1/metrics"})
    assert 'sluice_process_up{process="gone"} 0.0' in generate_latest(registry).decode()


def test_asking_is_put_off_until_somebody_scrapes() -> None:
    """Children are not up when the page is registered."""
    assert list(Gathering({"later": "http://127.0.0.1:1/metrics"}).describe()) == []


@pytest.mark.parametrize("body", [b"ok\n", b"<html>", b"\xff\xfe", b""])
def test_a_page_of_somebody_else_counts_as_down_and_hides_nobody(body: bytes) -> None:
    """A dead child's port may be taken by anything before the supervisor starts it again."""
    pages = {"/metrics": lambda: Page(body=page(3.0).encode())}
    with (
        ProbeServer("127.0.0.1", 0, pages) as good,
        ProbeServer("127.0.0.1", 0, {"/metrics": lambda: Page(body=body)}) as other,
    ):
        urls = {"good": good.port, "other": other.port}
        registry = gathered_registry(
            {name: f"http://127.0.0.1:{port}/metrics" for name, port in urls.items()}
        )
        text = generate_latest(registry).decode()
    assert 'sluice_process_up{process="good"} 1.0' in text
    assert 'sluice_process_up{process="other"} 0.0' in text
    assert 'sluice_runs_total{pool="scan",process="good"} 3.0' in text


def test_a_child_that_is_not_ready_is_told_from_one_that_is() -> None:
    """503 is an answer and yet no success."""
    checks = {"loop": lambda: "stuck"}
    with ProbeServer(
        "127.0.0.1", 0, {"/up": health_route({}), "/stuck": health_route(checks)}
    ) as server:
        urls = {name: f"http://127.0.0.1:{server.port}/{name}" for name in ("up", "stuck", "none")}
        found = {name: check() for name, check in readiness(urls).items()}
    assert found["up"] == ""
    assert found["stuck"] == found["none"] == "does not answer"
