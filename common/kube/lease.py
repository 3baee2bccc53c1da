"""One Lease in the cluster: read it, create it, replace what it says.

A write carries the resourceVersion that was read, so of two candidates who saw the same record one
is refused. What else stands on the object (labels, annotations, fields of newer versions) stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from common.kube.errors import NotFoundError
from common.kube.identity import own_namespace
from common.kube.paths import object_path
from common.kube.resources import MERGE_PATCH, OWNED
from common.kube.session import Api, Reply
from common.kube.wire import ObjectMeta, Wire
from common.model.errors import SourceUnavailableError
from common.model.lease import LeaseRecord

GROUP = "coordination.k8s.io"
_NAME = "kube-sluice"
LEASE_VERBS = ("get", "create", "patch")  # what `Lease` asks the API server for
_API_VERSION = f"{GROUP}/v1"


class _Spec(Wire, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(Wire, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: _Spec | None = None


_decoder = msgspec.json.Decoder(_Lease)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePlace:
    """Where a Lease stands."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def lease_place(told_namespace: str, cluster: str) -> LeasePlace:
    """Return the Lease for which the watchers of one key space stand.

    `told_namespace` and `cluster` are what the settings say; empty: our own namespace, and the
    cluster's default key space.
    """
    return LeasePlace(
        namespace=own_namespace(told_namespace), name=f"{_NAME}-{cluster}" if cluster else _NAME
    )


class Lease:
    """One Lease, by name. Every method raises an ApiError, or SourceUnavailableError.

    `request_s` bounds each silence of the server: a candidate must know soon that it knows nothing.
    """

    def __init__(self, session: Api, place: LeasePlace, *, request_s: float) -> None:
        self._session = session
        self._place = place
        self._request_s = request_s
        root = f"/apis/{_API_VERSION}"
        self._collection = object_path(root, "leases", namespace=place.namespace)
        self._path = object_path(root, "leases", namespace=place.namespace, name=place.name)

    def read(self) -> LeaseRecord | None:
        """Return what it says; None: there is none."""
        try:
            return _record(self._session.request("GET", self._path, timeout_s=self._request_s))
        except NotFoundError:
            return None

    def create(self, record: LeaseRecord) -> LeaseRecord:
        """Store a new one; raises AlreadyExistsError if somebody was faster.

        Raises NotFoundError if there is no such namespace.
        """
        body = {
            "apiVersion": _API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self._place.name, "namespace": self._place.namespace},
            "spec": _spec(record, acquired=True),
        }
        return self._write("POST", self._collection, body)

    def replace(self, record: LeaseRecord, *, acquired: bool) -> LeaseRecord:
        """Store what it says from now on; raises VersionConflictError if somebody wrote meanwhile.

        `record.version` is the one that was read. Our clock gives the times, for people to read:
        that of the renewal always, that of the acquisition where the Lease changes hands.
        """
        body = {
            "metadata": {"resourceVersion": record.version},
            "spec": _spec(record, acquired=acquired),
        }
        return self._write("PATCH", self._path, body, content_type=MERGE_PATCH)

    def _write(
        self, verb: str, path: str, body: object, *, content_type: str | None = None
    ) -> LeaseRecord:
        reply = self._session.request(
            verb,
            path,
            query=OWNED,
            body=msgspec.json.encode(body),
            content_type=content_type,
            timeout_s=self._request_s,
        )
        return _record(reply)


def _spec(record: LeaseRecord, *, acquired: bool) -> dict[str, Any]:
    now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_s,
        "renewTime": now,
        "leaseTransitions": record.transitions,
    }
    return {**spec, "acquireTime": now} if acquired else spec


def _record(reply: Reply) -> LeaseRecord:
    try:
        found = _decoder.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        # A proxy's page, most likely; who stands for election asks again soon.
        raise SourceUnavailableError(f"the answer is no Lease: {exc}") from exc
    spec = found.spec or _Spec()
    return LeaseRecord(
        holder=spec.holder_identity or "",
        duration_s=spec.lease_duration_seconds or 0,
        acquired_at=spec.acquire_time or "",
        renewed_at=spec.renew_time or "",
        transitions=spec.lease_transitions or 0,
        version=found.metadata.resource_version,
    )
