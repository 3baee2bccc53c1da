"""Looks at a Redis: what INFO and CONFIG say, and which rights its user lacks.

What the user may not ask stays unknown: a look never fails for a right that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from common.model.errors import shorten
from common.state.names import Names
from common.state.rights import lacking, questions
from common.state.scripts import bare, wrapped

_CONFIG = ("config", "get", "save", "appendfsync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one look found."""

    info: Mapping[str, object] | None  # None: the user may not ask
    config: Mapping[str, str] | None  # `save` and `appendfsync`; None: the user may not ask
    lacking: tuple[str, ...] = ()  # rights, as a rule for ACL SETUSER names them
    refusal: str = ""  # the server's words where it does not even tell rights; empty: it does


def look(client: Redis, names: Names) -> Server:
    """Return what is to be seen. Raises SourceUnavailableError when Redis does not answer."""
    try:
        rights = _rights(client, names)
        return Server(
            info=_info(client),
            # Not even tried without the right: it would stand in the server's log of refusals.
            config=_config(client) if rights.may_configure else None,
            lacking=rights.lacking,
            refusal=rights.refusal,
        )
    except RedisError as exc:
        raise wrapped(exc) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rights:
    lacking: tuple[str, ...] = ()
    refusal: str = ""
    may_configure: bool = False


def _rights(client: Redis, names: Names) -> _Rights:
    """Return the rights that are missing; with the server's words if it runs no script for us."""
    asked = questions(names)
    words = msgspec.msgpack.encode([*(one.words for one in asked), _CONFIG])
    try:
        *allowed, may_configure = client.register_script(bare("rights"))(args=[words])
    except ResponseError as exc:  # a server without such functions, or a user without scripts
        return _Rights(refusal=shorten(str(exc)))
    found = lacking(asked, [bool(yes) for yes in allowed])
    return _Rights(lacking=found, may_configure=bool(may_configure))


def _info(client: Redis) -> Mapping[str, object] | None:
    try:
        return client.info()
    except NoPermissionError:
        return None


def _config(client: Redis) -> Mapping[str, str] | None:
    try:
        return client.config_get(*_CONFIG[2:])  # type: ignore[return-value] # typed for all modes
    except ResponseError:  # managed services know no such command
        return None
