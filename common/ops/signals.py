"""Which signals end a process of ours in order.

A signal that is ignored when we start stays ignored, as everywhere on Unix: `nohup` ignores SIGHUP,
and a script's shell ignores SIGINT for what it starts with `&`, so that a Ctrl-C for the script is
not one for its servers. SIGTERM is heeded in any case: something must end us without a kill.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable


def heeded(numbers: Iterable[signal.Signals]) -> tuple[signal.Signals, ...]:
    """Return those signals that are not ignored, and SIGTERM."""
    return tuple(
        number
        for number in numbers
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    )
