"""What the product does in Redis, as rights: commands, keys, and the ACL line that grants them.

The one list behind the line in docs/operations.md and behind what `sluice doctor` asks for. Tests
hold it to what the product does: each command is used, and nothing is used that is not here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.state.names import RQ, Names

USER = "sluice"  # the page's example
KEYS = (f"~{RQ}:*", "~sluice:*")
_KEY = "{key}"

# Command (or `container|command`) to arguments for which Redis is asked whether it would allow it.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    # a connection; AUTH and HELLO are allowed to everybody
    "client|setname": ("x",),
    "ping": (),
    # the scripts, and what they call
    "script|load": ("x",),
    "evalsha": ("x", "1", _KEY),
    "time": (),
    "exists": (_KEY,),
    "del": (_KEY,),
    "unlink": (_KEY,),
    "expire": (_KEY, "1"),
    "persist": (_KEY,),
    "get": (_KEY,),
    "set": (_KEY, "1"),
    "hdel": (_KEY, "x"),
    "hexists": (_KEY, "x"),
    "hget": (_KEY, "x"),
    "hgetall": (_KEY,),
    "hincrby": (_KEY, "x", "1"),
    "hkeys": (_KEY,),
    "hmget": (_KEY, "x"),
    "hset": (_KEY, "x", "1"),
    "lindex": (_KEY, "0"),
    "llen": (_KEY,),
    "lpop": (_KEY,),
    "lpos": (_KEY, "x"),
    "lpush": (_KEY, "x"),
    "lrem": (_KEY, "0", "x"),
    "rpush": (_KEY, "x"),
    "sadd": (_KEY, "x"),
    "smembers": (_KEY,),
    "srem": (_KEY, "x"),
    "xadd": (_KEY, "*", "x", "x"),
    "xtrim": (_KEY, "MAXLEN", "1"),
    "zadd": (_KEY, "1", "x"),
    "zrange": (_KEY, "0", "0"),
    "zrangebyscore": (_KEY, "0", "0"),
    "zrem": (_KEY, "x"),
    "zscore": (_KEY, "x"),
    # plain commands: tables, waits, listings; one life of Redis told from another
    "multi": (),
    "exec": (),
    "blpop": (_KEY, "1"),
    "hscan": (_KEY, "0"),
    "zscan": (_KEY, "0"),
    "info": ("server",),
    "lrange": (_KEY, "0", "0"),
    "xrevrange": (_KEY, "+", "-"),
    "zcard": (_KEY,),
}


def acl_line(user: str = USER) -> str:
    """Return the smallest rule that works, as an administrator types it."""
    granted = " ".join(f"+{command}" for command in sorted(COMMANDS))
    keys = " ".join(KEYS)
    return f"ACL SETUSER {user} on '>PASSWORD' resetchannels resetkeys {keys} -@all {granted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call, and the rights that it needs."""

    command: str  # as a rule names it
    keys: str  # the key pattern of the rule; empty: the call touches no key
    words: tuple[str, ...]


def questions(names: Names) -> list[Question]:
    """Return what must be allowed in one cluster's key space: each command on each kind of key."""
    samples = {KEYS[0]: [names.job("x")], KEYS[1]: [names.own("x")]}
    asked = [
        Question(command=command, keys=pattern, words=_call(command, arguments, key))
        for command, arguments in COMMANDS.items()
        for pattern, (key,) in (samples if _KEY in arguments else {"": [""]}).items()
    ]
    others = (names.rq("queue", "scan", 0), f"{RQ}:queues", f"{RQ}:suspended", f"{RQ}:worker:x")
    return asked + [
        Question(command="unlink", keys=KEYS[0], words=("unlink", key)) for key in others
    ]


def _call(command: str, arguments: tuple[str, ...], key: str) -> tuple[str, ...]:
    return tuple(word.replace(_KEY, key) for word in (*command.split("|"), *arguments))


def lacking(asked: Sequence[Question], allowed: Sequence[bool]) -> tuple[str, ...]:
    """Return the rights that are missing, as a rule names them.

    Redis says only whether a call is allowed. A command that is refused on every kind of key is
    missing, unless all are: then it is the keys. A kind of key on which any other is refused, too.
    """
    granted = {one.command for one, yes in zip(asked, allowed, strict=True) if yes}
    with_key = {one.command for one in asked if one.keys}
    suspects = COMMANDS.keys() - granted
    if with_key <= suspects:
        suspects -= with_key
    refused = {
        one.keys
        for one, yes in zip(asked, allowed, strict=True)
        if not yes and one.keys and one.command not in suspects
    }
    return (*(f"+{command}" for command in sorted(suspects)), *sorted(refused))
