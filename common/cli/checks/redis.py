"""Redis: is it new enough, does it keep what it is told, does it forget nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.cli.checks.finding import Fault, Finding, Good, Notice

_OLDEST = 7  # our scripts use what Redis 7 and Valkey 7 brought
_NEARLY_FULL = 0.9

Info = Mapping[str, object]


def judge_redis(info: Info, *, shown: str) -> list[Finding]:
    """Return what INFO says about a Redis that answered at the address `shown`."""
    return [_version(info, shown), _eviction(info), _persistence(info), *_memory(info)]


def _version(info: Info, shown: str) -> Finding:
    name = "Valkey" if info.get("valkey_version") else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "unknown")
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < _OLDEST:
        return Fault(
            topic="Redis",
            said=f"{name} {version} at {shown} is older than {_OLDEST}",
            remedy=f"use Redis {_OLDEST} or newer, or any Valkey",
        )
    return Good(topic="Redis", said=f"{name} {version} at {shown}")


def _eviction(info: Info) -> Finding:
    policy, limit = str(info.get("maxmemory_policy")), _number(info, "maxmemory")
    if policy == "noeviction":
        return Good(topic="Redis eviction", said="noeviction")
    if limit == 0:
        return Notice(
            topic="Redis eviction",
            said=f"{policy}, harmless while maxmemory is 0; set maxmemory-policy noeviction",
        )
    return Fault(
        topic="Redis eviction",
        said=f"{policy}: under pressure Redis deletes keys of the queue",
        remedy="set maxmemory-policy noeviction",
    )


def _persistence(info: Info) -> Finding:
    if not _number(info, "aof_enabled"):
        return Fault(
            topic="Redis persistence",
            said="the append-only file is off: a restart of Redis costs every inventory again",
            remedy="set appendonly yes and appendfsync everysec",
        )
    if info.get("aof_last_write_status") not in (None, "ok"):
        return Fault(
            topic="Redis persistence",
            said="the last write of the append-only file failed",
            remedy="look at the free space of Redis' data folder and at its log",
        )
    return Good(topic="Redis persistence", said="append-only file")


def _memory(info: Info) -> list[Finding]:
    used, limit = _number(info, "used_memory"), _number(info, "maxmemory")
    if not limit or used < limit * _NEARLY_FULL:
        return []
    return [
        Fault(
            topic="Redis memory",
            said=f"{used:,} of {limit:,} bytes are used: adds will soon be refused",
            remedy="raise maxmemory",
        )
    ]


def _number(info: Info, name: str) -> int:
    value = info.get(name)
    return value if isinstance(value, int) else 0
