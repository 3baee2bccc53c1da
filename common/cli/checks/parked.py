"""What `doctor` says of keys that no try helps: as a rule the fault is theirs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from common.model.finding import Finding, Good, Notice
from common.overview.words import counted

_SHOWN = 4  # reasons; `sluice queue parked` tells all


def judge_parked(reasons: Mapping[str, int]) -> Iterator[Finding]:
    """Yield how many keys are parked, and why; `reasons` are numbers by reason. Pure."""
    total = sum(reasons.values())
    if not total:
        yield Good(topic="queue", said="no key is parked")
        return
    ranked = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    told = ", ".join(f"{reason} {number}" for reason, number in ranked[:_SHOWN])
    more = ", …" if len(ranked) > _SHOWN else ""
    verb = "is" if total == 1 else "are"
    yield Notice(
        topic="queue",
        said=f"{counted(total, 'key')} {verb} parked ({told}{more}): "
        "`sluice queue parked` tells why",
    )
