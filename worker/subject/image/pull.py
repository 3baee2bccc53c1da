"""Takes an image's inventory: one use's name and credentials after the other, until one will do.

Apart from the reconciler: what a pull needs (names, credentials, bounds) changes here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from common.model.errors import BadReferenceError, SluiceError
from common.model.facts import Fact
from common.model.image import ImageUse, Inventory
from common.model.key import ImageKey
from common.model.refs import parse_reference
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.credentials import first_taken
from worker.evidence.image.inventory import InventoryJob, Scanner
from worker.evidence.image.options import ScanOptions


class Keys(Protocol):
    """Pull credentials."""

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        """Give what the use's kubelet would present, best first, and None at last: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullConfig:
    """The settings that a pull needs."""

    options: ScanOptions
    deadline_s: float  # of one inventory
    accesses: Accesses
    server_url: Callable[[], str]  # of the match server, which keeps the layer cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An inventory and what the ledger tells of it."""

    inventory: Inventory
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One use's name with one of its credentials."""

    use: ImageUse
    access: Access
    docker_config: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Pulls and analyses images. Thread-safe as far as its ports are."""

    keys: Keys
    scanner: Scanner
    config: PullConfig

    def analyse(self, key: ImageKey, tries: Sequence[ImageUse], *, alone: bool) -> Pulled:
        """Return the image's inventory, by the first name and credential that will do.

        `tries` come one after the other, each with every credential that it may have; only what
        another could do better goes on to the next. `alone`: with nothing beside it in the scanner.
        Raises the most telling refusal; an error says whose names its text may hold (`whose`).
        """

        def attempt(one: _Try) -> Pulled:
            try:
                return self._attempt(key, one, alone=alone)
            except SluiceError as error:
                error.whose = one.use.namespace
                raise

        return first_taken(
            self._tries(tries), attempt, has_credential=lambda one: one.docker_config is not None
        )

    def _tries(self, uses: Sequence[ImageUse]) -> Iterator[_Try]:
        """Give what differs in something that a registry could see; look credentials up late."""
        given: set[tuple[str, bytes | None]] = set()
        nameless: BadReferenceError | None = None
        for use in uses:
            try:
                access = self.config.accesses.of(parse_reference(use.reference))
            except BadReferenceError as error:
                error.whose = use.namespace
                nameless = nameless or error
                continue  # another use may have a name
            for config in self.keys.candidates(use):
                if (access.mirrored_name, config) not in given:
                    given.add((access.mirrored_name, config))
                    yield _Try(use=use, access=access, docker_config=config)
        if nameless is not None and not given:
            raise nameless

    def _attempt(self, key: ImageKey, one: _Try, *, alone: bool) -> Pulled:
        result = self.scanner.inventory(
            InventoryJob(
                reference=f"{one.access.mirrored_name}@{key.digest}",
                access=one.access,
                platform=key.platform,
                options=self.config.options,
                server_url=self.config.server_url(),
                deadline_s=self.config.deadline_s,
                docker_config=one.docker_config,
                alone=alone,
            )
        )
        # No name: other tenants' histories tell this too.
        data = {
            "seconds": round(result.seconds, 3),
            "secrets": len(result.inventory.secrets),
            "covered": result.inventory.covered,
        }
        fact = Fact(kind="inventoried", key=str(key), data=data)
        return Pulled(inventory=result.inventory, fact=fact)
