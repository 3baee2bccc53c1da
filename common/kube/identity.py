"""Which cluster this is, in one word, and where in it the product itself is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from common.kube.errors import DeniedError

# Where a Pod is told its namespace, beside its token.
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CHARACTERS = 8  # of a random uid: 1 in 4 billion that two clusters of one Redis meet


class Identified(Protocol):
    """A cluster."""

    def kube_system_uid(self) -> str:
        """Return the uid of the kube-system namespace."""


def key_space(cluster: Identified) -> str:
    """Return the name that the cluster's key space in Redis has by default.

    Raises what the cluster raises.
    """
    return cluster.kube_system_uid()[:_CHARACTERS]


def key_space_of_account(cluster: Identified) -> str:
    """Return `key_space`; who may not read it is told of the setting that says it instead."""
    try:
        return key_space(cluster)
    except DeniedError as exc:
        told = DeniedError(f"{exc} (SLUICE_CLUSTER can name the key space instead)")
        told.code, told.reason, told.retry_after_s = exc.code, exc.reason, exc.retry_after_s
        raise told from exc


def in_pod() -> bool:
    """Say whether this process has a Pod's token at hand."""
    return (_ACCOUNT / "token").exists()


def own_namespace(told: str) -> str:
    """Return the namespace of the product itself: what it was told, else the Pod's, else default.

    Who runs outside the cluster has none; all of them must mean the same.
    """
    try:
        return told or (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or "default"
    except (OSError, UnicodeError):
        return "default"
