"""Reads kube-apiserver's own request counters. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')  # no label of this metric holds a quote


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCount:
    """How many requests of one sort were answered since the API server started."""

    verb: str  # GET, LIST, WATCH, POST, PUT, PATCH, DELETE, APPLY, …
    group: str  # "" is the core group
    resource: str
    subresource: str
    code: str
    count: int


def parse_request_counts(text: str) -> list[RequestCount]:
    """Return the `apiserver_request_total` samples of a Prometheus text exposition."""
    counts = []
    for line in _LINE.finditer(text):
        labels = dict(_LABEL.findall(line["labels"]))
        counts.append(
            RequestCount(
                verb=labels.get("verb", ""),
                group=labels.get("group", ""),
                resource=labels.get("resource", ""),
                subresource=labels.get("subresource", ""),
                code=labels.get("code", ""),
                count=int(float(line["value"])),
            )
        )
    return counts
