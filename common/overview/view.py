"""What is known of a cluster at one instant, as commands and the status page show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.model.facts import Fact
from common.overview.documents import Document
from common.overview.roster import Roster

__all__ = ["Document", "Overview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One look at all tables."""

    document: Document  # as `sluice status --json` prints it
    parked: Sequence[Document]  # failures, as in the document but more of them
    lacking: Mapping[str, str]  # the first workloads that lack reports, as people write them -> why
    facts: Sequence[Fact]  # the ledger's newest, newest last
    running: Sequence[Document] = ()  # keys that are worked on, as `queue` pages show them
    roster: Roster | None = None  # None: not kept, or not asked for
