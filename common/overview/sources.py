"""Sources whose circuit is not closed, in words: what is wrong with each, and what to do. Pure."""

from __future__ import annotations

from common.model.circuit import kind_of
from common.overview.view import Document
from common.overview.words import age, counted

_REMEDIES = {
    "registry": "see that workers reach {name}: network, proxy, its limits and its status page",
    "match-server": "look at the log of the worker of pool `match`",
    "api-server": "kubectl get --raw '/readyz?verbose'",
    "scanner": "look at the log of the scanner beside worker {name}",
}


def is_trouble(circuit: Document) -> bool:
    """Return whether keys wait for the source; one that holds none is past, and no fault."""
    return circuit["state"] != "failing" and not circuit["idle"]


def said(circuit: Document) -> str:
    """Return what is wrong with a source that is not asked."""
    times = counted(circuit["failures"], "time")
    failed = f"{circuit['source']} failed {times} in a row ({circuit['reason']})"
    if circuit["state"] == "probing":
        return f"{failed}: one key asks whether it answers again, all others wait"
    if circuit["next_s"] > 0:
        return f"{failed} and is left alone: asked again in {age(circuit['next_s'])}"
    return f"{failed} and is left alone: the next key that needs it asks again"


def remedy(source: str) -> str:
    """Return what to do about a source in trouble; its keys come back by themselves."""
    _, _, name = source.partition("/")
    return _REMEDIES.get(kind_of(source), "sluice doctor").format(name=name)
