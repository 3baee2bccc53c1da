"""A client of whichever server the Sentinels take for the primary, now and after a failover.

redis-py asks them for new connections only. After a switch by hand, and when a primary that hung
wakes up, the former primary takes writes for some seconds more, until it is told to follow; then it
forgets them. So they are asked once a second, and connections to a former primary are given up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from common.model.redis_address import RedisAddress

# A Sentinel answers within a millisecond, and there are others: one that is cut off must not hold
# the way to the new primary up for long.
_ANSWER_S = 2.0
_LOOK_EVERY_S = 1.0
_PASSWORD = "SLUICE_REDIS_SENTINEL_PASSWORD_FILE"  # noqa: S105 # a setting's name
# Looking takes at most a sixth of the time, also where every Sentinel is cut off.
_REST_FACTOR = 5.0


def primary_of(
    address: RedisAddress, options: Mapping[str, Any], sentinel_options: Mapping[str, Any]
) -> Redis:
    """Return a client of the primary of `address.service`.

    `options` are for the connections to it, `sentinel_options` for those to the Sentinels.
    """
    sentinels = _Sentinels(  # type: ignore[no-untyped-call] # redis-py types neither
        list(address.hosts),
        sentinel_kwargs={
            "socket_timeout": _ANSWER_S,
            "socket_connect_timeout": _ANSWER_S,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,
            **sentinel_options,
        },
    )
    client: Redis = sentinels.master_for(  # type: ignore[no-untyped-call] # as above
        address.service, connection_pool_class=_Following, **options
    )
    return client


class _Sentinels(Sentinel):
    """Asks one Sentinel after the other, the one that answered last first.

    redis-py's own look swaps entries of its list: two threads that come past the same dead Sentinel
    put the next one into both places. And it words what it found for nobody.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's address. Raises MasterNotFoundError with every Sentinel's answer."""
        faults: list[str] = []
        before = self.sentinels
        for sentinel in before:
            try:
                found = self._primary(sentinel, service_name)
            except RedisError as exc:
                faults.append(f"{_shown(sentinel)}: {_told(exc)}")
                continue
            self.sentinels = [sentinel, *(each for each in before if each is not sentinel)]
            return found
        raise MasterNotFoundError(
            f"no Sentinel names a primary for {service_name!r} ({'; '.join(faults)})"
        )

    def _primary(self, sentinel: Any, service_name: str) -> tuple[str, int]:  # noqa: ANN401 # as above
        known = sentinel.sentinel_masters()
        state = known.get(service_name)
        if state is None:
            raise MasterNotFoundError(f"knows only {', '.join(sorted(known)) or 'no service'}")
        if not self.check_master_state(state, service_name):  # type: ignore[no-untyped-call] # as above
            raise MasterNotFoundError(f"says that {state['ip']}:{state['port']} is down")
        return state["ip"], state["port"]


def _shown(sentinel: Redis) -> str:
    options = sentinel.connection_pool.connection_kwargs
    return f"{options['host']}:{options['port']}"


def _told(error: RedisError) -> str:
    """Return what a Sentinel, or the way to it, said."""
    text = str(error).rstrip(".")
    if isinstance(error, AuthenticationError) and _PASSWORD not in text:
        return f"refuses us, see {_PASSWORD}: {text}"
    return text


class _Following(SentinelConnectionPool):
    """Gives up connections to a primary that is not the primary any more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # redis-py's own
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # redis-py types it not
        self._look_at_s = float("-inf")
        self._looking = threading.Lock()

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 # redis-py's own
        """Return a connection, to the primary of a second ago at worst."""
        if time.monotonic() >= self._look_at_s and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        return super().get_connection(*args, **kwargs)

    def _look(self) -> None:
        """Ask for the primary's address; another one than before ends idle connections.

        Those in use end when they are given back, for they are not the primary's any more.
        """
        began_s = time.monotonic()
        with contextlib.suppress(RedisError):  # the connections that stand may be good
            self.get_master_address()  # type: ignore[no-untyped-call] # redis-py types it not
        ended_s = time.monotonic()
        self._look_at_s = ended_s + max(_LOOK_EVERY_S, _REST_FACTOR * (ended_s - began_s))
