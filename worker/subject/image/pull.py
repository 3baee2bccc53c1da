"""Takes an image's inventory: one use's name and credentials after the other, until one will do.

Apart from the reconciler: what a pull needs (names, credentials, bounds) changes here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from common.model.errors import (
    BadReferenceError,
    SluiceError,
    TransferDamagedError,
    TransientError,
)
from common.model.facts import Fact
from common.model.image import ImageUse, Inventory
from common.model.key import ImageKey
from common.model.refs import parse_reference
from common.state.layers import Held
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.credentials import first_taken, is_refusal
from worker.evidence.image.inventory import InventoryJob, InventoryResult, Scanner
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.told import Told
from worker.subject.image.once import Elsewhere, PullOnce, Run

# Final faults of a registry, not of the image: under another name it may lie elsewhere.
_OF_REGISTRY = frozenset({"CertificateRefused", "ManifestTooLarge", "RegistryRefused"})


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
    max_bytes: int = 0  # of an image; 0: no limit
    java: JavaOrigin | None = None  # of the Java index; None: as the scanner's own settings say


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An inventory and what the ledger tells of it."""

    inventory: Inventory
    fact: Fact
    told: tuple[Told, ...] = ()  # what Trivy itself found; for a canary


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
    once: PullOnce | None = None  # None: Trivy pulls by itself, whoever else may do so

    def analyse(self, run: Run, tries: Sequence[ImageUse]) -> Pulled | Held | Elsewhere:
        """Return the image's inventory, by the first name and credential that will do.

        Or say which image's run must end first, and its end wakes the key; or that the image has
        its record under another key.
        `tries` come one after the other, each with every credential that it may have; only what
        another could do better goes on to the next. A registry in trouble is asked once: who names
        the image elsewhere must not wait for it.
        Raises the most telling refusal; an error says whose names its text may hold (`whose`).
        """
        troubled: set[str] = set()

        def attempt(one: _Try) -> Pulled | Held | Elsewhere:
            try:
                return self._attempt(run, one)
            except SluiceError as error:
                error.whose = one.use.namespace
                if _is_of_registry(error):
                    troubled.add(one.access.host)
                raise

        return first_taken(
            self._tries(self._fitting(run.key, tries), troubled),
            attempt,
            has_credential=lambda one: one.docker_config is not None,
            passes=may_fare_better,
        )

    def _fitting(self, key: ImageKey, tries: Sequence[ImageUse]) -> Sequence[ImageUse]:
        """Return the uses whose options the key names: one's skips must not hide for another.

        Raises TransientError where there are uses and none fits: other settings are on their way.
        """
        options = self.config.options
        fit = [
            use
            for use in tries
            if options.chosen_digest(use.skip_files, use.skip_dirs) == key.options
        ]
        if tries and not fit:
            raise TransientError(
                f"{key.shown}: no workload uses it with the scan options of its key",
                reason="OptionsChanged",
            )
        return fit

    def _tries(
        self, uses: Sequence[ImageUse], troubled: Collection[str] = frozenset()
    ) -> Iterator[_Try]:
        """Give what differs in something that a registry could see; look credentials up late.

        `troubled` are the registries that are not to be asked any more; it may grow meanwhile.
        Where one use's credentials cannot be had, the next use comes; raises that last.
        """
        given: set[tuple[str, str, bytes | None]] = set()
        nameless: BadReferenceError | None = None
        unknown: SluiceError | None = None
        for use in uses:
            try:
                access = self.config.accesses.of(parse_reference(use.reference))
            except BadReferenceError as error:
                error.whose = use.namespace
                nameless = nameless or error
                continue  # another use may have a name
            if access.host in troubled:
                continue
            try:
                for config in self.keys.candidates(use):
                    if access.host in troubled:
                        break
                    visible = (access.mirrored_name, use.digest, config)
                    if visible not in given:
                        given.add(visible)
                        yield _Try(use=use, access=access, docker_config=config)
            except SluiceError as error:  # a provider that fails, an API server that is away
                error.whose = use.namespace
                unknown = unknown or error
        if unknown is not None:
            raise unknown
        if nameless is not None and not given:
            raise nameless

    def try_out(self, key: ImageKey, tries: Sequence[ImageUse]) -> Pulled:
        """Return a new inventory, with what Trivy itself finds: for a canary, which leases nothing.

        Raises what `analyse` raises.
        """

        def attempt(one: _Try) -> Pulled:
            job = replace(self._job(Run(key=key, token=0), one), canary=True)
            return _pulled(key, self.scanner.inventory(job))

        return first_taken(
            self._tries(self._fitting(key, tries)),
            attempt,
            has_credential=lambda one: one.docker_config is not None,
        )

    def _attempt(self, run: Run, one: _Try) -> Pulled | Held | Elsewhere:
        job = self._job(run, one)
        if self.once is None:
            return _pulled(run.key, self.scanner.inventory(job))
        found = self.once.inventory(self.scanner, run, job)
        return found if isinstance(found, Held | Elsewhere) else _pulled(run.key, found)

    def _job(self, run: Run, one: _Try) -> InventoryJob:
        return InventoryJob(
            reference=f"{one.access.mirrored_name}@{one.use.digest or run.key.digest}",
            access=one.access,
            platform=run.key.platform,
            options=self.config.options.chosen(one.use.skip_files, one.use.skip_dirs),
            server_url=self.config.server_url(),
            deadline_s=self.config.deadline_s,
            docker_config=one.docker_config,
            alone=run.alone,
            max_bytes=self.config.max_bytes,
            java=self.config.java,
        )


def may_fare_better(error: SluiceError) -> bool:
    """Say whether another name of the image, or another credential, may."""
    return is_refusal(error) or _is_of_registry(error)


def _is_of_registry(error: SluiceError) -> bool:
    """Say whether it is about the registry that was asked, and no other."""
    return (
        error.source.startswith("registry/")
        or isinstance(error, TransferDamagedError)
        or error.reason in _OF_REGISTRY
    )


def _pulled(key: ImageKey, result: InventoryResult) -> Pulled:
    # No name: other tenants' histories tell this too.
    data = {
        "seconds": round(result.seconds, 3),
        "secrets": len(result.inventory.secrets),
        "covered": result.inventory.covered,
    }
    fact = Fact(kind="inventoried", key=str(key), data=data)
    return Pulled(inventory=result.inventory, fact=fact, told=result.told)
