"""Which circuits' events belong into a key's story: those of the sources that held it, meanwhile.

Pure, total: facts may be of a newer version, and the oldest may be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.model.facts import Fact

# A run that ends in one of these was let through: the hold is over.
_ENDS = frozenset({"converged", "waiting", "retried", "parked"})


def concerning(facts: Sequence[Fact], *, limit: int) -> list[Fact]:
    """Return a key's facts with the events of the sources that held it, in the order given.

    `facts` are the key's own and every circuit's. Events are kept from the opening that is behind
    a hold to the end of the first run that went well, or failed otherwise; `limit` of them at most.
    """
    wanted = sorted({index for source in _holders(facts) for index in _events(facts, source)})
    kept = frozenset(wanted[-limit:])
    return [fact for index, fact in enumerate(facts) if fact.kind != "circuit" or index in kept]


def _holders(facts: Sequence[Fact]) -> frozenset[str]:
    return frozenset(str(fact.data.get("source")) for fact in facts if fact.kind == "held")


def _events(facts: Sequence[Fact], source: str) -> Iterator[int]:
    """Yield where a source's events stand that are part of the story."""
    opened: list[int] = []  # events since the last opening, while nothing is held
    holding = False
    for index, fact in enumerate(facts):
        ours = fact.data.get("source") == source
        if fact.kind == "held" and ours:
            yield from opened
            opened, holding = [], True
        elif fact.kind == "circuit" and ours:
            if holding:
                yield index
            else:
                opened = [] if fact.data.get("state") == "closed" else [*opened, index]
        elif fact.kind in _ENDS:
            holding = False
