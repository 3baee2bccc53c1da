"""One `/metrics` and one `/readyz` for several children: asked over loopback, merged.

Series get a label `process`, so that equal series of two workers stay two. trivy-operator's own
names (`trivy_…`) come from one child only and keep exactly their labels.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_TIMEOUT_S = 2.0  # a child that is slower counts as down for this scrape
_UNLABELLED = "trivy_"
_DOWN = "does not answer"


class Gathering(Collector):
    """Collects the metrics of children, by name of the child and URL of its page."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)

    def collect(self) -> Iterable[Metric]:
        """Yield every family once, with the samples of all children, and who answered."""
        answered = GaugeMetricFamily(
            "sluice_process_up", "Whether a child answered this scrape.", labels=["process"]
        )
        pages: dict[str, list[Metric]] = {}
        for name, url in self._urls.items():
            page = families(fetch(url) or "")
            answered.add_metric([name], 1.0 if page else 0.0)
            if page:
                pages[name] = page
        yield answered
        yield from merged(pages)

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand: what children serve is known when they are asked."""
        return ()


def families(text: str) -> list[Metric]:
    """Return a page's families; none if it is no page of metrics. Pure.

    Somebody else may have got a dead child's port.
    """
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:
        return []


def merged(pages: Mapping[str, Iterable[Metric]]) -> list[Metric]:
    """Return the families of all pages, samples labelled by the page's name. Pure."""
    together: dict[str, Metric] = {}
    for process, page in pages.items():
        for family in page:
            known = together.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            extra = {} if family.name.startswith(_UNLABELLED) else {"process": process}
            known.samples.extend(
                sample._replace(labels={**sample.labels, **extra}) for sample in family.samples
            )
    return list(together.values())


def gathered_registry(urls: Mapping[str, str]) -> CollectorRegistry:
    """Return a registry that shows the children's metrics."""
    registry = CollectorRegistry()
    registry.register(Gathering(urls))
    return registry


def readiness(urls: Mapping[str, str]) -> dict[str, Callable[[], str]]:
    """Return one check per child: empty if its page answers with success."""

    def check(url: str) -> Callable[[], str]:
        return lambda: "" if fetch(url) is not None else _DOWN

    return {name: check(url) for name, url in urls.items()}


def fetch(url: str) -> str | None:
    """Return the page's text; None unless it answers with success in time."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 # loopback HTTP of our own children
            body: bytes = answer.read()
    except urllib.error.HTTPError as exc:
        exc.close()
        return None
    except OSError:
        return None
    return body.decode(errors="replace")
