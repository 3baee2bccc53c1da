"""What the scripts count beside the facts: fields `<word>.<what>` of the hash `counts`.

All words are known here, so the hash is bounded and every series of a metric stands at 0 from the
start. Error classes are counted and never reasons, of which there may be any number. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.model.circuit import CIRCUITS
from common.model.facts import FACT_KINDS
from common.model.policies import CLASS_NAMES

# A key whose runs killed its workers is parked by no error's policy.
CRASHED = "Crashed"

DETAILS: Mapping[str, tuple[str, ...]] = {
    # What became of every add, whoever made it; `deduplicated` also counts what repeats `dirty`.
    "adds": ("new", "duplicate", "dirty", "promoted", "revived", "repaired"),
    # An entry that was lost, found by an add; one that stood there twice, found by a claim.
    "repairs": ("add", "claim"),
    "leases": ("expired",),
    "released": ("not_started", "lease_ended", "reply_lost", "dropped", "no_key"),
    "retried": CLASS_NAMES,
    "parked": (*CLASS_NAMES, CRASHED),
    "held": (*CIRCUITS, "redis"),
    "refused": ("completion", "table"),
    "circuit": ("open", "probing", "closed"),
}


def facts_counted(found: Mapping[str, int]) -> dict[str, int]:
    """Return the number of facts of every kind, 0 included."""
    return dict.fromkeys(FACT_KINDS, 0) | {
        field: number for field, number in found.items() if "." not in field
    }


def details_counted(found: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the numbers of every word, 0 included; also those of a newer version's classes."""
    details = {word: dict.fromkeys(whats, 0) for word, whats in DETAILS.items()}
    for field, number in found.items():
        word, dot, what = field.partition(".")
        if dot and word in details:
            details[word][what] = number
    return details
