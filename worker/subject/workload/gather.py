"""Reads all that a workload's plan may know: records of its images, and what references mean.

Every look-up of an image registers the workload as its user in the same step, and as its waiter
where there is no record yet: an image that lands in between cannot be missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from common.model.errors import SluiceError, TerminalError, TransientError
from common.model.image import ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.model.refs import ImageReference, parse_reference
from common.model.workload import Container, Running, WorkloadRow
from common.state.images import Looked, distinct_images
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.credentials import first_taken
from worker.evidence.image.manifest import ManifestSeen
from worker.subject.workload.needs import ContainerNeed, Ran, Resolve, Verify, WaitForKubelet
from worker.subject.workload.plan import Broken, Evidence, Known, Pending, Unresolved, Young


class Images(Protocol):
    """The image table."""

    def lookup_uses(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        """Return the records and where they stand, registering the uses.

        Keys without a record are enqueued.
        """

    def release(self, workload: WorkloadKey, keep: Collection[ImageKey]) -> int:
        """Forget that the workload uses other images than `keep`; return how many it used."""


class Resolutions(Protocol):
    """What a reference meant for a workload when a registry was asked last."""

    def get(self, workload: WorkloadKey, reference: str) -> str | None:
        """Return the digest; None: never asked, or too long ago."""

    def put(self, workload: WorkloadKey, reference: str, digest: str) -> None:
        """Remember the digest."""

    def content(self, workload: WorkloadKey, config: str, platform: str) -> str | None:
        """Return the digest that was found to have that configuration."""

    def keep_content(
        self, workload: WorkloadKey, config: str, platform: str, *, digest: str
    ) -> None:
        """Remember it, for long."""


class Resolver(Protocol):
    """A registry."""

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None, *, access: Access
    ) -> str:
        """Return the digest that the reference names now, asked by `access`."""

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> ManifestSeen:
        """Return manifest and configuration of the platform's image in `digest`."""


class Keys(Protocol):
    """Pull credentials."""

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        """Give what the use's kubelet would present, best first, and None at last: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One container and the images to look up for it, the primary's first."""

    container: Container
    uses: tuple[tuple[ImageUse, ImageKey], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatherer:
    """Turns needs into evidence."""

    images: Images
    resolutions: Resolutions
    resolver: Resolver
    keys: Keys
    accesses: Accesses

    def evidence(self, row: WorkloadRow, needs: Sequence[ContainerNeed]) -> tuple[Evidence, ...]:
        """Look the images of all containers up in one step.

        Raises what the tables raise; a registry's or a reference's fault becomes evidence.
        """
        asked = [self._ask(row, need) for need in needs]
        uses = [use for one in asked if isinstance(one, _Asked) for use in one.uses]
        found = iter(self.images.lookup_uses(uses))
        return tuple(
            judge(row.namespace, one.container, [(key, next(found)) for _, key in one.uses])
            if isinstance(one, _Asked)
            else one
            for one in asked
        )

    def _ask(self, row: WorkloadRow, need: ContainerNeed) -> _Asked | Young | Unresolved:
        """Return what to look up for one container, or why there is nothing to look up."""
        container = need.container
        match need.image:
            case WaitForKubelet(delay_s=delay_s):
                return Young(container=container, delay_s=delay_s)
            case Ran(images=images):
                use = _use(row, container.image, kubelet_ran_it=True)
                return _Asked(container=container, uses=tuple((use, key) for key in images))
            case Verify():
                use = _use(row, container.image, kubelet_ran_it=True)
                try:
                    found = self._verified(row, use, need.image)
                except SluiceError as error:
                    return Unresolved(container=container, error=error)
                return _Asked(container=container, uses=tuple((use, key) for key in found))
            case Resolve(platform=platform, options=options):
                use = _use(row, container.image, kubelet_ran_it=False)
                try:
                    digest = self._resolve(row, use)
                except SluiceError as error:
                    return Unresolved(container=container, error=error)
                key = ImageKey(digest=digest, platform=platform, options=options)
                return _Asked(container=container, uses=((use, key),))
            case _:
                assert_never(need.image)

    def _verified(self, row: WorkloadRow, use: ImageUse, need: Verify) -> list[ImageKey]:
        """Return the images with these configurations, those that can be found.

        Raises the first error when none can.
        """
        found: list[ImageKey] = []
        fault: SluiceError | None = None
        for seen in need.configs:
            try:
                digest = self._with_config(row, use, seen)
            except SluiceError as error:
                fault = fault or error
                continue
            found.append(ImageKey(digest=digest, platform=seen.platform, options=need.options))
        if fault is not None and not found:
            raise fault
        return found

    def _with_config(self, row: WorkloadRow, use: ImageUse, seen: Running) -> str:
        """Return the digest of the manifest that has the configuration.

        No registry can be asked for it: only the reference leads there, while it means that image.
        """
        known = self.resolutions.content(row.key, seen.digest, seen.platform)
        if known is not None:
            return known
        reference = parse_reference(use.reference)
        access = self.accesses.of(reference)

        def ask(config: bytes | None) -> ManifestSeen:
            digest = self.resolver.resolve(reference, config, access=access)
            return self.resolver.manifest(
                reference, digest, config=config, platform=seen.platform, access=access
            )

        manifest = first_taken(
            self.keys.candidates(use), ask, has_credential=lambda config: config is not None
        )
        if manifest.config_digest != seen.digest:
            raise TerminalError(
                f"{use.reference} means another image than the one that runs, of which the node "
                f"tells its configuration alone ({seen.digest[:19]}…): push it, and pull it",
                reason="ConfigurationUnknown",
            )
        digest = manifest.manifest_digest
        self.resolutions.keep_content(row.key, seen.digest, seen.platform, digest=digest)
        return digest

    def _resolve(self, row: WorkloadRow, use: ImageUse) -> str:
        """Return the digest, asking the registry with the workload's own credentials in turn.

        Kept per workload: another tenant's answer proves nothing about this one's rights.
        """
        reference = parse_reference(use.reference)
        known = self.resolutions.get(row.key, use.reference)
        if known is not None:
            return known
        access = self.accesses.of(reference)
        digest = first_taken(
            self.keys.candidates(use),
            lambda config: self.resolver.resolve(reference, config, access=access),
            has_credential=lambda config: config is not None,
        )
        self.resolutions.put(row.key, use.reference, digest)
        return digest


def judge(
    namespace: str, container: Container, found: Sequence[tuple[ImageKey, Looked]]
) -> Evidence:
    """Return what the records say about one container of the namespace. Pure.

    The report is built when no record is still on its way and at least one is there: a digest
    that failed must not hold up one that is known. Digests of one image count once, by the first:
    the report names what runs, not where its record stands.
    """
    distinct = distinct_images(found)
    for home, (_, record) in distinct.items():
        if not record.ready and record.failure is None:
            return Pending(container=container, on=home)
    ready = {home: each for home, each in distinct.items() if each[1].ready}
    if ready:
        return Known(container=container, images=tuple(ready.values()), homes=tuple(ready))
    failure = next((record.failure for _, record in distinct.values()), None)
    if failure is None:  # no images at all: a kubelet never reports an empty list
        return Unresolved(
            container=container, error=TransientError("no image is known for the container")
        )
    return Broken(container=container, reason=failure.reason, message=failure.told_to(namespace))


def _use(row: WorkloadRow, reference: str, *, kubelet_ran_it: bool) -> ImageUse:
    return ImageUse(
        workload=str(row.key),
        reference=reference,
        namespace=row.namespace,
        service_account=row.service_account,
        pull_secrets=row.pull_secrets,
        kubelet_ran_it=kubelet_ran_it,
        skip_files=row.skips.files if row.skips is not None else None,
        skip_dirs=row.skips.dirs if row.skips is not None else None,
    )
