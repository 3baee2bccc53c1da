"""The first process inside a node: it reaps what is orphaned (shims are) and ends with its child.

Run as a program by `node_launch`. When it ends, the kernel kills everything in the node.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox import node_plan, node_supervisor


def main(plan_file: str) -> int:
    """Run the supervisor, and return its status when it ends."""
    return reap_until_end_of(lambda: _supervise(Path(plan_file)))


def reap_until_end_of(child: Callable[[], int]) -> int:
    """Fork `child`, reap whatever is orphaned here until it ends, and return its status."""
    number = os.fork()
    if number == 0:
        os._exit(child())
    while True:
        ended, status = os.wait()
        if ended == number:
            return os.waitstatus_to_exitcode(status)


def _supervise(plan_file: Path) -> int:
    """Run the supervisor; its last words stand in the node's log."""
    try:
        node_supervisor.run(node_plan.read(plan_file))
    except PreconditionError as error:
        print(f"error: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
    except BaseException:  # noqa: BLE001 -- a fork must not unwind into the code of its parent
        traceback.print_exc()
    sys.stderr.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
