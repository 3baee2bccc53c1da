"""Pods as events bring them: most of one stays as it is, and is not decoded twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.kube.protobuf.messages import Parsed, message_class, parse
from common.kube.protobuf.objects import container_status, meta_with, owner_of, pod_spec
from common.kube.protobuf.remembered import Remembered
from common.kube.wire import (
    ContainerStatus,
    ObjectMeta,
    Owner,
    Pod,
    PodSpec,
    PodStatus,
)

_TEXT_ENTRY: Final = message_class("TextEntry")
_OWNER: Final = message_class("OwnerReference")
# An object's events come in bursts, when it starts and when it ends; 4,096 specs are 3 MB. What the
# Pods of one owner have in common changes more rarely.
_OBJECTS: Final = 4096
_OWNERS: Final = 1024


def _texts(raws: tuple[bytes, ...]) -> dict[str, str] | None:
    """Return the map of these entries; the last of one key counts, as protobuf will have it."""
    entries = [parse(_TEXT_ENTRY, raw) for raw in raws]
    return {entry.key: entry.value for entry in entries} or None


def _owners(raws: tuple[bytes, ...]) -> tuple[Owner, ...] | None:
    return tuple([owner_of(parse(_OWNER, raw)) for raw in raws]) or None


class WatchedPods:
    """Builds Pods of events: nine of ten say that a condition has changed, and nothing else."""

    def __init__(self) -> None:
        spec, status = message_class("PodSpec"), message_class("ContainerStatus")
        self._spec: Remembered[bytes, PodSpec] = Remembered(
            lambda raw: pod_spec(parse(spec, raw)), most=_OBJECTS
        )
        self._status: Remembered[bytes, ContainerStatus] = Remembered(
            lambda raw: container_status(parse(status, raw)), most=_OBJECTS
        )
        self._texts = Remembered(_texts, most=_OWNERS)
        self._owners = Remembered(_owners, most=_OWNERS)

    def build(self, found: Parsed) -> Pod:
        """Return a `WatchedPod` as a Pod. Raises what `Reader.read` does, or turns into that."""
        status = found.status
        return Pod(
            metadata=self._meta(found.metadata),
            spec=self._spec(found.spec),
            status=PodStatus(
                phase=status.phase,
                container_statuses=self._statuses(status.containerStatuses),
                init_container_statuses=self._statuses(status.initContainerStatuses),
                ephemeral_container_statuses=self._statuses(status.ephemeralContainerStatuses),
            ),
        )

    def _meta(self, found: Parsed) -> ObjectMeta:
        return meta_with(
            found,
            labels=self._texts(tuple(found.labels)),
            annotations=self._texts(tuple(found.annotations)),
            owners=self._owners(tuple(found.ownerReferences)),
        )

    def _statuses(self, found: Sequence[bytes]) -> tuple[ContainerStatus, ...] | None:
        return tuple([self._status(each) for each in found]) if found else None
