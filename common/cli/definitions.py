"""Which report definitions a cluster has, read by name and without their schemas."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from common.kube.errors import NotFoundError
from common.kube.negotiate import METADATA
from common.kube.paths import object_path
from common.kube.session import Session
from common.kube.wire import PartialObject
from common.reports.catalog import CATALOG

_ROOT = "/apis/apiextensions.k8s.io/v1"


def definitions_found(session: Session) -> dict[str, Mapping[str, str]]:
    """Return the labels of each definition of ours that exists, by its name."""
    found: dict[str, Mapping[str, str]] = {}
    for row in CATALOG:
        path = object_path(_ROOT, "customresourcedefinitions", name=row.crd_name)
        try:
            body = session.request("GET", path, accept=METADATA).body
        except NotFoundError:
            continue
        labels = msgspec.json.decode(body, type=PartialObject).metadata.labels
        found[row.crd_name] = labels or {}
    return found
