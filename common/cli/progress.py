"""One line of progress on the terminal while `sluice run` works."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from common.cli.terminal import Terminal
from common.model.errors import SluiceError
from common.overview.gather import numbers
from common.overview.tables import Tables
from common.overview.words import age

_EVERY_S = 2.0


def progress_line(document: Mapping[str, Any]) -> str:
    """Return the status in one line. Pure."""
    covered = document["coverage"]
    queued = sum(
        depth["queued"] for lanes in document["queue"].values() for depth in lanes.values()
    )
    database = document["database"]
    fresh = f"database {age(database['age_s'])} old" if database["version"] else "no database yet"
    return (
        f"{covered['true']}/{covered['workloads']} workloads true, {queued} queued, "
        f"{document['running']} running, {document['delayed']} delayed, {document['dead']} parked, "
        f"{fresh}"
    )


@contextlib.contextmanager
def shown_progress(terminal: Terminal, tables: Tables) -> Iterator[None]:
    """Refresh the line from a thread of its own for the length of the block."""
    if not terminal.stderr.isatty():
        yield
        return
    over = threading.Event()

    def refresh() -> None:
        while not over.wait(_EVERY_S):
            with contextlib.suppress(SluiceError):  # Redis is away for a moment: show it later
                terminal.progress(progress_line(numbers(tables)))

    thread = threading.Thread(target=refresh, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        terminal.progress("")
