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


ClusterRow: TypeAlias = SbomRow
Row: TypeAlias = WorkloadRow | ClusterRow

_decoder = msgspec.json.Decoder(ClusterRow)


def decode_cluster_row(data: bytes) -> ClusterRow:
    """Return the row that `encode_row` wrote; unknown fields of a newer writer are ignored.

    Raises msgspec.ValidationError or msgspec.DecodeError for anything else.
    """
    return _decoder.decode(data)
