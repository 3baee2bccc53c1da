"""saq for the benchmark, in an environment of its own: run by path, it may import nothing of ours.

`fill URL KEYS` queues keys under keys of their own, so that saq deduplicates them; `work URL
REPORT` runs them until SIGTERM, without stored results, and leaves a report.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from saq import Worker
from saq.queue.redis import RedisQueue

_AT_ONCE = 20  # its own limit of concurrent operations
_JOBS = 16  # of 8, 16 and 64 the fastest
_SWEPT_S = 60

RAN: Counter[str] = Counter()


async def noop(_ctx: dict[str, Any], *, key: str) -> None:
    RAN[key] += 1


async def fill(url: str, keys: int) -> None:
    queue = RedisQueue.from_url(url)
    # As if another worker had just swept: a sweep at the start would take the first jobs of ours,
    # which are not marked as active yet, for abandoned.
    await queue.redis.setex(queue.namespace("sweep"), _SWEPT_S, 1)
    for start in range(0, keys, _AT_ONCE):
        numbers = range(start, min(keys, start + _AT_ONCE))
        names = [f"workload/ReplicaSet/shop/web-{number:06}" for number in numbers]
        adds = (queue.enqueue("noop", key=name, kwargs={"key": name}, ttl=-1) for name in names)
        await asyncio.gather(*adds)
    await queue.disconnect()


async def work(url: str) -> None:
    queue = RedisQueue.from_url(url)
    await Worker(queue, [noop], concurrency=_JOBS, shutdown_grace_period_s=1).start()


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        asyncio.run(fill(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(work(sys.argv[2]))
        told = {"runs": RAN.total(), "keys": len(RAN), "most": max(RAN.values(), default=0)}
        Path(sys.argv[3]).write_text(json.dumps(told))
