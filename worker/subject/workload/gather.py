"""Reads all that a workload's plan may know: records of its images, and what references mean.

Every look-up of an image registers the workload as its user in the same step, and as its waiter
where there is no record yet: an image that lands in between cannot be missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

from common.model.errors import SluiceError, TransientError
from common.model.image import ImageRecord, ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.model.refs import ImageReference, parse_reference
from common.model.workload import Container, WorkloadRow
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.credentials import first_taken
from worker.subject.workload.needs import ContainerNeed, Ran, Resolve, WaitForKubelet
from worker.subject.workload.plan import Broken, Evidence, Known, Pending, Unresolved, Young


class Images(Protocol):
    """The image table."""

    def lookup_uses(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[ImageRecord]:
        """Return the records, registering the uses; keys without a record are enqueued."""

    def release(self, workload: WorkloadKey, keep: Collection[ImageKey]) -> int:
        """Forget that the workload uses other images than `keep`; return how many it used."""


class Resolutions(Protocol):
    """What a reference meant for a workload when a registry was asked last."""

    def get(self, workload: WorkloadKey, reference: str) -> str | None:
        """Return the digest; None: never asked, or too long ago."""

    def put(self, workload: WorkloadKey, reference: str, digest: str) -> None:
        """Remember the digest."""


class Resolver(Protocol):
    """A registry."""

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None, *, access: Access
    ) -> str:
        """Return the digest that the reference names now, asked by `access`."""


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
    options: str  # digest of the scan options
    accesses: Accesses

    def evidence(self, row: WorkloadRow, needs: Sequence[ContainerNeed]) -> tuple[Evidence, ...]:
        """Look the images of all containers up in one step.

        Raises what the tables raise; a registry's or a reference's fault becomes evidence.
        """
        asked = [self._ask(row, need) for need in needs]
        uses = [use for one in asked if isinstance(one, _Asked) for use in one.uses]
        records = iter(self.images.lookup_uses(uses))
        return tuple(
            judge(row.namespace, one.container, [(key, next(records)) for _, key in one.uses])
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
            case Resolve(platform=platform):
                use = _use(row, container.image, kubelet_ran_it=False)
                try:
                    digest = self._resolve(row, use)
                except SluiceError as error:
                    return Unresolved(container=container, error=error)
                key = ImageKey(digest=digest, platform=platform, options=self.options)
                return _Asked(container=container, uses=((use, key),))
            case _:
                assert_never(need.image)

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
    namespace: str, container: Container, records: Sequence[tuple[ImageKey, ImageRecord]]
) -> Evidence:
    """Return what the records say about one container of the namespace. Pure.

    The report is built when no record is still on its way and at least one is there: a digest
    that failed must not hold up one that is known.
    """
    for key, record in records:
        if not record.ready and record.failure is None:
            return Pending(container=container, on=key)
    ready = tuple((key, record) for key, record in records if record.ready)
    if ready:
        return Known(container=container, images=ready)
    failure = records[0][1].failure
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
    )
