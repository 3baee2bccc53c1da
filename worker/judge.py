"""From an error to the end of a run: the source's circuit first, then the class's policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from common.model.circuit import Fail, Verdict
from common.model.errors import SluiceError, SourceFault, TransientError
from common.model.policies import POLICIES, Policies
from common.queue.contract import Claim, Failed
from common.queue.policy import decide


class Circuits(Protocol):
    """Where failures of sources are counted."""

    def failed(self, source: str, failure: Fail) -> Verdict:
        """Count one; say whether the source is to blame, or the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Decides what happens to a key whose run failed. Thread-safe as far as its ports are."""

    circuits: Circuits
    draw: Callable[[], float]  # in [0, 1)
    policies: Policies = field(default_factory=lambda: POLICIES)

    def __call__(self, error: SluiceError, claim: Claim) -> Failed:
        """Count a source's fault once, then let the error's class decide. Raises nothing."""
        if error.source and error.fault is None:
            error.fault = self._fault(error, claim)
        return decide(error, claim.tallies, draw=self.draw(), policies=self.policies)

    def _fault(self, error: SluiceError, claim: Claim) -> SourceFault:
        rest_s = error.retry_after_s if isinstance(error, TransientError) else None
        failure = Fail(
            key=error.subject or str(claim.key),
            failed_before=error.source in claim.faults,
            reason=error.reason,
            message=str(error),
            rest_s=max(0.0, rest_s or 0.0),
        )
        try:
            verdict = self.circuits.failed(error.source, failure)
        except SluiceError:
            # Redis went away meanwhile, so the run cannot end now; it is nobody's fault here.
            return SourceFault(source=error.source, failures=1, wait_s=0.0, spared=True)
        return SourceFault(
            source=error.source,
            failures=verdict.failures,
            wait_s=verdict.wait_s,
            spared=verdict.spared,
        )
