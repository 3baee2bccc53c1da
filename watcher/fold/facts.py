"""What the fold keeps of each object: small values without status noise.

Two objects with equal facts are the same to every report, so a change that leaves the facts equal
ends here. Strings that many objects share (namespaces, digests, images, nodes) are interned by the
reader, tuples hold no cycles (`gc=False`): 50,000 Pods must fit into tens of megabytes.
Values only.
"""

from __future__ import annotations

import msgspec

from common.model.key import WorkloadKey


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


class ContainerFact(Fact, frozen=True):
    """One container of a pod template."""

    name: str
    role: str  # container | init | ephemeral
    image: str


class WorkloadFact(Fact, frozen=True):
    """One object that may own reports, as its own specification describes it."""

    kind: str
    namespace: str
    name: str
    uid: str
    created_at: int  # Unix seconds
    containers: tuple[ContainerFact, ...]
    service_account: str
    pull_secrets: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]  # the copied ones, sorted
    skip: str  # the refusal; empty: none
    controller: Controller | None
    revision: int | None  # None: no revision annotation

    @property
    def key(self) -> WorkloadKey:
        """The work key of this object."""
        return WorkloadKey(kind=self.kind, namespace=self.namespace, name=self.name)

    @property
    def as_controller(self) -> Controller:
        """This very object, as what it controls refers to it."""
        return Controller(kind=self.kind, name=self.name, uid=self.uid)

    @property
    def image_set(self) -> tuple[tuple[str, str], ...]:
        """Container names with their images, in a fixed order."""
        return tuple(sorted((one.name, one.image) for one in self.containers))


class DeploymentFact(Fact, frozen=True):
    """What a Deployment says about its ReplicaSets."""

    uid: str
    revision: int | None  # None: its controller has not set one yet
