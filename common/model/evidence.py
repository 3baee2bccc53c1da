"""How much may be known about one image, and the mark of what was too much to be kept.

Pure. An SBOM beyond its limit could be in no report: the API server takes a tenth of it. So its
lists are left out where it is made, and counted; reports say that they lack them.
"""

from __future__ import annotations

from collections.abc import Mapping

# Of an inventory or a match, as JSON: about 30,000 findings. Whoever reads one holds a few times as
# much in memory, and Redis a fifth of it.
EVIDENCE_LIMIT_BYTES = 64 * 1024 * 1024
# Of an SBOM as Trivy writes it: about 20,000 components.
SBOM_LIMIT_BYTES = 16 * 1024 * 1024

_LEFT_OUT = "leftOut"
_LISTS = ("components", "dependencies")


def without_lists(document: Mapping[str, object], counts: Mapping[str, int]) -> dict[str, object]:
    """Return an SBOM without its lists, and with how long they were."""
    lists: dict[str, object] = {name: [] for name in _LISTS}
    return {**document, **lists, _LEFT_OUT: {name: counts.get(name, 0) for name in _LISTS}}


def left_out(document: Mapping[str, object]) -> tuple[int, int]:
    """Return how many components and dependencies are missing from an SBOM."""
    counts = document.get(_LEFT_OUT)
    found = [counts.get(name) if isinstance(counts, Mapping) else None for name in _LISTS]
    components, dependencies = (one if isinstance(one, int) and one > 0 else 0 for one in found)
    return components, dependencies
