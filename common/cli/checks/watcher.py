"""Does a watcher lead, and does it live. Pure."""

from __future__ import annotations

from common.model.finding import Fault, Finding, Good
from common.overview.view import Document
from common.overview.watcher import REMEDY, said, shown

_TOPIC = "watcher"


def judge_watcher(watcher: Document) -> Finding:
    """Return a fault where no watcher leaves signs of life."""
    if told := said(watcher):
        return Fault(topic=_TOPIC, said=told, remedy=REMEDY)
    return Good(topic=_TOPIC, said=shown(watcher))
