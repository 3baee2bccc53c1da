"""The first process inside a node: it reaps what is orphaned (shims are) and ends with its child.

Run as a program by `node_launch`. When it ends, the kernel kills everything in the node.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox import node_plan, node_supervisor


def main(plan_file: str) -> int:
    """Start the supervisor, reap until it ends, and return its status."""
    child = os.fork()
    if child == 0:
        os._exit(_supervise(Path(plan_file)))
    while True:
        ended, status = os.wait()
        if ended == child:
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
