"""What the process that unpacks images may know of our environment. Pure.

It parses what strangers built, so it is told neither where the cluster is nor where Redis is.
"""

from __future__ import annotations

from collections.abc import Mapping

_NOT_FOR_SCANNER = ("KUBECONFIG", "SLUICE_KUBECONFIG", "SLUICE_CONTEXT", "SLUICE_CLUSTER")
_REDIS = "SLUICE_REDIS_"


def scanner_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a scanner that we start beside us."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _NOT_FOR_SCANNER and not name.startswith(_REDIS)
    }
