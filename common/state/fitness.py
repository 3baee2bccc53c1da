"""Is this Redis fit for the product: new enough, alone, keeping what it is told, and open to us.

Judges what `examine` saw. `sluice doctor` prints the findings; every process logs those that are
not good when it starts, and refuses to start where nothing could ever work. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from common.model.finding import Fault, Finding, Good, Notice
from common.state.examine import Server

_OLDEST = 7  # our scripts use what Redis 7 and Valkey 7 brought
_NEARLY_FULL = 0.9
_DEFAULT_USER = "default"  # whoever connects without a name
_COMMAND = re.compile(r"'([a-z|]+)' command")  # in the words of a server that refuses one
_RULE = "ACL SETUSER {user} {rights}, or the whole line of docs/operations.md"

Info = Mapping[str, object]


def judge(server: Server, *, shown: str, user: str = "") -> Iterator[Finding]:
    """Yield what there is to say about the Redis at the address `shown`, whose user is `user`."""
    yield from hopeless(server, shown=shown, user=user)
    if server.info is None:
        yield Notice(
            topic="Redis",
            said=f"{shown} answers; version, role, eviction and persistence could not be checked: "
            "this user may not ask INFO",
        )
    else:
        if is_new_enough(server.info):
            yield Good(topic="Redis", said=f"{_version(server.info)} at {shown}")
        yield from _role(server.info, shown)
        yield _eviction(server.info)
        yield from _persistence(server.info, server.config)
        yield from _memory(server.info)
    if not server.lacking and not server.refusal:
        yield Good(topic="Redis rights", said="this user may do all that is needed")


def hopeless(server: Server, *, shown: str, user: str = "") -> Iterator[Fault]:
    """Yield the faults with which nothing works at all, now or later."""
    info = server.info or {}
    if info and not is_new_enough(info):
        yield Fault(
            topic="Redis",
            said=f"{_version(info)} at {shown} is older than {_OLDEST}",
            remedy=f"use Redis {_OLDEST} or newer, or any Valkey",
        )
        return  # an older server cannot tell rights
    if _number(info, "cluster_enabled"):
        yield Fault(
            topic="Redis",
            said=f"{shown} is a node of a Redis Cluster: the queue's scripts need all keys in one",
            remedy="use a server with cluster-enabled no; Sentinel gives it a successor",
        )
    if server.lacking or server.refusal:
        yield _rights(server, user or _DEFAULT_USER)


def is_new_enough(info: Info) -> bool:
    """Return whether the scripts run on this version."""
    major = re.match(r"\d+", _number_of(info))
    return major is not None and int(major[0]) >= _OLDEST


def _rights(server: Server, user: str) -> Fault:
    if server.refusal:
        said = f"this user may not even ask for its rights: {server.refusal}"
        named = _COMMAND.search(server.refusal)
        rights = f"+{named[1]}" if named else "+evalsha +script|load"
    else:
        rights = " ".join(server.lacking)
        said = f"this user lacks {rights}"
    return Fault(topic="Redis rights", said=said, remedy=_RULE.format(user=user, rights=rights))


def _number_of(info: Info) -> str:
    return str(info.get("valkey_version") or info.get("redis_version") or "unknown")


def _version(info: Info) -> str:
    return f"{'Valkey' if info.get('valkey_version') else 'Redis'} {_number_of(info)}"


def _role(info: Info, shown: str) -> Iterator[Finding]:
    if info.get("role") in (None, "master"):
        return
    primary = f"{info.get('master_host')}:{info.get('master_port')}"
    yield Fault(
        topic="Redis role",
        said=f"{shown} is a replica of {primary}: it takes no writes, or loses them",
        remedy="set SLUICE_REDIS_URL to the primary, or to the Sentinels, which know it: "
        "redis+sentinel://host:26379/service/0",
    )


def _eviction(info: Info) -> Finding:
    policy, limit = info.get("maxmemory_policy"), _number(info, "maxmemory")
    if policy is None:  # some managed services do not tell
        return Notice(topic="Redis eviction", said="could not be checked: INFO does not tell it")
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


def _persistence(info: Info, config: Mapping[str, str] | None) -> Iterator[Finding]:
    if _number(info, "aof_enabled"):
        yield _append_only(info, config)
    else:
        yield _snapshots(info, config)


def _append_only(info: Info, config: Mapping[str, str] | None) -> Finding:
    if info.get("aof_last_write_status") not in (None, "ok"):
        return Fault(
            topic="Redis persistence",
            said="the last write of the append-only file failed",
            remedy="look at the free space of Redis' data folder and at its log",
        )
    if config is not None and config.get("appendfsync") == "no":
        return Notice(
            topic="Redis persistence",
            said="append-only file with appendfsync no: a crash of the machine loses what the "
            "kernel had not written, about 30 s; set appendfsync everysec",
        )
    return Good(topic="Redis persistence", said="append-only file")


def _snapshots(info: Info, config: Mapping[str, str] | None) -> Finding:
    """Judge a server without append-only file: what is newer than its last snapshot is lost."""
    topic = "Redis persistence"
    off = "the append-only file is off"
    if config is None:
        return Notice(
            topic=topic,
            said=f"{off}; whether snapshots are taken could not be checked: this user may not ask "
            "CONFIG GET. Set appendonly yes",
        )
    if not config.get("save"):
        return Fault(
            topic=topic,
            said=f"{off} and no snapshot is taken: a restart of Redis costs every inventory again",
            remedy="set appendonly yes and appendfsync everysec",
        )
    if info.get("rdb_last_bgsave_status") not in (None, "ok"):
        return Fault(
            topic=topic,
            said=f"{off} and the last snapshot failed",
            remedy="look at the free space of Redis' data folder and at its log",
        )
    return Notice(
        topic=topic,
        said=f"snapshots only (save {config['save']}): a crash of Redis costs what was done since "
        "the last one; set appendonly yes and appendfsync everysec",
    )


def _memory(info: Info) -> Iterator[Finding]:
    used, limit = _number(info, "used_memory"), _number(info, "maxmemory")
    if limit and used >= limit * _NEARLY_FULL:
        yield Fault(
            topic="Redis memory",
            said=f"{used:,} of {limit:,} bytes are used: adds will soon be refused",
            remedy="raise maxmemory",
        )


def _number(info: Info, name: str) -> int:
    value = info.get(name)
    return value if isinstance(value, int) else 0
