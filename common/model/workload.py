"""What the watcher tells the workers about one workload: the row, and its fingerprint.

The watcher folds the cluster into rows and stores each row together with its fingerprint; a worker
reads the row and needs no request to the API server to plan. So both sides compare one value, and
neither computes a hash from reads of its own. Wire format v1: JSON of the row. Pure.
"""

from __future__ import annotations

from typing import NewType

import msgspec

from common.model.canonical import content_hash
from common.model.key import WorkloadKey

Fingerprint = NewType("Fingerprint", str)

# Nobody lists more. Each name is a question to the API server, and stands in each of a workload's
# uses of images: with 20,000 names a Pod of 1,200 containers took half a GB of a worker.
MOST_PULL_SECRETS = 64


class Running(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A digest that a kubelet runs for a container, and where."""

    digest: str  # sha256:…, as the kubelet reports it (an index's or a manifest's)
    platform: str  # linux-amd64


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container of the pod template, with what runs for it now."""

    name: str
    role: str  # container | init | ephemeral
    image: str  # the reference as the user wrote it
    running: tuple[Running, ...] = ()  # distinct; the newest pod's first
    pull_error: str = ""  # the kubelet's reason (ErrImagePull, …); empty: none known
    # Digests of configurations, where kubelets tell nothing that a registry could be asked for.
    loaded: tuple[Running, ...] = ()


class Skips(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What annotations say that Trivy must not look at; None: what the settings say."""

    files: tuple[str, ...] | None = None
    dirs: tuple[str, ...] | None = None


class WorkloadRow(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker may know about a workload, folded at one instant."""

    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str  # of the owner reference: v1, apps/v1, batch/v1
    created_at: int  # Unix seconds, from the object
    containers: tuple[Container, ...]
    current: bool = True  # False: a ReplicaSet whose revision is below its Deployment's
    has_pods: bool = False  # at least one pod that is not finished exists
    expects_pods: bool = True  # False: a CronJob, whose pods belong to Jobs
    successor: str = ""  # name of the current ReplicaSet, on a row that is not current
    top_kind: str = ""  # the controller that a user knows (Deployment, CronJob, …), for Events
    top_name: str = ""
    top_uid: str = ""
    service_account: str = "default"
    pull_secrets: tuple[str, ...] = ()  # names only, no more than MOST_PULL_SECRETS
    default_platform: str = "linux-amd64"  # for references that never ran: the commonest node's
    labels: dict[str, str] = {}  # copied onto reports
    skip: str = ""  # why it must not be scanned (a label, a namespace filter); empty: scan it
    skips: Skips | None = None  # None: what the settings say
    # A hint, no fact, and not in the fingerprint: reports of it were seen when the row was stored.
    # False lets a worker create without reading first.
    stored: bool = False

    @property
    def key(self) -> WorkloadKey:
        """The work key of this workload."""
        return WorkloadKey(kind=self.kind, namespace=self.namespace, name=self.name)

    @property
    def runs(self) -> bool:
        """Whether a kubelet runs at least one of its containers."""
        return any(container.running or container.loaded for container in self.containers)


def encode_row(row: msgspec.Struct) -> bytes:
    """Return a row, of a workload or of the cluster, as JSON."""
    return msgspec.json.encode(row)


_decoder = msgspec.json.Decoder(WorkloadRow)


def decode_row(data: bytes) -> WorkloadRow:
    """Return the row that `encode_row` wrote; unknown fields of a newer writer are ignored.

    Raises msgspec.ValidationError or msgspec.DecodeError for anything else.
    """
    return _decoder.decode(data)


def fingerprint(row: msgspec.Struct) -> Fingerprint:
    """Hash everything in a row that matters to its reports.

    All of it does but the hint `stored`: what does not matter must not enter the row.
    """
    fields = msgspec.to_builtins(row)
    fields.pop("stored", None)
    return Fingerprint(content_hash(fields))
