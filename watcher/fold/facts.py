"""What the fold keeps of each object: small values without status noise.

Two objects with equal facts are the same to every report, so a change that leaves the facts equal
ends here. Strings that many objects share (namespaces, digests, images, nodes) are interned by the
reader, owners are shared between what they own, tuples hold no cycles (`gc=False`): 100,000 Pods
and 275,000 reports must fit into a hundred megabytes. Values only.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.model.key import WorkloadKey
from common.model.workload import Skips
from watcher.fold.placement import ANYWHERE, Placement

ImageSet: TypeAlias = tuple[tuple[str, str], ...]  # container names with their images, sorted


class Fact(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The options that all of them share."""


class Controller(Fact, frozen=True):
    """The owner that controls an object."""

    kind: str
    name: str
    uid: str


class Told(Fact, frozen=True):
    """What a kubelet tells of one container."""

    container: str
    digest: str  # empty: none that a registry could serve
    pull_error: str  # empty: none, or not one of pulling
    config: str = ""  # digest of the image's configuration, where that is all that is told


class PodFact(Fact, frozen=True):
    """One Pod, as its owner's row needs it."""

    namespace: str
    name: str
    controller: Controller | None  # None: a bare Pod
    created_at: int  # Unix seconds
    finished: bool  # Succeeded or Failed: nothing of it runs or will run again
    node: str  # empty: not scheduled
    told: tuple[Told, ...]

    @property
    def age_rank(self) -> tuple[int, str]:
        """Order from the oldest to the newest; the name decides within one second."""
        return (self.created_at, self.name)

    @property
    def gang_images(self) -> ImageSet:
        """Nothing: what a Pod is specified to run is told by its `WorkloadFact`."""
        return ()


class ContainerFact(Fact, frozen=True):
    """One container of a pod template."""

    name: str
    role: str  # container | init | ephemeral
    image: str


class WorkloadFact(Fact, frozen=True):
    """One object that may own reports, as its own specification describes it."""

    namespace: str
    me: Controller  # as what it controls refers to it
    created_at: int  # Unix seconds
    containers: tuple[ContainerFact, ...]
    service_account: str
    pull_secrets: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]  # the copied ones, sorted
    skip: str  # the refusal; empty: none
    controller: Controller | None
    revision: int | None  # None: no revision annotation
    skips: Skips | None = None  # None: it says nothing about them
    placement: Placement = ANYWHERE

    @property
    def kind(self) -> str:
        """What it is."""
        return self.me.kind

    @property
    def name(self) -> str:
        """What it is called."""
        return self.me.name

    @property
    def uid(self) -> str:
        """Which of all that were ever called so it is."""
        return self.me.uid

    @property
    def key(self) -> WorkloadKey:
        """The work key of this object."""
        me = self.me
        return WorkloadKey(kind=me.kind, namespace=self.namespace, name=me.name)

    @property
    def gang_images(self) -> ImageSet:
        """What Pods of one controller must have in common to share a row; others share none."""
        if self.kind != "Pod":
            return ()
        return tuple(sorted((one.name, one.image) for one in self.containers))


class DeploymentFact(Fact, frozen=True):
    """What a Deployment says about its ReplicaSets."""

    me: Controller  # as its ReplicaSets refer to it
    revision: int | None  # None: its controller has not set one yet
