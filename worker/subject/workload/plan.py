"""Decides which reports a workload gets now, and how its run ends. Pure, total."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from common.model.errors import SluiceError
from common.model.image import ImageRecord
from common.model.key import ImageKey
from common.model.workload import Container

VULNERABILITY = "VulnerabilityReport"
SECRET = "ExposedSecretReport"  # noqa: S105 # a report kind, not a password
SBOM = "SbomReport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """At least the primary image of the container has a record; `images` holds the known ones."""

    container: Container
    images: tuple[tuple[ImageKey, ImageRecord], ...]
    homes: tuple[ImageKey, ...]  # where the records stand, which may be under other digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The image failed and its own key retries it: its success will wake this workload."""

    container: Container
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """The reference could not be resolved: no image key exists, so this workload must retry."""

    container: Container
    error: SluiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The image is being worked on; this workload is registered as its waiter."""

    container: Container
    on: ImageKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Young:
    """The kubelet has not told the digest yet; look again in `delay_s`."""

    container: Container
    delay_s: float


Evidence: TypeAlias = Known | Broken | Unresolved | Pending | Young


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One report to make true from these images, the primary's first."""

    kind: str
    container: Container
    images: tuple[tuple[ImageKey, ImageRecord], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Converge:
    """Every container has its reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergePartly:
    """All that can be told is told; the broken image's own key brings this workload back."""

    container: str
    image: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """An image will wake this workload."""

    on: ImageKey


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """Nothing will wake this workload for certain: look again later."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """This workload itself must retry."""

    container: str
    image: str
    error: SluiceError


End: TypeAlias = Converge | ConvergePartly | WaitFor | LookAgain | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The reports to make true now, then how the run ends."""

    reports: tuple[Wanted, ...]
    end: End


def plan(evidence: Iterable[Evidence], *, kinds: Collection[str]) -> Plan:
    """Choose the reports that can be true now and the run's end.

    One container's fault never holds up another's reports. Among the ends the one that brings the
    workload back for certain and soonest wins: a retry of its own, then a look later, then an
    image that wakes it.
    """
    seen = tuple(evidence)
    reports = tuple(
        wanted for item in seen if isinstance(item, Known) for wanted in _reports_of(item, kinds)
    )
    return Plan(reports=reports, end=_end(seen))


def _reports_of(known: Known, kinds: Collection[str]) -> tuple[Wanted, ...]:
    """Want an SBOM only where packages were found: an empty one would read "nothing inside"."""
    return tuple(
        Wanted(kind=kind, container=known.container, images=known.images)
        for kind in (VULNERABILITY, SECRET, SBOM)
        if kind in kinds and (kind != SBOM or _has_packages(known))
    )


def _has_packages(known: Known) -> bool:
    return any(
        record.inventory is not None and record.inventory.has_packages for _, record in known.images
    )


def _end(seen: tuple[Evidence, ...]) -> End:
    ends = [end for item in seen if (end := _end_of(item)) is not None]
    if not ends:
        return Converge()
    return min(ends, key=_rank)


def _end_of(item: Evidence) -> End | None:
    match item:
        case Known():
            return None
        case Unresolved(container=container, error=error):
            return Fail(container=container.name, image=container.image, error=error)
        case Young(delay_s=delay_s):
            return LookAgain(delay_s=delay_s)
        case Pending(on=on):
            return WaitFor(on=on)
        case Broken(container=container, reason=reason, message=message):
            return ConvergePartly(
                container=container.name, image=container.image, reason=reason, message=message
            )
        case _:
            assert_never(item)


def _rank(end: End) -> tuple[int, float]:
    """Order of ends; the smaller wins, among looks the earlier."""
    match end:
        case Fail():
            return (0, 0.0)
        case LookAgain(delay_s=delay_s):
            return (1, delay_s)
        case WaitFor():
            return (2, 0.0)
        case ConvergePartly():
            return (3, 0.0)
        case Converge():
            return (4, 0.0)
        case _:
            assert_never(end)


def obsolete(
    before: Iterable[str], *, true_now: Collection[str], kinds: Collection[str]
) -> tuple[str, ...]:
    """Return the reports (`Kind/namespace/name`) that the workload had and needs no more.

    Only of kinds that are switched on: switching one off leaves its reports to the user.
    To be called after a run that converged; a run that did not may still need every old report.
    """
    return tuple(
        sorted(
            report
            for report in before
            if report not in true_now and report.partition("/")[0] in kinds
        )
    )
