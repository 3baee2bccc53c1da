"""Where every setting's value comes from, and what is wrong with those of ConfigMaps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from common.model.finding import Fault, Finding, Good, Notice
from common.model.overlay import Overlay
from common.overview.words import counted
from common.settings.overlay import overlaid
from common.settings.setting import Setting
from common.settings.table import ROWS

_TOPIC, _MAPS = "settings", "ConfigMaps"
_SHOWN = 80  # characters of a value; longer ones are files or lists


def judge_settings(
    environ: Mapping[str, str],
    overlay: Overlay | None,
    *,
    home: str = "default",
    told_by: str = "the environment",
) -> Iterator[Finding]:
    """Yield a line per setting that is set; `overlay`: None where no watcher has published one.

    `home` is the namespace whose ConfigMaps count, `told_by` whose environment it is.
    """
    entries = {entry.name: entry for entry in overlay.entries} if overlay is not None else {}
    texts = overlaid(environ, entries.values())
    rows = sorted(ROWS, key=lambda row: row.name)
    found = [row for row in rows if texts.get(row.name, "").strip() or row.name in entries]
    for row in found:
        own = texts.get(row.name) == environ.get(row.name)
        source = told_by if own else entries[row.name].source
        yield Good(topic=_TOPIC, said=f"{row.name}: {_shown(row, texts[row.name])}, from {source}")
    yield Good(topic=_TOPIC, said=f"{counted(len(rows) - len(found), 'other')} have their defaults")
    yield from _judge_maps(overlay, home)


def _judge_maps(overlay: Overlay | None, home: str) -> Iterator[Finding]:
    if overlay is None:
        yield Good(topic=_MAPS, said="no watcher has told yet what trivy-operator's say")
        return
    for fault in overlay.faults:
        said = f"{fault.source} {fault.said}: {overlay.holds_meanwhile}"
        yield Fault(topic=_MAPS, said=said, remedy=fault.remedy)
    for notice in overlay.notices:
        yield Notice(topic=_MAPS, said=notice)
    if not overlay.faults:
        count = counted(len(overlay.entries), "setting")
        yield Good(topic=_MAPS, said=f"trivy-operator's in namespace {home} say {count}")


def _shown(row: Setting[Any], text: str) -> str:
    """Return the value for people: never a secret, and a long one by its length."""
    if row.secret:
        return "(not shown)"
    line = text.strip()
    if len(line) > _SHOWN or "\n" in line:
        return f"({len(line):,} characters)"
    return line or '""'
