"""What the watcher tells the workers about subjects that belong to the whole cluster.

Like a workload's row: folded at one instant, stored with its fingerprint, and all that a worker
reads of the cluster to plan. Wire format v1: JSON with the row's type in `about`. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.model.key import ClusterKey, cluster_sbom_key
from common.model.workload import Running, WorkloadRow


class SbomRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="about", tag="image"):
    """One image name that workloads run, and the contents that kubelets run for it."""

    name: str  # of the ClusterSbomReport: the hash of the image's name
    reference: str  # as users write it; of several spellings the first
    images: tuple[Running, ...]  # distinct, sorted; at least one

    @property
    def key(self) -> ClusterKey:
        """The work key of this name."""
        return cluster_sbom_key(self.name)


class KbomImage(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The image of one container of a component."""

    registry: str
    repository: str
    tag: str
    digest: str  # sha256:…


class KbomComponent(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One part of the control plane, or an add-on, that Pods run."""

    namespace: str
    owner: str  # the name of what made the Pods; a static Pod's own
    name: str  # as the vulnerability database has it: k8s.io/apiserver
    version: str  # without a leading v; empty: no image tells
    type: str  # controlPlane | node | what its own label says; empty: nothing
    images: tuple[KbomImage, ...]


class KbomNode(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One node, as its kubelet reports it."""

    name: str
    role: str  # master | worker
    kubelet: str  # version without a leading v
    runtime: str  # containerd://2.1.4
    os_image: str
    kernel: str
    operating_system: str
    architecture: str


class KbomRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="about", tag="cluster"):
    """The cluster's own software."""

    name: str  # of the ClusterSbomReport
    version: str  # of the API server: without a leading v, and fit for a tag
    nodes: tuple[KbomNode, ...]  # sorted
    components: tuple[KbomComponent, ...]  # distinct, sorted

    @property
    def key(self) -> ClusterKey:
        """The work key of this cluster in this version."""
        return cluster_sbom_key(self.name)


class KbomPackage(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One program in one version, as Trivy's scanners of libraries know it."""

    type: str  # kubernetes, a distribution's name, gobinary
    name: str
    version: str
    purl: str


ClusterRow: TypeAlias = SbomRow | KbomRow
Row: TypeAlias = WorkloadRow | ClusterRow

_decoder: msgspec.json.Decoder[ClusterRow] = msgspec.json.Decoder(ClusterRow)


def decode_cluster_row(data: bytes) -> ClusterRow:
    """Return the row that `encode_row` wrote; unknown fields of a newer writer are ignored.

    Raises msgspec.ValidationError or msgspec.DecodeError for anything else.
    """
    return _decoder.decode(data)
