"""Values of trivy-operator's chart under `serviceMonitor`. Pure data."""

from __future__ import annotations

from collections.abc import Callable

from common.migration.convert import each, mapping, objects, strings, text_of
from common.migration.fates import ByHand, Given, Left, Made, NotYet, Row, ToValues
from common.migration.shapes import flag, later
from common.settings.formats import DURATION

_OURS = "monitoring.serviceMonitor"
_TIMEOUT_S = 10  # our default: a longer one than the interval is refused by the Prometheus Operator
_LISTS = ("relabelings", "metricRelabelings")
_NOT_YET = NotYet(instead="the endpoint has interval, honorLabels and relabelings alone")
_ELSEWHERE = ByHand(what="it is made in the release's namespace; let Prometheus look there")


def _interval(value: object, given: Given) -> Made:
    del given
    seconds = int(DURATION.read(text_of(value)))
    if seconds < 1:
        raise ValueError("is less than a second")
    values: dict[str, object] = {f"{_OURS}.intervalS": seconds}
    if seconds < _TIMEOUT_S:
        values[f"{_OURS}.timeoutS"] = seconds
    return Made(values=values)


def _endpoint(value: object, given: Given) -> Made:
    del given
    given_there = mapping(value)
    values: dict[str, object] = {
        f"{_OURS}.{name}": objects(given_there[name]) for name in _LISTS if name in given_there
    }
    left: list[tuple[str, Left]] = [
        (f".{name}", _NOT_YET) for name in given_there if name not in _LISTS
    ]
    return Made(values=values, left=tuple(left))


def _row(name: str, default: object, shape: Callable[[object], object]) -> Row:
    path = f"{_OURS}.{name}"
    return Row(
        key=f"serviceMonitor.{name}",
        default=default,
        fate=ToValues(targets=(path,), convert=each(shape, path)),
    )


SERVICE_MONITOR: tuple[Row, ...] = (
    _row("enabled", False, flag),
    Row(key="serviceMonitor.namespace", default=None, fate=_ELSEWHERE),
    Row(
        key="serviceMonitor.interval",
        default=None,
        fate=ToValues(targets=(f"{_OURS}.intervalS", f"{_OURS}.timeoutS"), convert=_interval),
    ),
    later("serviceMonitor.annotations", {}, "the ServiceMonitor has none but commonAnnotations"),
    _row("labels", {}, strings),
    _row("honorLabels", True, flag),
    Row(
        key="serviceMonitor.endpointAdditionalProperties",
        default={},
        fate=ToValues(
            targets=tuple(f"{_OURS}.{name}" for name in _LISTS),
            convert=_endpoint,
            words="of the rest nothing",
        ),
    ),
)
