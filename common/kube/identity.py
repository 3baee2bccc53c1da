"""Which cluster this is, in one word."""

from __future__ import annotations

from typing import Protocol

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
