"""Facts about the cluster as a whole, and the definitions that reports need."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from common.kube.envelopes import ObjectList
from common.kube.errors import (
    AlreadyExistsError,
    DeniedError,
    KindMissingError,
    NotFoundError,
)
from common.kube.negotiate import METADATA
from common.kube.paths import CORE, object_path
from common.kube.resources import OWNED
from common.kube.session import Session
from common.kube.wire import PartialObject, Wire, Workload
from common.model.errors import SourceUnavailableError

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SUBJECT = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_PEER = "app.kubernetes.io/name=trivy-operator"
_POLL_S = 0.1


class _Version(Wire, frozen=True):
    git_version: str = ""


class _Verdict(Wire, frozen=True):
    allowed: bool = False


class _Review(Wire, frozen=True):
    status: _Verdict = _Verdict()


class _User(Wire, frozen=True):
    username: str = ""


class _Subject(Wire, frozen=True):
    user_info: _User = _User()


class _SubjectReview(Wire, frozen=True):
    status: _Subject = _Subject()


class _Condition(Wire, frozen=True):
    type: str = ""
    status: str = ""


class _DefinitionStatus(Wire, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _Definition(Wire, frozen=True):
    status: _DefinitionStatus = _DefinitionStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A Deployment that carries trivy-operator's name label."""

    namespace: str
    name: str
    ready: int  # replicas that run or are about to; 0: it is scaled down


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What `install_crds` found and did, by CRD name."""

    created: tuple[str, ...]
    present: tuple[str, ...]  # left as they were


class Cluster:
    """One cluster. Thread-safe; raises an ApiError or SourceUnavailableError."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def kube_system_uid(self) -> str:
        """Return the uid of the kube-system namespace: the cluster's identity."""
        path = object_path(CORE, "namespaces", name="kube-system")
        body = self._session.request("GET", path, accept=METADATA).body
        return msgspec.json.decode(body, type=PartialObject).metadata.uid

    def server_version(self) -> str:
        """Return the API server's version, such as `v1.36.3`."""
        body = self._session.request("GET", "/version").body
        return msgspec.json.decode(body, type=_Version).git_version

    def user(self) -> str:
        """Return the name by which the API server knows us; empty: it is older than 1.28."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            body = self._session.request("POST", _SUBJECT, body=msgspec.json.encode(review)).body
        except (NotFoundError, KindMissingError, DeniedError):
            return ""
        return msgspec.json.decode(body, type=_SubjectReview).status.user_info.username

    def can_i(
        self, verb: str, group: str, resource: str, namespace: str = "", *, name: str = ""
    ) -> bool:
        """Return whether our account may do it; an empty namespace means in all of them.

        An empty name means with every object: a right to one of that name is then not enough.
        """
        attributes = {
            "verb": verb,
            "group": group,
            "resource": resource,
            "namespace": namespace,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        body = self._session.request("POST", _REVIEWS, body=msgspec.json.encode(review)).body
        return msgspec.json.decode(body, type=_Review).status.allowed

    def install_crds(
        self, crds: Iterable[Mapping[str, Any]], *, timeout_s: float = 30.0
    ) -> Installed:
        """Create the definitions that are missing and wait until all of them are served.

        Definitions that exist, trivy-operator's too, are left as they are. Raises
        SourceUnavailableError if one is not served after `timeout_s`.
        """
        created: list[str] = []
        present: list[str] = []
        path = object_path(_DEFINITIONS, "customresourcedefinitions")
        for crd in crds:
            name = str(crd["metadata"]["name"])
            try:
                self._session.request("POST", path, query=OWNED, body=msgspec.json.encode(crd))
            except AlreadyExistsError:
                present.append(name)
            else:
                created.append(name)
        deadline = time.monotonic() + timeout_s
        for name in (*created, *present):
            self._await_served(name, deadline)
        return Installed(created=tuple(created), present=tuple(present))

    def _await_served(self, name: str, deadline: float) -> None:
        path = object_path(_DEFINITIONS, "customresourcedefinitions", name=name)
        while True:
            body = self._session.request("GET", path).body
            conditions = msgspec.json.decode(body, type=_Definition).status.conditions or ()
            if any(each.type == "Established" and each.status == "True" for each in conditions):
                return
            if time.monotonic() >= deadline:
                raise SourceUnavailableError(f"CRD {name} is not served yet; try again later")
            time.sleep(_POLL_S)

    def trivy_operators(self, namespaces: Iterable[str] = ()) -> tuple[Operator, ...]:
        """Return the Deployments that are labelled as trivy-operator.

        Of these namespaces alone, which needs no right beyond them; without any, of all.
        """
        found = [one for name in list(namespaces) or [""] for one in self._trivy_operators(name)]
        return tuple(found)

    def _trivy_operators(self, namespace: str) -> tuple[Operator, ...]:
        path = object_path("/apis/apps/v1", "deployments", namespace=namespace)
        body = self._session.request("GET", path, query=[("labelSelector", _PEER)]).body
        found = msgspec.json.decode(body, type=ObjectList[Workload])
        return tuple(
            Operator(
                namespace=each.metadata.namespace,
                name=each.metadata.name,
                # One that rolls or starts has none ready for a moment, and writes the next.
                ready=max(
                    each.status.ready_replicas,
                    1 if each.spec.replicas is None else each.spec.replicas,
                ),
            )
            for each in found.items or ()
        )
