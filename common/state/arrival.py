"""How a process comes to its Redis: the client that the settings mean, a look, the first fact."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from common.model.errors import PreconditionError
from common.model.facts import Fact
from common.model.finding import Fault, Good
from common.model.redis_address import RedisAddress
from common.ops.startup import patiently
from common.ops.version import VERSION
from common.settings.value import RedisSettings
from common.state.connect import Client, connect
from common.state.examine import Server, look
from common.state.fitness import hopeless, judge
from common.state.names import Names

_log = structlog.get_logger()


class Told(Protocol):
    """The ledger."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts. Raises SourceUnavailableError."""


def required_address(redis: RedisSettings) -> RedisAddress:
    """Return the address that is set. Raises PreconditionError with the remedy if none is."""
    if redis.address is None:
        raise PreconditionError(
            "SLUICE_REDIS_URL is not set; set it to the Redis that watcher and workers share, "
            "or use `sluice run`, which brings its own"
        )
    return redis.address


def client_for(redis: RedisSettings, address: RedisAddress, *, name: str) -> Client:
    """Return a client with the settings' password and certificates; `name` is for CLIENT LIST."""
    return connect(
        address,
        password_file=redis.password_file,
        sentinel_password_file=redis.sentinel_password_file,
        ca_file=redis.ca_file,
        name=name,
    )


def examined(
    client: Client, names: Names, address: RedisAddress, stopping: threading.Event
) -> bool:
    """Look at Redis, waiting for it, and tell what `tell_fitness` tells; False: told to stop.

    Raises PreconditionError with which nothing would ever work.
    """
    server = patiently(lambda: look(client, names), stopping)
    if server is None:
        return False
    tell_fitness(server, address)
    return True


def examine(client: Client, names: Names, address: RedisAddress) -> None:
    """Look at Redis once; see `examined`. Raises SourceUnavailableError when it is away."""
    tell_fitness(look(client, names), address)


def tell_fitness(server: Server, address: RedisAddress) -> None:
    """Log what endangers the product's data, each with its remedy; what is well is not told.

    An evicting or forgetful server costs work, not correctness, so that it is no reason to refuse.
    Raises PreconditionError for one on which nothing works: too old, a cluster, rights that lack.
    """
    shown, user = address.shown, address.username
    faults = list(hopeless(server, shown=shown, user=user))
    if faults:
        raise PreconditionError(
            "\n".join(f"{each.topic}: {each.said}; {each.remedy}" for each in faults)
        )
    for finding in judge(server, shown=shown, user=user):
        match finding:
            case Good():
                continue
            case Fault():
                _log.warning(finding.topic, what=finding.said, remedy=finding.remedy, redis=shown)
            case _:
                _log.info(finding.topic, what=finding.said, redis=shown)


def tell_start(ledger: Told, component: str, stopping: threading.Event) -> bool:
    """Append the fact that a process started, waiting for Redis; False: told to stop meanwhile."""
    started = Fact(kind="started", data={"component": component, "version": VERSION})

    def told() -> bool:
        ledger.append([started])
        return True

    return patiently(told, stopping) is not None
