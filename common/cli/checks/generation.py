"""Are all workers of the generation that the watcher published. Pure."""

from __future__ import annotations

from common.model.finding import Fault, Finding, Good, Notice
from common.overview.generation import REMEDY, differences, said, shown
from common.overview.view import Document

_TOPIC = "generation"


def judge_generation(generation: Document, *, workers: int) -> Finding:
    """Return a fault where nobody may work, a notice where some stand back."""
    told = said(generation, workers=workers)
    if not told:
        return Good(topic=_TOPIC, said=shown(generation))
    told = "; ".join([told, *differences(generation)])
    if len(generation["standing_back"]) < workers:
        return Notice(topic=_TOPIC, said=f"{told}; {REMEDY}")
    return Fault(topic=_TOPIC, said=told, remedy=REMEDY)
