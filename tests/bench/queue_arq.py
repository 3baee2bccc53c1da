"""arq for the benchmark, in an environment of its own: run by path, it may import nothing of ours.

`fill URL KEYS` queues keys under ids of their own, so that arq deduplicates them; `work URL REPORT`
runs them until the queue is empty, without log lines or stored results, and leaves a report.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from arq import Worker, create_pool, func
from arq.connections import RedisSettings

_AT_ONCE = 100
# Of 10 (the default), 64, 256 and 1,000 jobs at a time, and of polls from 0.5 s (the default) down,
# these were the fastest: with the defaults it runs 200 a second.
_JOBS = 64
_POLL_S = 0.01

RAN: Counter[str] = Counter()


async def noop(_ctx: dict[str, Any], key: str) -> None:
    RAN[key] += 1


async def fill(url: str, keys: int) -> None:
    pool = await create_pool(RedisSettings.from_dsn(url))
    for start in range(0, keys, _AT_ONCE):
        numbers = range(start, min(keys, start + _AT_ONCE))
        names = [f"workload/ReplicaSet/shop/web-{number:06}" for number in numbers]
        await asyncio.gather(*(pool.enqueue_job("noop", key, _job_id=key) for key in names))
    await pool.aclose()


def work(url: str, report: str) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    worker = Worker(
        [func(noop, name="noop", keep_result=0)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=_JOBS,
        poll_delay=_POLL_S,
        burst=True,
        log_results=False,
        keep_result=0,
        handle_signals=False,
    )
    worker.run()
    told = {"runs": RAN.total(), "keys": len(RAN), "most": max(RAN.values(), default=0)}
    Path(report).write_text(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        asyncio.run(fill(sys.argv[2], int(sys.argv[3])))
    else:
        work(sys.argv[2], sys.argv[3])
