"""Judges what the demo measured: the laws in numbers. Pure.

Two books are kept. The product's own counters are folds of its ledger; the outside's are the
registry's access log and the API server's request metrics. They must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the product says it did in one phase: numbers of facts."""

    inventories: int = 0
    matches: int = 0
    writes: int = 0
    enqueued: int = 0

    def __sub__(self, before: Work) -> Work:
        return Work(
            **{
                one.name: getattr(self, one.name) - getattr(before, one.name)
                for one in fields(Work)
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What others saw of it in the same phase."""

    registry_requests: int = 0  # to image repositories, kubelets left out
    report_writes: int = 0  # POST, PUT, PATCH and DELETE of reports at the API server

    def __sub__(self, before: Seen) -> Seen:
        return Seen(
            registry_requests=self.registry_requests - before.registry_requests,
            report_writes=self.report_writes - before.report_writes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase in both books."""

    work: Work = field(default_factory=Work)
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that the demo measured."""

    workloads: int
    containers: int
    distinct_images: int  # digest and platform, as the images were pushed
    pulls_per_image: Mapping[str, int]  # digest -> how often its configuration was pulled
    reports: Mapping[str, int]  # kind -> stored
    missing: Sequence[str]
    ran: int  # containers that a kubelet started
    unlike: Sequence[str]  # sentences: a report of another digest than the one that runs
    unfinished: Sequence[str]  # Jobs
    first: Phase
    second_pass: Phase
    after_restart: Phase
    after_redis_restart: Phase
    after_db_update: Phase
    changed_by_update: int  # reports whose content the new database must change
    seconds: Mapping[str, float] = field(default_factory=dict)


def faults(measured: Measured) -> list[str]:
    """Return every broken promise as a sentence; empty: all hold."""
    found = [f"{name} has no report" for name in measured.missing]
    found += measured.unlike
    found += [f"Job {name} did not succeed" for name in measured.unfinished]
    found += _first_pass(measured)
    for title, phase in (
        ("the second pass", measured.second_pass),
        ("a restart of every process", measured.after_restart),
        ("a restart of Redis", measured.after_redis_restart),
    ):
        found += _idle(title, phase)
    return found + _update(measured)


def _first_pass(measured: Measured) -> list[str]:
    work, found = measured.first.work, []
    if work.inventories != measured.distinct_images:
        found.append(
            f"{work.inventories} inventories for {measured.distinct_images} distinct images"
        )
    found += [
        f"the registry served the configuration of {digest} {count} times, not once"
        for digest, count in sorted(measured.pulls_per_image.items())
        if count != 1
    ]
    if work.writes != measured.first.seen.report_writes:
        found.append(
            f"the ledger tells of {work.writes} report writes, "
            f"the API server of {measured.first.seen.report_writes}"
        )
    if work.writes != sum(measured.reports.values()):
        found.append(f"{work.writes} writes for {sum(measured.reports.values())} reports")
    return found


def _idle(title: str, phase: Phase) -> list[str]:
    """Name whatever moved in a phase in which nothing changed."""
    counted = {
        **{one.name: getattr(phase.work, one.name) for one in fields(Work)},
        **{one.name: getattr(phase.seen, one.name) for one in fields(Seen)},
    }
    return [
        f"{title} caused {count} {name.replace('_', ' ')}, not 0"
        for name, count in counted.items()
        if count
    ]


def _update(measured: Measured) -> list[str]:
    phase, found = measured.after_db_update, []
    if phase.work.inventories:
        found.append(f"the new database caused {phase.work.inventories} inventories, not 0")
    if phase.seen.registry_requests:
        found.append(
            f"the new database caused {phase.seen.registry_requests} requests to image repositories"
        )
    if phase.work.matches != measured.distinct_images:
        found.append(
            f"the new database caused {phase.work.matches} matches "
            f"for {measured.distinct_images} images"
        )
    if phase.work.writes != measured.changed_by_update or not phase.work.writes:
        found.append(
            f"the new database changes {measured.changed_by_update} reports, "
            f"{phase.work.writes} were written"
        )
    if phase.work.writes != phase.seen.report_writes:
        found.append(
            f"after the update the ledger tells of {phase.work.writes} report writes, "
            f"the API server of {phase.seen.report_writes}"
        )
    return found


def document(measured: Measured) -> dict[str, Any]:
    """Return the JSON that `make demo JSON=file` writes."""
    return {
        "workloads": measured.workloads,
        "containers": measured.containers,
        "distinct_images": measured.distinct_images,
        "inventories": measured.first.work.inventories,
        "matches": measured.first.work.matches,
        "reports": dict(measured.reports),
        "missing": list(measured.missing),
        "running": {
            "containers": measured.ran,
            "unlike": list(measured.unlike),
            "unfinished_jobs": list(measured.unfinished),
        },
        "second_pass": _counts(measured.second_pass.work),
        "after_restart": _counts(measured.after_restart.work),
        "after_redis_restart": _counts(measured.after_redis_restart.work),
        "after_db_update": {
            "inventories": measured.after_db_update.work.inventories,
            "registry_requests": measured.after_db_update.seen.registry_requests,
            "matches": measured.after_db_update.work.matches,
            "writes": measured.after_db_update.work.writes,
        },
        "outside": {
            "pulls_per_image": dict(measured.pulls_per_image),
            "report_writes": measured.first.seen.report_writes,
            "registry_requests": measured.first.seen.registry_requests,
        },
        "seconds": dict(measured.seconds),
        "faults": faults(measured),
    }


def _counts(work: Work) -> dict[str, int]:
    return {one.name: getattr(work, one.name) for one in fields(Work)}
