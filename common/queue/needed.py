"""Which sources in trouble anybody still needs: those that hold a key, or were asked just now.

Reads only, and nothing at all while every source in trouble was asked of late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.queue.contract import Lane
from common.state.circuits import Trouble
from common.state.names import POOLS, RQ
from common.state.readable import text_of
from common.state.scripts import Scripts

# A source whose retry was due so long ago without anybody asking, and that holds no key, is past.
MARGIN_S = 60.0
# Keys of each lane and state that are looked at; where more wait, `IDLE_S` decides alone.
_LOOKED_AT = 1000


def judged(scripts: Scripts, troubles: Sequence[Trouble]) -> list[Trouble]:
    """Return the troubles; those of sources that no key waits for any more are idle."""
    doubtful = {each.source for each in troubles if not each.idle and each.unasked_s > MARGIN_S}
    held = _held(scripts) if doubtful else None
    if held is None:
        return list(troubles)
    past = doubtful - held
    return [replace(each, idle=True) if each.source in past else each for each in troubles]


def _held(scripts: Scripts) -> frozenset[str] | None:
    """Return the sources that hold a key, on its way back to them too; None: too many to look."""
    names = scripts.names
    with scripts.pipeline() as pipe:
        for pool in POOLS:
            for lane in Lane:
                pipe.lrange(names.rq("queue", pool, lane), 0, _LOOKED_AT)
                pipe.zrange(names.rq("scheduled", pool, lane), 0, _LOOKED_AT)
                pipe.zrange(names.rq("wip", pool, lane), 0, _LOOKED_AT)
        answers = pipe.execute()
    if any(len(answer) > _LOOKED_AT for answer in answers):
        return None
    jobs = {text_of(member).partition(":")[0] for answer in answers for member in answer}
    with scripts.pipeline() as pipe:
        for job in jobs:
            pipe.hmget(f"{RQ}:job:{job}", "s_held")
        found = pipe.execute() if jobs else []
    return frozenset(source for (text,) in found for source in text_of(text).split())
