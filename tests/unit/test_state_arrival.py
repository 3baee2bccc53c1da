"""How a process comes to its Redis, and to the name of its key space."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from common.kube.identity import key_space
from common.model.errors import PreconditionError, SourceUnavailableError
from common.model.facts import Fact
from common.ops.version import VERSION
from common.settings.parse import parse
from common.state.arrival import client_for, required_address, tell_start


class FakeLedger:
    """A ledger whose Redis is away for the first calls."""

    def __init__(self, *, away: int = 0) -> None:
        self.facts: list[Fact] = []
        self._away = away

    def append(self, facts: Sequence[Fact]) -> None:
        """Take facts."""
        self._away -= 1
        if self._away >= 0:
            raise SourceUnavailableError("Redis is loading")
        self.facts += facts


class Impatient(threading.Event):
    """An event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once whether it is set."""
        assert timeout is not None
        return self.is_set()


def test_a_start_is_told_once_redis_answers() -> None:
    """In a cluster all parts start at once; the fact says who came back, and when."""
    ledger = FakeLedger(away=3)
    assert tell_start(ledger, "worker", Impatient())
    (fact,) = ledger.facts
    assert (fact.kind, dict(fact.data)) == ("started", {"component": "worker", "version": VERSION})


def test_a_start_that_is_stopped_meanwhile_is_not_told() -> None:
    """Who ends must not go on to claim."""
    ledger, stopping = FakeLedger(away=99), Impatient()
    stopping.set()
    assert not tell_start(ledger, "worker", stopping)
    assert ledger.facts == []


def test_without_an_address_the_remedy_is_named() -> None:
    """Watcher and workers cannot bring their own Redis: they share one."""
    with pytest.raises(PreconditionError, match=r"SLUICE_REDIS_URL is not set; set it"):
        required_address(parse({}).redis)


def test_a_client_is_what_the_settings_say() -> None:
    """One place decides; a process that forgot the certificates would connect without them."""
    redis = parse({"SLUICE_REDIS_URL": "redis://ada:x@127.0.0.1:1/3"}).redis
    with client_for(redis, required_address(redis), name="watcher") as client:
        options = client.connection_pool.connection_kwargs
    assert (options["db"], options["username"], options["client_name"]) == (3, "ada", "watcher")


class Uid:
    """A cluster with an identity."""

    def kube_system_uid(self) -> str:
        """Return it."""
        return "0f5b2c1d-aaaa-bbbb-cccc-123456789012"


def test_the_key_space_is_named_by_the_first_eight_characters_of_the_uid() -> None:
    """Interface: commands, watcher and workers must come to the same name by themselves."""
    assert key_space(Uid()) == "0f5b2c1d"
