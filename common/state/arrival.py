"""How a process comes to its Redis: the client that the settings mean, and the first fact."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from common.model.errors import PreconditionError
from common.model.facts import Fact
from common.model.redis_address import RedisAddress
from common.ops.startup import patiently
from common.ops.version import VERSION
from common.settings.value import RedisSettings
from common.state.connect import Client, connect


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


def tell_start(ledger: Told, component: str, stopping: threading.Event) -> bool:
    """Append the fact that a process started, waiting for Redis; False: told to stop meanwhile."""
    started = Fact(kind="started", data={"component": component, "version": VERSION})

    def told() -> bool:
        ledger.append([started])
        return True

    return patiently(told, stopping) is not None
