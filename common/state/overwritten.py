"""Which of our keys another program wrote over: what Redis answers with WRONGTYPE.

Redis does not say which key it is about, so each fixed one is asked for what it should hold. That
costs nothing until it happens, and only rights that the product has anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from common.model.errors import SluiceError, shorten
from common.state.names import POOLS, Names

_LANES, _PER_POOL = 2 * len(POOLS), len(POOLS)
# What `Names.fixed_keys` holds, in its order; None: whatever, only its presence counts.
_KINDS: tuple[str | None, ...] = (
    *("list", "zset", "zset", "zset") * _LANES,
    *("list", "zset") * _PER_POOL,
    *("set", None, None, "hash", "string", "hash", "stream"),
    *("zset", "hash", "hash", "hash", "hash", "string", "zset", "list", "hash"),
)
_PROBES: dict[str, tuple[str, ...]] = {
    "list": ("LLEN", "{key}"),
    "zset": ("ZCARD", "{key}"),
    "set": ("SMEMBERS", "{key}"),
    "hash": ("HEXISTS", "{key}", "x"),
    "string": ("GET", "{key}"),
    "stream": ("XREVRANGE", "{key}", "+", "-", "COUNT", "1"),
}


def overwritten(redis: Redis, names: Names, workers: Iterable[str]) -> SluiceError:
    """Return the error that names the keys and the remedy; `workers` are those that it is about."""
    found = _found(redis, names, workers)
    if not found:
        return SluiceError(
            "Redis: a key of kube-sluice's holds what another program wrote there; find it by "
            f"its type (redis-cli --scan --pattern '{names.prefix}*') and delete it",
            reason="RedisFault",
        )
    what = "what another program wrote there" if len(found) == 1 else "what others wrote there"
    return SluiceError(
        shorten(
            f"Redis: {', '.join(found)} holds {what}; delete it (DEL {' '.join(found)}): "
            "what stood in it comes back with the next sweep"
        ),
        reason="RedisFault",
    )


def _found(redis: Any, names: Names, workers: Iterable[str]) -> list[str]:  # noqa: ANN401 # redis-py's replies
    kinds = zip(names.fixed_keys(), _KINDS, strict=True)
    asked = [(key, kind) for key, kind in kinds if kind is not None]
    try:
        leased = {name.decode(errors="replace") for name in _leased(redis, names)}
        asked += [(names.own(f"claims:{name}"), "hash") for name in sorted({*workers, *leased})]
        with redis.pipeline(transaction=False) as pipe:
            for key, kind in asked:
                pipe.execute_command(*(word.replace("{key}", key) for word in _PROBES[kind]))
            answers = pipe.execute(raise_on_error=False)
    except RedisError:  # it went away meanwhile: the next call will say so
        return []
    return [
        key
        for (key, _), answer in zip(asked, answers, strict=True)
        if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer)
    ]


def _leased(redis: Any, names: Names) -> list[bytes]:  # noqa: ANN401 # redis-py's replies
    """Return the workers with a lease; none when that key itself is the one."""
    try:
        return list(redis.zrange(names.own("leases"), 0, -1))
    except ResponseError:
        return []
