"""Reports in the cluster: read their metadata, create, replace, patch and delete them.

Bodies go one way only. Every answer is asked for as PartialObjectMetadata, so comparing and writing
never fetch a body. Writes carry a resourceVersion or a precondition: a zombie cannot overwrite what
somebody else wrote after its read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from common.kube.deep import decode
from common.kube.errors import NotFoundError
from common.kube.negotiate import METADATA
from common.kube.paths import report_path
from common.kube.session import Api, Reply
from common.kube.wire import ObjectMeta, PartialObject, version_number

FIELD_MANAGER = "kube-sluice"
OWNED = (("fieldManager", FIELD_MANAGER),)  # the query of every write
MERGE_PATCH = "application/merge-patch+json"
# A report may be as large as etcd takes; a loaded API server needs its time for it.
_WRITE_S = 60.0

Body: TypeAlias = Mapping[str, Any]

_decoder = msgspec.json.Decoder(PartialObject)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerName:
    """Who owns a report."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMeta:
    """Everything about a report but its body."""

    kind: str
    namespace: str  # empty: cluster-scoped
    name: str
    uid: str
    resource_version: str
    generation: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: OwnerName | None = None  # the controller, else the first owner

    @property
    def version(self) -> int:
        """The resourceVersion as a number; the higher is the newer. 0: not a number."""
        return version_number(self.resource_version)


def report_meta(kind: str, meta: ObjectMeta) -> ReportMeta:
    """Return what the wire said about a report of `kind`; watches and requests share it."""
    owners = meta.owner_references or ()
    owner = meta.controller or (owners[0] if owners else None)
    return ReportMeta(
        kind=kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        generation=meta.generation,
        labels=meta.labels or {},
        annotations=meta.annotations or {},
        owner=OwnerName(kind=owner.kind, name=owner.name, uid=owner.uid) if owner else None,
    )


class Reports:
    """The report objects of one cluster. Thread-safe.

    Every method raises an ApiError, or SourceUnavailableError when no answer comes.
    """

    def __init__(self, session: Api) -> None:
        self._session = session

    def get(self, kind: str, namespace: str, name: str) -> ReportMeta | None:
        """Return the metadata; None if there is no such report."""
        try:
            reply = self._session.request(
                "GET", report_path(kind, namespace, name), accept=METADATA
            )
        except NotFoundError:
            return None
        return _read(kind, reply)

    def create(self, body: Body) -> ReportMeta:
        """Store a new report.

        Raises AlreadyExistsError if the name is taken, NotFoundError if the namespace is gone or
        going, OversizeError, InvalidError.
        """
        kind, namespace, _ = _identity(body)
        reply = self._write("POST", report_path(kind, namespace), body)
        return _read(kind, reply)

    def replace(self, body: Body) -> ReportMeta:
        """Store a new body; raises the generation by one if anything but metadata changed.

        `body` must carry the resourceVersion that was read (else ValueError): VersionConflictError
        if somebody wrote in between, NotFoundError if it is gone.
        """
        kind, namespace, name = _identity(body)
        if not body["metadata"].get("resourceVersion"):
            raise ValueError(f"replacing {kind}/{namespace}/{name} needs a resourceVersion")
        reply = self._write("PUT", report_path(kind, namespace, name), body)
        return _read(kind, reply)

    def patch_metadata(self, meta: ReportMeta, patch: Body) -> ReportMeta:
        """Merge `patch` (`{"metadata": {...}}` and nothing else) into the report as read in `meta`.

        The generation stays. A null value removes a key. Raises VersionConflictError if somebody
        wrote in between, NotFoundError if it is gone, ValueError for a patch of anything else.
        """
        if set(patch) != {"metadata"}:
            raise ValueError(f"only metadata can be patched, not {', '.join(sorted(patch))}")
        metadata = {**patch["metadata"], "resourceVersion": meta.resource_version}
        path = report_path(meta.kind, meta.namespace, meta.name)
        reply = self._write("PATCH", path, {"metadata": metadata}, content_type=MERGE_PATCH)
        return _read(meta.kind, reply)

    def delete(self, meta: ReportMeta) -> bool:
        """Delete exactly the report that was read; False if it was gone already.

        Raises VersionConflictError if it was written, or replaced by another, in between.
        """
        preconditions = {"uid": meta.uid, "resourceVersion": meta.resource_version}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        }
        path = report_path(meta.kind, meta.namespace, meta.name)
        try:
            self._session.request("DELETE", path, body=msgspec.json.encode(body))
        except NotFoundError:
            return False
        return True

    def _write(self, verb: str, path: str, body: Body, *, content_type: str | None = None) -> Reply:
        return self._session.request(
            verb,
            path,
            query=OWNED,
            body=msgspec.json.encode(body),
            content_type=content_type,
            accept=METADATA,
            timeout_s=_WRITE_S,
        )


def _identity(body: Body) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


def _read(kind: str, reply: Reply) -> ReportMeta:
    return report_meta(kind, decode(_decoder, reply.body).metadata)
