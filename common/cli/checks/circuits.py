"""Sources in trouble: is anybody kept waiting by a circuit that is not closed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.model.finding import Fault, Finding, Good, Notice
from common.overview.sources import is_trouble, remedy, said
from common.overview.view import Document

_TOPIC = "circuits"


def judge_circuits(circuits: Sequence[Document]) -> Iterator[Finding]:
    """Yield a fault per source that is not asked, a notice per one that failed just now."""
    for circuit in circuits:
        told = f"{circuit['reason']}: {circuit['message']}"
        if is_trouble(circuit):
            yield Fault(
                topic=_TOPIC,
                said=f"{said(circuit)}; {told}",
                remedy=f"{remedy(circuit['source'])}; its keys come back by themselves",
            )
        elif not circuit["idle"]:
            yield Notice(topic=_TOPIC, said=f"{circuit['source']} failed just now; {told}")
    if not any(map(is_trouble, circuits)):
        yield Good(topic=_TOPIC, said="no circuit is open")
