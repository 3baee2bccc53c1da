"""The epoch: a growing number, one per generation of settings, schema, Trivy and projection."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from redis import Redis

from common.model.bounded import EPOCH_LIMIT, whole_number
from common.model.canonical import ContentHash, content_hash
from common.model.errors import SluiceError, StaleFenceError
from common.ops.version import VERSION
from common.settings.value import Settings
from common.state.names import Names
from common.state.readable import text_of
from common.state.scripts import Scripts

# After this the workers have the settings that the watcher has, in most rollouts.
_ROLLOUT_S = 120


class Published(NamedTuple):
    """The epoch that stands in Redis."""

    number: int  # 0: none is published, or none that can be
    digest: str
    version: str = ""  # of who published it, which is in the digest too; empty: not known


def generation_digest(projection: ContentHash, version: str) -> str:
    """Return the digest of everything that shapes reports: settings, and our own code."""
    return content_hash({"settings": projection, "version": version})


class Clock(Protocol):
    """A clock that all processes share."""

    def now_s(self) -> float:
        """Return Unix seconds; raises what Redis' absence raises."""


def digest_at(settings: Settings, clock: Clock) -> Callable[[], str]:
    """Return what tells the digest of the generation that `settings` make now.

    It changes by itself where an ignore rule ends. The clock is asked only where one can.
    """
    if settings.filters.ignore_rules.expiries_s:
        return lambda: generation_digest(settings.projection_digest(clock.now_s()), VERSION)
    fixed = generation_digest(settings.projection_digest(), VERSION)
    return lambda: fixed


class EpochTable:
    """Publishes and reads the epoch."""

    def __init__(self, redis: Redis, names: Names, *, ways: str = "") -> None:
        """`ways` is the publisher's `Settings.ways_digest`; empty: not known."""
        self._scripts = Scripts(redis, names)
        self._name = names.own("epoch")
        self._ways = ways

    def current(self) -> int:
        """Return the published epoch; 0: none is published."""
        return self.published().number

    def published(self) -> Published:
        """Return the published epoch with the digest of its generation."""
        with self._scripts.reading() as redis:
            number, *texts = redis.hmget(self._name, "number", "digest", "version")
        known = whole_number(text_of(number), at_most=EPOCH_LIMIT)
        return Published(known or 0, *map(text_of, texts))

    def publish(self, digest: str, at_least: int = 0, *, fence: int) -> int:
        """Publish a generation and return its number.

        The same digest keeps the number, another one raises it, also when an older digest returns.
        What is parked is tried once more under another one, and soon where only the ways differ.
        `at_least` is the highest number seen in stamps: after a flush it is taken up again.
        Raises StaleFenceError when another watcher took a higher fence: a deposed one that was
        stopped before this call would bring its older digest back.
        """
        payload = {
            "key": self._name,
            "digest": digest,
            "version": VERSION,
            "ways": self._ways,
            "at_least": at_least,
            "rollout_s": _ROLLOUT_S,
            "fence": fence,
        }
        number = int(self._scripts.run("epoch", payload, repeatable=True))
        if not number:
            raise StaleFenceError(
                f"fence {fence} is not the highest any more: another watcher leads; publish nothing"
            )
        return number


class Generation:
    """The generation that a worker belongs to. Thread-safe as far as `read` is.

    While another one is published, it stands back: its reports would be of the wrong settings or
    version, under a number that says otherwise.
    """

    def __init__(self, read: Callable[[], Published], digest: Callable[[], str]) -> None:
        """`digest` is that of the generation which the settings make now."""
        self._read = read
        self.digest = digest
        self._number = 0

    def number(self) -> int:
        """Return the number under which it was published last; 0: never. Raises what `read` does.

        Never that of another generation, whose stamps would then look like ours.
        """
        published = self._read()
        if published.digest == self.digest():
            self._number = published.number
        return self._number

    def stands(self) -> bool:
        """Say whether it may work; while Redis does not answer it may: there is nothing to do."""
        try:
            published = self._read()
            return published.number == 0 or published.digest == self.digest()
        except SluiceError:
            return True
