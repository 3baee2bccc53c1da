"""Metrics: every known series is there from the start."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from common.ops.metrics import counter, gauge, histogram, new_registry


def shown(registry: CollectorRegistry) -> str:
    """Return the registry as Prometheus reads it."""
    return generate_latest(registry).decode()


def test_a_counters_known_series_start_at_zero() -> None:
    """`rate()` misses the first increment of a series that did not exist before it."""
    registry = CollectorRegistry()
    counter(
        registry, "sluice_runs", "Runs.", labels={"pool": ("scan", "reconcile"), "ok": ("0", "1")}
    )
    for pool in ("scan", "reconcile"):
        for ok in ("0", "1"):
            assert f'sluice_runs_total{{ok="{ok}",pool="{pool}"}} 0.0' in shown(registry)


def test_a_metric_without_labels_starts_at_zero_too() -> None:
    """The simplest series is the most often forgotten."""
    registry = CollectorRegistry()
    counter(registry, "sluice_sweeps", "Sweeps.")
    gauge(registry, "sluice_depth", "Depth.")
    histogram(registry, "sluice_seconds", "Seconds.")
    assert "sluice_sweeps_total 0.0" in shown(registry)
    assert "sluice_depth 0.0" in shown(registry)
    assert "sluice_seconds_count 0.0" in shown(registry)


def test_labels_without_known_values_appear_when_they_are_used() -> None:
    """Registries' names cannot be known beforehand."""
    registry = CollectorRegistry()
    made = gauge(registry, "sluice_circuit", "Circuit.", labels={"registry": ()})
    histogram(registry, "sluice_pull_seconds", "Pull.", labels={"registry": ()}, buckets=(1.0,))
    assert "sluice_circuit{" not in shown(registry)
    made.labels("docker.io").set(1)
    assert 'sluice_circuit{registry="docker.io"} 1.0' in shown(registry)


def test_a_registry_says_what_runs() -> None:
    """During a rollout the question is which version a number came from."""
    text = shown(new_registry(component="watcher", version="1.2.3"))
    assert 'component="watcher"' in text
    assert 'version="1.2.3"' in text
    assert "process_resident_memory_bytes" in text


def test_registries_do_not_share_metrics() -> None:
    """`sluice run` and the tests make several in one process."""
    for _ in range(2):
        counter(new_registry(component="worker", version="1"), "sluice_runs", "Runs.")
