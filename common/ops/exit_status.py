"""How processes of ours end; scripts and the supervisor hold on to these numbers."""

from __future__ import annotations

DONE = 0
FAILED = 1
WRONG_USAGE = 2
PRECONDITION = 3  # the message names it and the remedy; a restart would not help
