"""What trivy-operator's ConfigMaps say, and what is wrong in them, as `status` shows it. Pure."""

from __future__ import annotations

from common.model.overlay import Overlay
from common.overview.view import Document
from common.overview.words import counted


def described(overlay: Overlay | None) -> dict[str, object]:
    """Return what `status --json` shows; None: no watcher has published anything."""
    if overlay is None:
        return {"from_configmaps": 0, "faults": [], "meanwhile": "", "notices": 0}
    return {
        "from_configmaps": len(overlay.entries),
        "faults": [
            {"source": fault.source, "said": fault.said, "remedy": fault.remedy}
            for fault in overlay.faults
        ],
        "meanwhile": overlay.holds_meanwhile if overlay.faults else "",
        "notices": len(overlay.notices),
    }


def shown(settings: Document) -> str:
    """Return it in a few words; empty: nothing comes from ConfigMaps."""
    count, wrong = settings["from_configmaps"], len(settings["faults"])
    if not count and not wrong:
        return ""
    of = f"{counted(count, 'setting')} of trivy-operator's ConfigMaps"
    if not wrong:
        return of
    verb = "is" if wrong == 1 else "are"
    return f"{of}; {counted(wrong, 'key')} {verb} wrong"
