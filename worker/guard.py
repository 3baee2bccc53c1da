"""Circuits around the ports: a source in trouble is not asked, and its faults carry its name.

Each guard stands before one adapter and knows which source it asks. What a fault costs the key is
decided later, where the key is known (`worker.judge`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from common.kube.errors import ApiError
from common.kube.session import Api, Reply
from common.model.clusterrow import KbomPackage
from common.model.errors import (
    CircuitOpenError,
    ConflictError,
    GoneError,
    LayerCacheMissingError,
    RateLimitedError,
    ScanTimeoutError,
    SluiceError,
    SourceFault,
    SourceUnavailableError,
    TerminalError,
)
from common.model.image import Inventory, Layers, Match
from common.model.refs import ImageDigest, ImageReference, parse_reference
from common.state.circuits import Passage, Probe, Refusal
from worker.evidence.cluster.match import ClusterMatch, ClusterMatcher
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, InventoryResult, Scanner
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.match import BatchMatcher, Matcher
from worker.evidence.image.registry import Questions

API_SERVER = "api-server"

_FAULTS = (SourceUnavailableError, RateLimitedError)
# An answer, if not the one that was hoped for: the source is well.
_ANSWERS = (ApiError, TerminalError, GoneError, ConflictError, LayerCacheMissingError)
# Whom the scanner's faults are about. Others are nobody's that other images share: one with a jar
# and no Java database must not open a circuit for all.
_OF_REGISTRY = frozenset({"RateLimited", "RegistryUnavailable", "NameResolution"})
_OF_SCANNER = frozenset({"ScannerTooNew", "ScannerUnavailable"})
_OF_MATCHER = frozenset({"LayerCacheUnavailable", "MatchServerRefused", "MatchServerUnavailable"})


class Circuits(Protocol):
    """Where circuits are kept."""

    def enter(self, source: str) -> Passage:
        """Say whether the source may be asked."""

    def succeeded(self, source: str) -> None:
        """Say that the source answered."""

    def left(self, source: str) -> None:
        """Give a probe back that learned nothing about the source."""


class Registries(Protocol):
    """Whoever can tell whether a registry lives."""

    def ping(self, access: Access) -> None:
        """Return when it does; raise SourceUnavailableError when it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Asks sources under their circuits."""

    circuits: Circuits

    @contextmanager
    def asking(
        self,
        *sources: str,
        blamed: Callable[[SluiceError], str] | None = None,
        answering: Sequence[str] | None = None,
        subject: str = "",
    ) -> Iterator[frozenset[str]]:
        """Ask sources within; gives those that this caller is the first to try again.

        Raises CircuitOpenError where one of them is left alone. `blamed` tells which one a fault is
        about (empty: none), without it the only one; `answering` are those that a refusal proves to
        be well, without it all; `subject` is what was asked for, if several keys ask for the same.
        """
        probed = self._entered(sources)
        try:
            yield frozenset(probed)
        except SluiceError as error:
            if isinstance(error, _FAULTS):
                error.source = error.source or (blamed(error) if blamed else sources[0])
                error.subject = error.subject or subject
                probed.discard(error.source)  # its failure is counted, which ends the probe
            elif isinstance(error, _ANSWERS):
                for source in sources if answering is None else answering:
                    self.circuits.succeeded(source)
                    probed.discard(source)
            self._leave(probed)
            raise
        except BaseException:
            self._leave(probed)
            raise
        for source in sources:
            self.circuits.succeeded(source)

    def _entered(self, sources: Sequence[str]) -> set[str]:
        """Enter all of them or none: a probe of one must not wait for another's circuit.

        Always in the same order, so that two callers never hold what the other one needs.
        """
        probed: set[str] = set()
        for source in sources:
            passage = self.circuits.enter(source)
            if isinstance(passage, Refusal):
                self._leave(probed)
                raise _open(source, passage)
            if isinstance(passage, Probe):
                probed.add(source)
        return probed

    def _leave(self, probed: set[str]) -> None:
        for source in sorted(probed):
            with contextlib.suppress(SluiceError):  # Redis is away: the probe is given up in time
                self.circuits.left(source)


def _open(source: str, refusal: Refusal) -> CircuitOpenError:
    """Return an error with the reason that opened the circuit: users read that one."""
    error = CircuitOpenError(
        f"{source} fails for several keys and is not asked until it answers one of them",
        reason=refusal.reason,
    )
    error.source = source
    error.fault = SourceFault(
        source=source, failures=refusal.failures, wait_s=refusal.wait_s, spared=True
    )
    return error


def registry_of(host: str) -> str:
    """Return the source that a registry's host is."""
    return f"registry/{host}"


class Documents(Protocol):
    """A registry that tells which layers an image has."""

    def outline(  # noqa: D102 # see HttpRegistry
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> tuple[bytes, ...]: ...

    def manifest(  # noqa: D102, PLR0913 # see HttpRegistry
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
        known: Sequence[bytes] = (),
    ) -> ManifestSeen: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRegistry:
    """A `Registry` under its circuit."""

    registry: Questions
    guard: Guard

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        """See `Registry.resolve`."""
        with self.guard.asking(registry_of(access.host), subject=access.mirrored_name):
            return self.registry.resolve(reference, docker_config, access=access)

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> ManifestSeen:
        """See `HttpRegistry.manifest`."""
        with self.guard.asking(registry_of(access.host), subject=access.mirrored_name):
            return self.registry.manifest(
                reference, digest, config=config, platform=platform, access=access
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedManifests:
    """The documents of jobs' images, under the circuit of their registry."""

    registry: Documents
    guard: Guard

    def outline(self, job: InventoryJob) -> tuple[bytes, ...]:
        """Return the image's manifest, and before it the indexes that led to it."""
        reference = parse_reference(job.reference)
        with self._asking(job.access):
            return self.registry.outline(
                reference,
                reference.digest,
                config=job.docker_config,
                platform=job.platform,
                access=job.access,
            )

    def manifest(self, job: InventoryJob, known: Sequence[bytes]) -> ManifestSeen:
        """Return manifest and configuration; what is `known` is not asked for."""
        reference = parse_reference(job.reference)
        with self._asking(job.access):
            return self.registry.manifest(
                reference,
                reference.digest,
                config=job.docker_config,
                platform=job.platform,
                access=job.access,
                known=known,
            )

    def _asking(self, access: Access) -> AbstractContextManager[frozenset[str]]:
        return self.guard.asking(registry_of(access.host), subject=access.mirrored_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedScanner:
    """A `Scanner` under three circuits: its own, the registry's and the match server's."""

    scanner: Scanner
    registries: Registries
    name: str  # of the scanner, among all of the cluster
    guard: Guard

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """See `Scanner.inventory`.

        A registry that hangs holds a scan until its deadline. So one in trouble is asked for a sign
        of life first, and again after a scan that timed out: is there none, it is to blame, and not
        the image.
        """
        own = f"scanner/{self.name}"
        registry = registry_of(job.access.host)
        matcher = match_server_of(job.server_url)

        def blamed(error: SluiceError) -> str:
            if error.reason in _OF_REGISTRY:
                return registry
            if error.reason in _OF_SCANNER:
                return own
            return matcher if error.reason in _OF_MATCHER else ""

        with self.guard.asking(
            own,
            registry,
            matcher,
            blamed=blamed,
            answering=(own, registry),
            subject=job.access.mirrored_name,
        ) as probed:
            if registry in probed:
                self.registries.ping(job.access)
            try:
                return self.scanner.inventory(job)
            except ScanTimeoutError:
                self.registries.ping(job.access)
                raise


def match_server_of(url: str) -> str:
    """Return the source that a match server is."""
    return f"match-server/{url.rpartition('//')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedMatcher:
    """A `Matcher` under its circuit."""

    matcher: Matcher
    server_url: Callable[[], str]
    guard: Guard

    def match(self, inventory: Inventory) -> Match:
        """See `Matcher.match`."""
        with self.guard.asking(match_server_of(self.server_url())):
            return self.matcher.match(inventory)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedBatchMatcher:
    """A `BatchMatcher` under its circuit: one question to the circuit for many images."""

    matcher: BatchMatcher
    server_url: Callable[[], str]
    guard: Guard

    def match_many(self, images: Sequence[Layers]) -> list[Match | SluiceError]:
        """See `TwirpMatcher.match_many`; a fault of the server carries its name here too."""
        source = match_server_of(self.server_url())
        with self.guard.asking(source):
            found = self.matcher.match_many(images)
            faults = [one for one in found if isinstance(one, _FAULTS)]
            if faults and len(faults) == len(found):
                raise faults[0]
        for fault in faults:
            fault.source = fault.source or source
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedClusterMatcher:
    """A `ClusterMatcher` under the match server's circuit."""

    matcher: ClusterMatcher
    server_url: Callable[[], str]
    guard: Guard

    def match(self, target: str, packages: Iterable[KbomPackage]) -> ClusterMatch:
        """See `ClusterMatcher.match`."""
        with self.guard.asking(match_server_of(self.server_url())):
            return self.matcher.match(target, packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedApi:
    """An `Api` under its circuit."""

    api: Api
    guard: Guard

    def request(self, method: str, path: str, **rest: Any) -> Reply:  # noqa: ANN401 # handed on as it is
        """See `Api.request`."""
        with self.guard.asking(API_SERVER):
            return self.api.request(method, path, **rest)
