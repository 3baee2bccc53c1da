"""The process that removes a node's cgroups when the node has ended, however it ended.

Run as a program: `python -m sandbox.node_sweeper LOCK GROUP…`. It waits for the lock that the
node's processes hold as long as they live, and keeps it while it sweeps: so a new node on the same
folder waits for it. It is no child that dies with its starter: `kill -9` of that is what it is for.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.node_cgroups import remove

_DYING_S = 15.0  # a hundred containers are gone 0.2 s after their namespace; loaded, within 2
_POLL_S = 0.02


def main(arguments: Sequence[str]) -> int:
    """Wait, sweep, and return 1 when something is left."""
    lock, *groups = map(Path, arguments)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # meant for the starter; the node's end is ours
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        deadline = time.monotonic() + _DYING_S
        while not remove(groups):
            if time.monotonic() > deadline:
                print("left:", *(group for group in groups if group.exists()), file=sys.stderr)
                return 1
            time.sleep(_POLL_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
