"""What the runs of the cluster's keys have in common: writing, deleting, and telling of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from common.model.facts import Fact
from common.model.key import ClusterKey, ImageKey
from common.queue.contract import Claim
from common.reports.assemble import ClusterDraft, stamp_of
from worker.write import Writer


class Claims(Protocol):
    """The queue's record of who works on what."""

    def holds(self, claim: Claim) -> bool:
        """Say whether the claim is current; raises what Redis' absence raises."""


@dataclass(slots=True, kw_only=True)
class Writing:
    """The writes of one claim; raises what the writer raises."""

    writer: Writer
    claims: Claims
    key: ClusterKey
    claim: Claim
    epoch: int
    reports: dict[str, str] = field(default_factory=dict)  # Kind//name -> content hash
    facts: list[Fact] = field(default_factory=list)

    def apply(
        self, draft: ClusterDraft, *, inputs: Iterable[ImageKey] = (), db_version: str = ""
    ) -> None:
        """Make a report true."""
        stamp = stamp_of(
            draft,
            epoch=self.epoch,
            generation=1,  # the writer predicts the one that its write will give
            inputs=inputs,
            db_version=db_version,
        )
        written = self.writer.apply(draft, stamp, mine=self._mine, expect_absent=False)
        self.reports[written.shown] = written.content_hash
        if written.how not in ("kept", "left"):
            self._tell(written.shown, written.how, written.size_bytes)

    def drop(self, shown: Collection[str]) -> None:
        """Delete reports, as far as they are a scanner's."""
        for one in sorted(shown):
            if self.writer.remove_of_cluster(one, mine=self._mine):
                self._tell(one, "deleted", 0)

    def _mine(self) -> bool:
        """Say whether the key is still ours: we may have slept past our lease."""
        return self.claims.holds(self.claim)

    def _tell(self, shown: str, how: str, size_bytes: int) -> None:
        data = {"report": shown, "how": how, "bytes": size_bytes}
        self.facts.append(Fact(kind="written", key=str(self.key), data=data))
