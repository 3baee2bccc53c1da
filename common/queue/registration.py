"""Makes a loop known to rq's tools: `rq info` lists it like any worker.

Registration, death and key layout are rq's own code. Its work loop, scheduler and maintenance never
run: they would judge our claims by rq's rules (`rq info` alone fails jobs whose entry expired).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Sequence

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from common.ops.version import VERSION
from common.queue.contract import Lane
from common.state.names import RQ, Names
from common.state.scripts import wrapped


class Registration:
    """rq's record of one loop. The queue's heartbeat keeps it alive."""

    def __init__(
        self,
        redis: Redis,
        names: Names,
        *,
        worker: str,
        pools: Sequence[str],
        digest: Callable[[], str] = str,
    ) -> None:
        """`digest` is that of the loop's generation; empty: it has none to tell."""
        self._redis = redis
        self._digest = digest
        self._told = ""
        self._name = worker
        self._queues = [names.queue(pool, lane) for pool in pools for lane in Lane]

    def birth(self) -> None:
        """Register; again after Redis lost its data. Raises SourceUnavailableError."""
        told = ["s_generation", self._digest(), "s_version", VERSION]
        try:
            # Registered already is registered by us: nobody else has this name.
            with contextlib.suppress(ValueError):
                self._worker().register_birth()  # type: ignore[no-untyped-call] # rq's own
            self._redis.hset(f"{RQ}:worker:{self._name}", items=told)
        except RedisError as exc:
            raise wrapped(exc) from exc
        self._told = told[1]

    def tell(self) -> None:
        """Tell the digest again if it is another than we told. Raises SourceUnavailableError."""
        if self._told and self._digest() != self._told:
            self.birth()

    def death(self) -> None:
        """Unregister; a record that stays behind, because Redis is away, expires by itself."""
        with contextlib.suppress(RedisError):
            self._worker().register_death()  # type: ignore[no-untyped-call] # rq's own

    def _worker(self) -> SimpleWorker:
        worker = _Record(
            self._queues,
            name=self._name,
            connection=self._redis,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        worker.hostname = socket.gethostname()
        worker.pid = os.getpid()
        return worker


class _Record(SimpleWorker):
    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the client as it is: rq would raise its socket timeout to seven minutes."""
        return connection


# Of this start. Containers may share a host name, each has a process 1, and one that starts again
# has the host name of before. Loops of one name would give back each other's running claims.
_START = secrets.token_hex(4)


def worker_name(names: Names, pool: str, number: int) -> str:
    """Return a name that no other loop has or had: cluster, pool, host, process, start, number."""
    host = socket.gethostname().partition(".")[0]
    return f"{names.cluster}-{pool}-{host}-{os.getpid()}-{_START}-{number}"
