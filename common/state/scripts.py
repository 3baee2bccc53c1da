"""Runs the Lua scripts: names in, plain values out, Redis' errors turned into ours.

All scripts share the prologue `lib.lua` and one block of KEYS; a script's header names what else it
needs, so that a call builds no more than it uses.

redis-py re-sends a command whose reply was lost, up to ten times by default: a re-sent claim would
orphan the first one, so that is switched off here, and only calls that may run twice are repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry as RedisRetry

from common.model.errors import (
    SluiceError,
    SourceFault,
    SourceUnavailableError,
    TransientError,
    shorten,
)
from common.ops.refusals import REDIS_REFUSED
from common.state.connect import RIGHTS_REMEDY, PasswordFileError
from common.state.names import (
    CLAIMS_TTL_S,
    LEDGER_MAX_FACTS,
    RQ,
    RQ_HORIZON_S,
    UNUSED_IMAGE_TTL_S,
    Names,
)
from common.state.overwritten import overwritten

# One folder for all scripts: they share the prologue and the state table of `add` in it.
_LUA = Path(__file__).parents[1] / "queue" / "lua"
_NEEDS = re.compile(r"^-- Needs +(.+)$", re.MULTILINE)

# Answers of a server that will serve again: busy, loading, failing over, or short of something.
_PASSING = (
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "No matching script",  # redis-py's NOSCRIPT: flushed between its loading and its call
    "TRYAGAIN",
    "UNBLOCKED",
)

# These shrink memory or only move entries: they must pass when Redis is at maxmemory (trap 21).
_ALLOW_OOM = frozenset(
    {
        "beat",
        "circuit",
        "claim",
        "complete",
        "drop",
        "images",
        "members",
        "reap",
        "recover",
        "release",
        "waiters",
    }
)


# As if it had failed that often before: a run that met a fault of Redis comes back within 8 s.
_REDIS_FAILURES = 4


class _Runnable(Protocol):
    def __call__(self, *, keys: Sequence[bytes], args: Sequence[bytes]) -> Any: ...  # noqa: ANN401 # redis-py's own type


class Scripts:
    """The scripts of one key space on one client. Thread-safe, as redis-py's client is."""

    def __init__(self, redis: Redis, names: Names) -> None:
        redis.set_retry(RedisRetry(NoBackoff(), 0))
        self.redis = redis
        self.names = names
        self._keys = [name.encode() for name in names.fixed_keys()]  # once, not in every call
        self._constants = msgspec.msgpack.encode(
            {
                "job": f"{RQ}:job:",
                "rq": f"{RQ}:",
                "own": names.prefix,
                "ids": names.job_prefix,
                "max_facts": LEDGER_MAX_FACTS,
                "horizon_s": RQ_HORIZON_S,
                "image_ttl_s": UNUSED_IMAGE_TTL_S,
                "claims_ttl_s": CLAIMS_TTL_S,
            }
        )
        self._loaded: dict[str, _Runnable] = {}

    def run(
        self, name: str, payload: object, blobs: Sequence[bytes] = (), *, repeatable: bool = False
    ) -> Any:  # noqa: ANN401 # whatever the script's header says
        """Run one script; `repeatable` sends it once more when the connection broke.

        Raises SourceUnavailableError when Redis does not answer, TransientError when it is full.
        """
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self.redis.register_script(source(name))
        args = [self._constants, msgspec.msgpack.encode(payload), *blobs]
        try:
            return script(keys=self._keys, args=args)
        except (RedisConnectionError, RedisTimeoutError) as exc:
            if not repeatable:
                raise wrapped(exc) from exc
        except RedisError as exc:
            raise self._meant(exc, payload) from exc
        try:
            return script(keys=self._keys, args=args)
        except RedisError as exc:
            raise self._meant(exc, payload) from exc

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Give the client for plain commands; its errors leave as ours, like those of `run`.

        Untyped on purpose: redis-py types every reply as a union over modes that we never use.
        """
        try:
            yield self.redis
        except RedisError as exc:
            raise self._meant(exc) from exc

    @contextmanager
    def pipeline(self) -> Iterator[Any]:
        """Give a MULTI pipeline: what it reads was true at one instant."""
        try:
            with self.redis.pipeline(transaction=True) as pipe:
                yield pipe
        except RedisError as exc:
            raise self._meant(exc) from exc

    def _meant(self, exc: RedisError, payload: object = None) -> SluiceError:
        if "WRONGTYPE" not in str(exc):
            return wrapped(exc)
        about = payload if isinstance(payload, dict) else {}
        workers = {about.get("worker", ""), about.get("dead", "")} - {""}
        return overwritten(self.redis, self.names, workers)


def source(name: str) -> str:
    """Return a script as it is sent: flags, prologue, the files that it needs, body."""
    flags = "#!lua flags=allow-oom\n" if name in _ALLOW_OOM else "#!lua\n"
    body = (_LUA / f"{name}.lua").read_text()
    needs = _NEEDS.search(body)
    files = ["lib.lua", *(needs[1].split(", ") if needs else ())]
    return flags + "".join((_LUA / file).read_text() for file in files) + body


def bare(name: str) -> str:
    """Return a script that only looks, and needs neither names nor the prologue."""
    return "#!lua flags=no-writes,allow-stale\n" + (_LUA / f"{name}.lua").read_text()


def wrapped(exc: RedisError) -> SluiceError:
    """Return our error for one of redis-py's; where Redis is at fault, no key is charged for it."""
    error = _meaning(exc)
    if isinstance(error, TransientError):
        # It keeps no circuit of its own: nobody could read it. The loops wait for it instead.
        error.fault = SourceFault(source="redis", failures=_REDIS_FAILURES, wait_s=0, spared=True)
    return error


def _meaning(exc: RedisError) -> SluiceError:
    """Return our error for one of redis-py's.

    A refused password is waited out like an absent Redis: the password file is read again for
    every connection, and a running product must outlive a rotation. Commands look before they
    begin (`redis_errors`), and there it is a precondition.
    """
    text = str(exc)
    if isinstance(exc, OutOfMemoryError) or "maxmemory" in text:
        return TransientError(
            "Redis is full: it reached maxmemory; raise it, or look for foreign keys in it",
            reason="RedisFull",
        )
    shown = shorten(f"Redis: {type(exc).__name__}: {text}")
    if isinstance(exc, PasswordFileError):
        return SourceUnavailableError(text, reason=REDIS_REFUSED)
    if isinstance(exc, NoPermissionError):
        return SourceUnavailableError(f"{shown}; {RIGHTS_REMEDY}", reason=REDIS_REFUSED)
    if isinstance(exc, AuthenticationError):
        remedy = (
            "check SLUICE_REDIS_PASSWORD_FILE, which is read again for every connection; a password"
            " in SLUICE_REDIS_URL needs a restart"
        )
        return SourceUnavailableError(f"{shown}; {remedy}", reason=REDIS_REFUSED)
    refused = isinstance(exc, ResponseError) and not isinstance(exc, ReadOnlyError)
    if refused and not text.startswith(_PASSING):
        return SluiceError(shown, reason="RedisFault")
    return SourceUnavailableError(shown)
