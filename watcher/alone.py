"""The seat of a watcher without an election: it leads from the start, and ends when it is deposed.

For one watcher whose Redis nobody shares. Of two, the newer one's fence ends the older.
"""

from __future__ import annotations

from typing import Self


class Alone:
    """Leads always."""

    alive = True
    other = ""  # nobody else is known to lead
    fault = ""

    def term(self) -> int:
        """Return the one term's number."""
        return 1

    def reached_redis(self, at_s: float) -> None:
        """Do nothing: nobody could lead instead."""

    def resign(self, term: int) -> bool:  # noqa: ARG002 # the seat's signature
        """Say that nobody is there to resign to."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
