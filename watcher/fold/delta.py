"""What a fold tells: facts about rows and reports that changed for somebody. Values only."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.model.key import RowKey, WorkloadKey
from watcher.fold.reportfacts import ReportFact


class RowChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A row is new, or differs from before in something that matters."""

    key: RowKey
    spread: bool = False  # True: a node's doing, so many rows may change at once


class RowGone(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing any more that reports could be about."""

    key: RowKey


class ReportSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A report was created or written, by whomever."""

    report: ReportFact
    before: ReportFact | None  # what was known of it until then; None: nothing


class ReportGone(msgspec.Struct, frozen=True, kw_only=True):
    """A report was deleted."""

    report: ReportFact


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """An object exists and cannot be decoded."""

    resource: str
    name: str  # namespace/name, or name; empty: not even that could be read
    key: WorkloadKey | None  # the workload that it most likely touches; None: none that is known


FoldFact: TypeAlias = RowChanged | RowGone | ReportSeen | ReportGone | Unreadable
