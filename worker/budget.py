"""Budgets around the ports: a registry is asked for so many images in a minute, and at once.

A budget that is used up is nobody's fault: the key comes back later, and no attempt is counted. It
is taken after the circuits were asked, so that none is spent on a registry that is left alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from common.model.errors import BudgetSpentError, SluiceError
from common.model.refs import ImageDigest, ImageReference
from common.state.budget import Pull
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, InventoryResult, Scanner
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.registry import Questions
from worker.guard import Documents

# Beyond the job's deadline, until a slot is free although nobody said so: by then Trivy was killed.
_GRACE_S = 60.0


class Budgets(Protocol):
    """Where budgets are kept."""

    def take(self, host: str, pull: Pull) -> float:
        """Take one; return 0, or after how many seconds to ask again."""

    def done(self, host: str, subject: str) -> None:
        """Say that the pull ended."""


# From one attempt to the next of the same run. Without it a budget of one pull a minute would never
# let a run get to its second credential.
_SAME_RUN_S = 30.0


class Paid(threading.local):
    """What each loop took last: a run tries several credentials for one pull's price."""

    _what: tuple[str, str] | None = None  # host, subject
    _until_s = 0.0  # monotonic

    def covers(self, host: str, subject: str, now_s: float) -> bool:
        """Say whether the pull was counted a moment ago."""
        return self._what == (host, subject) and now_s < self._until_s

    def note(self, host: str, subject: str, now_s: float) -> None:
        """Note that an attempt of the pull ended now."""
        self._what, self._until_s = (host, subject), now_s + _SAME_RUN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedDocuments:
    """`Documents` whose first question counts as the pull of the image."""

    registry: Documents
    budgets: Budgets
    paid: Paid  # the scanner's too
    monotonic_s: Callable[[], float] = time.monotonic

    def outline(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> tuple[bytes, ...]:
        """See `HttpRegistry.outline`; raises BudgetSpentError before anything was asked for."""
        host, subject = access.host, _subject(digest, platform)
        again = self.paid.covers(host, subject, self.monotonic_s())
        _take(self.budgets, host, Pull(subject=subject, paid=again))
        try:
            return self.registry.outline(
                reference, digest, config=config, platform=platform, access=access
            )
        finally:
            self.paid.note(host, subject, self.monotonic_s())

    def manifest(  # noqa: PLR0913 # see HttpRegistry
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
        known: Sequence[bytes] = (),
    ) -> ManifestSeen:
        """See `HttpRegistry.manifest`; asked behind `outline`, it is part of the same pull."""
        return self.registry.manifest(
            reference, digest, config=config, platform=platform, access=access, known=known
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedScanner:
    """A `Scanner` that pulls within the registries' budgets."""

    scanner: Scanner
    budgets: Budgets
    monotonic_s: Callable[[], float] = time.monotonic
    paid: Paid = field(default_factory=Paid)

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """See `Scanner.inventory`; raises BudgetSpentError before anything was asked for.

        Who read the image's documents has paid, may it be in an earlier run that had to wait.
        """
        host, subject = job.access.host, _subject(job.reference.rpartition("@")[2], job.platform)
        again = job.parts is not None or self.paid.covers(host, subject, self.monotonic_s())
        slot_s = job.deadline_s + _GRACE_S
        _take(self.budgets, host, Pull(subject=subject, slot_s=slot_s, paid=again))
        try:
            return self.scanner.inventory(job)
        finally:
            with contextlib.suppress(SluiceError):  # Redis is away: the slot is given up in time
                self.budgets.done(host, subject)
            self.paid.note(host, subject, self.monotonic_s())


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedRegistry:
    """A `Registry` whose questions count as pulls: some registries count them so."""

    registry: Questions
    budgets: Budgets

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        """See `Registry.resolve`; raises BudgetSpentError before anything was asked for."""
        _take(self.budgets, access.host, Pull(subject=reference.canonical))
        return self.registry.resolve(reference, docker_config, access=access)

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> ManifestSeen:
        """See `HttpRegistry.manifest`; asked behind `resolve`, it is part of the same pull."""
        return self.registry.manifest(
            reference, digest, config=config, platform=platform, access=access
        )


def _subject(digest: str, platform: str) -> str:
    return f"{digest} {platform}"


def _take(budgets: Budgets, host: str, pull: Pull) -> None:
    wait_s = budgets.take(host, pull)
    if wait_s:
        raise BudgetSpentError(
            f"{host} was asked for as many images as the settings allow for now",
            retry_after_s=wait_s,
        )
