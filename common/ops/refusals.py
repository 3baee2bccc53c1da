"""Who answers and says no: the API server or Redis knows us no more, or does not let us.

In mid-life that is waited out like an absence: a token or password that is rotated reaches servers
and mounted files at different times. At a start, and for a command, somebody must arrange it
first. Pure.
"""

from __future__ import annotations

from common.model.errors import PreconditionError, SluiceError

# Reasons; the second half of each sentence. Redis' messages name their own remedy.
REDIS_REFUSED = "RedisRefused"
_REMEDIES = {
    "Unauthorized": (
        "renew the credentials of the kubeconfig or service account (`kubectl auth whoami` tries"
        " them)"
    ),
    "Forbidden": (
        "grant this account that right, as the chart's roles do; `sluice doctor` shows all that"
        " is missing"
    ),
    REDIS_REFUSED: "",
}


def is_refusal(error: SluiceError) -> bool:
    """Return whether credentials or rights are what is missing."""
    return error.reason in _REMEDIES


def arranged_first(error: SluiceError) -> SluiceError:
    """Return a refusal as a PreconditionError with its remedy, any other error as it is."""
    if isinstance(error, PreconditionError) or not is_refusal(error):
        return error
    remedy = _REMEDIES[error.reason]
    return PreconditionError(f"{error}; {remedy}" if remedy else str(error), reason=error.reason)
