"""Takes an inventory so that nothing is pulled twice in the cluster: no document, no layer.

Manifest first: it tells whether the image has a record under another digest, and names the layers.
Those that nobody has analysed are leased; where another run holds one, this one ends, and comes
back when that one has ended. Then the configuration, and the layers that the match server lacks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from common.model.errors import NoRoomError, SluiceError
from common.model.key import ImageKey
from common.model.refs import ImageDigest
from common.state.layers import Held, Lease
from worker.evidence.image.inventory import InventoryJob, InventoryResult, Scanner
from worker.evidence.image.manifest import ManifestSeen, digest_of, layers_of, packed_bytes
from worker.evidence.image.parts import ImageParts, parts_of
from worker.subject.image.full import Full


class Manifests(Protocol):
    """The registry of an image, asked for documents."""

    def outline(self, job: InventoryJob) -> tuple[bytes, ...]:
        """Return the image's manifest, and before it the indexes that led to it."""

    def manifest(self, job: InventoryJob, known: Sequence[bytes]) -> ManifestSeen:
        """Return manifest and configuration; what is `known` is not asked for."""


class Identities(Protocol):
    """Which digests name one image."""

    def settle(self, key: ImageKey, manifest: ImageDigest) -> ImageKey:
        """Return the key under which the image with that manifest has its record."""


class Layers(Protocol):
    """Who analyses which layer, in the whole cluster."""

    def lease(
        self, key: ImageKey, token: int, digests: Sequence[str], *, lost: bool = False
    ) -> Lease:
        """Lease the layers that nobody has analysed, or say who holds one of them."""

    def done(self, key: ImageKey, token: int, contents: Mapping[str, str]) -> None:
        """Say that the layers are analysed, and what they unpack to."""

    def free(self, key: ImageKey, token: int, digests: Sequence[str]) -> None:
        """End the leases."""

    def documents(self, key: ImageKey) -> tuple[bytes, ...]:
        """Return what an earlier run read."""

    def keep(self, key: ImageKey, documents: Sequence[bytes]) -> None:
        """Keep it for a later one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Which run of an image pulls it."""

    key: ImageKey
    token: int  # of its claim: leases last as long
    alone: bool = False  # with nothing beside it in the scanner
    lost: bool = False  # the match server lost the layers, whoever analysed them


def _contents(parts: ImageParts, proven: Collection[str]) -> dict[str, str]:
    """Return by digest what a layer is known to unpack to; empty where nobody looked."""
    return {
        layer.digest: layer.diff_id if layer.proven or layer.digest in proven else ""
        for layer in parts.layers
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The image has its record under another key, to which every look-up is led by now."""

    home: ImageKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOnce:
    """Takes inventories. Thread-safe as far as its ports are."""

    manifests: Manifests
    identities: Identities
    layers: Layers
    verify: bool = True  # that layers unpack to what their image says
    full: Full = field(default_factory=Full)

    def inventory(
        self, scanner: Scanner, run: Run, job: InventoryJob
    ) -> InventoryResult | Held | Elsewhere:
        """Return the inventory, or which image's run must end first; that end wakes the key."""
        documents = self._documents(run.key, job)
        home = self.identities.settle(run.key, digest_of(documents[-1]))
        if home != run.key:
            return Elsewhere(home=home)
        digests, size_bytes = layers_of(documents[-1]), packed_bytes(documents[-1])
        self.full.check(size_bytes)
        lease = self.layers.lease(run.key, run.token, digests, lost=run.lost)
        if isinstance(lease, Held):
            return lease
        with self._leased(run, digests):
            seen = self.manifests.manifest(job, documents)
            parts = parts_of(seen, contents=lease.contents, verify=self.verify)
            try:
                result = scanner.inventory(replace(job, parts=parts))
            except NoRoomError as error:
                self.full.note(size_bytes, error)
                raise
        # The leases end with the claim at the latest, so nothing is lost with this.
        with contextlib.suppress(SluiceError):
            self.layers.done(run.key, run.token, _contents(parts, result.proven))
        return result

    def _documents(self, key: ImageKey, job: InventoryJob) -> tuple[bytes, ...]:
        """Return the image's outline, as an earlier run read it if one did.

        Who may not pull the image learns that from the configuration, which is always asked for.
        """
        found = self.layers.documents(key)
        if not found:
            found = self.manifests.outline(job)
            self.layers.keep(key, found)
        return found

    @contextlib.contextmanager
    def _leased(self, run: Run, digests: Sequence[str]) -> Iterator[None]:
        """Free the leases when the inventory fails."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(SluiceError):  # then they end with the claim
                self.layers.free(run.key, run.token, digests)
            raise
