"""The watcher's own metrics: `sluice_watcher_*`, every known series there from the start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from common.model.errors import SluiceError
from common.ops import metrics
from common.ops.refusals import arranged_first, is_refusal
from common.queue.contract import AddResult
from watcher.image_ages import ImageAges
from watcher.stream.catalog import ROWS
from watcher.stream.meter import Trouble
from watcher.stream.signals import Note

_log = structlog.get_logger()

_RESOURCES = tuple(row.resource for row in ROWS)
# What a setting can say in place of a resource that only rights in the whole cluster show.
_INSTEAD = {"nodes": "; or set SLUICE_PLATFORM to what all nodes are, such as linux-amd64"}
_RESULTS = ("new", "duplicate", "dirty", "promoted", "revived", "repaired")


class StreamMetrics:
    """Counts what informers tell. Thread-safe; a `watcher.stream.meter.Meter`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        known = {"resource": _RESOURCES}
        events = metrics.counter(
            registry,
            "sluice_watcher_events_total",
            "Watch events and listed objects received.",
            labels=known,
        )
        size = metrics.counter(
            registry, "sluice_watcher_received_bytes_total", "Bytes received.", labels=known
        )
        # Looking a series up by its labels costs more than counting, and every event counts.
        self._received = {name: (events.labels(name), size.labels(name)) for name in _RESOURCES}
        self._notes = metrics.counter(
            registry,
            "sluice_watcher_stream_notes_total",
            "What was unusual in a stream; `relist`: its version was dropped.",
            labels={**known, "note": tuple(note.value for note in Note)},
        )
        self._fallbacks = metrics.counter(
            registry,
            "sluice_watch_fallbacks_total",
            "Times that a server could not do what was asked for (protobuf, metadata alone, a list "
            "in a watch), so that the next best was used: it pays more for that.",
            labels=known,
        )
        self._failures = metrics.counter(
            registry,
            "sluice_watcher_stream_failures_total",
            "Streams that failed and were opened again after a wait.",
            labels=known,
        )

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Count a piece of a stream, or a page."""
        events_total, bytes_total = self._received[resource]
        events_total.inc(events)
        bytes_total.inc(size_bytes)

    def noted(self, resource: str, note: Note) -> None:
        """Count something unusual."""
        self._notes.labels(resource, note.value).inc()
        if note is Note.FALLBACK:
            self._fallbacks.labels(resource).inc()

    def failing(self, resource: str, trouble: Trouble) -> None:
        """Count a failed try; say what is new, an API server may be away for an hour."""
        self._failures.labels(resource).inc()
        if trouble.is_news:
            said = {} if trouble.error is None else {"error": _advised(resource, trouble.error)}
            wait_s = round(trouble.wait_s, 1)
            _log.warning(
                "stream failed", resource=resource, reason=trouble.reason, wait_s=wait_s, **said
            )


def _advised(resource: str, error: SluiceError) -> str:
    """Return what was said; of a refusal with what somebody must arrange, or could instead."""
    instead = _INSTEAD.get(resource, "") if is_refusal(error) else ""
    return f"{arranged_first(error)}{instead}"


class FeedMetrics:
    """Counts what becomes of changes. One thread counts, any may read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._passed = metrics.counter(
            registry,
            "sluice_watcher_keys_passed_total",
            "Keys that folds and decisions let through.",
        )
        self._suppressed = metrics.counter(
            registry,
            "sluice_watcher_keys_suppressed_total",
            "Keys not sent, because the same row was sent before.",
        )
        self._sent = metrics.counter(
            registry,
            "sluice_watcher_keys_sent_total",
            "Keys sent to the queue, by what became of them.",
            labels={"result": _RESULTS},
        )

    def passed(self, keys: int) -> None:
        """Count keys that the folds and decisions let through."""
        self._passed.inc(keys)

    def sent(self, result: AddResult) -> None:
        """Count what became of keys that were sent."""
        for name in _RESULTS:
            self._sent.labels(name).inc(getattr(result, name))

    def suppressed(self, keys: int) -> None:
        """Count keys whose row was sent before."""
        self._suppressed.inc(keys)


class ElectionMetrics:
    """Counts what happens in the election. Thread-safe; a `watcher.candidate.Meter`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._terms = metrics.counter(
            registry, "sluice_watcher_terms_total", "Times that this watcher won the Lease."
        )
        self._failures = metrics.counter(
            registry,
            "sluice_watcher_lease_failures_total",
            "Requests about the Lease that the API server did not answer, or refused.",
        )

    def won(self) -> None:
        """Count a term that began."""
        self._terms.inc()

    def failed(self) -> None:
        """Count a request that was not answered."""
        self._failures.inc()


class WatchMetrics:
    """How much the watcher knows, and how its sweeps went."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # Of the whole cluster, so whoever composes registers them for a leader alone.
        self.images = ImageAges()
        self._sweeps = metrics.counter(
            registry,
            "sluice_watcher_sweeps_total",
            "Sweeps over everything.",
            labels={"result": ("done", "failed")},
        )
        self._enqueued = metrics.counter(
            registry, "sluice_watcher_sweep_enqueued_total", "Keys that sweeps enqueued."
        )
        self._seconds = metrics.histogram(
            registry, "sluice_watcher_sweep_seconds", "Duration of a sweep that was done."
        )

    def show(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Serve a number that is read when it is asked for."""
        metrics.gauge(self._registry, name, documentation).set_function(read)

    def show_each(self, name: str, documentation: str, read: Callable[[str], float]) -> None:
        """Serve a number for each resource that is read when it is asked for."""
        known = {"resource": _RESOURCES}
        each = metrics.gauge(self._registry, name, documentation, labels=known)
        for resource in _RESOURCES:
            each.labels(resource).set_function(partial(read, resource))

    def sweep_enqueued(self, keys: int) -> None:
        """Count keys that a slice of a sweep enqueued."""
        self._enqueued.inc(keys)

    def swept(self, *, seconds: float) -> None:
        """Count a sweep that was done."""
        self._sweeps.labels("done").inc()
        self._seconds.observe(seconds)

    def sweep_failed(self) -> None:
        """Count a sweep that was given up."""
        self._sweeps.labels("failed").inc()
