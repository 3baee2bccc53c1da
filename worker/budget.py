"""Budgets around the ports: a registry is asked for so many images in a minute, and at once.

A budget that is used up is nobody's fault: the key comes back later, and no attempt is counted. It
is taken after the circuits were asked, so that none is spent on a registry that is left alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from common.model.errors import BudgetSpentError, SluiceError
from common.model.refs import ImageDigest, ImageReference
from common.state.budget import Pull
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, InventoryResult, Scanner
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.registry import Questions

# Beyond the job's deadline, until a slot is free although nobody said so: by then Trivy was killed.
_GRACE_S = 60.0


class Budgets(Protocol):
    """Where budgets are kept."""

    def take(self, host: str, pull: Pull) -> float:
        """Take one; return 0, or after how many seconds to ask again."""

    def done(self, host: str, subject: str) -> None:
        """Say that the pull ended."""


class _Paid(threading.local):
    """What this loop took last: one run tries several credentials for one pull's price."""

    what: tuple[str, str] | None = None  # host, subject
    until_s = 0.0  # monotonic


# From one attempt to the next of the same run. Without it a budget of one pull a minute would never
# let a run get to its second credential.
_SAME_RUN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedScanner:
    """A `Scanner` that pulls within the registries' budgets."""

    scanner: Scanner
    budgets: Budgets
    monotonic_s: Callable[[], float] = time.monotonic
    _paid: _Paid = field(default_factory=_Paid)

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """See `Scanner.inventory`; raises BudgetSpentError before anything was asked for."""
        host, subject = job.access.host, f"{job.reference.rpartition('@')[2]} {job.platform}"
        paid = self._paid
        again = paid.what == (host, subject) and self.monotonic_s() < paid.until_s
        slot_s = job.deadline_s + _GRACE_S
        _take(self.budgets, host, Pull(subject=subject, slot_s=slot_s, paid=again))
        try:
            return self.scanner.inventory(job)
        finally:
            with contextlib.suppress(SluiceError):  # Redis is away: the slot is given up in time
                self.budgets.done(host, subject)
            paid.what, paid.until_s = (host, subject), self.monotonic_s() + _SAME_RUN_S


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


def _take(budgets: Budgets, host: str, pull: Pull) -> None:
    wait_s = budgets.take(host, pull)
    if wait_s:
        raise BudgetSpentError(
            f"{host} was asked for as many images as the settings allow for now",
            retry_after_s=wait_s,
        )
