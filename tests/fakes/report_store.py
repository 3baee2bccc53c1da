"""An in-memory stand-in for the API server's reports.

Limits: one namespace's worth of rules only. No schema, no admission, no size limit but the one set
here; generation and resourceVersion behave as a custom resource without status subresource does
(checked against a real API server by `tests/contract/test_report_store.py`).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from common.kube.errors import AlreadyExistsError, NotFoundError, VersionConflictError
from common.kube.resources import OwnerName, ReportMeta
from common.model.errors import TooLargeError
from common.reports.fit import size_bytes


class FakeReportStore:
    """Stores bodies; counts what a real server would have been asked."""

    def __init__(self, *, limit_bytes: int = 1_500_000) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.before_write: Callable[[], None] = lambda: None
        self._limit_bytes = limit_bytes
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def get(self, kind: str, namespace: str, name: str) -> ReportMeta | None:
        """Return metadata."""
        self.calls.append("get")
        found = self.objects.get((kind, namespace, name))
        return _meta(found) if found else None

    def create(self, body: Mapping[str, Any]) -> ReportMeta:
        """Store a new object."""
        self._about_to_write("create", body)
        key = _key(body)
        if key in self.objects:
            raise AlreadyExistsError(f"{key} exists")
        stored = copy.deepcopy(dict(body))
        stored["metadata"]["uid"] = f"report-{next(self._uids)}"
        stored["metadata"]["generation"] = 1
        return self._keep(key, stored)

    def replace(self, body: Mapping[str, Any]) -> ReportMeta:
        """Replace an object; the generation rises if anything but metadata changed."""
        self._about_to_write("replace", body)
        key = _key(body)
        old = self._checked(key, body["metadata"]["resourceVersion"])
        stored = copy.deepcopy(dict(body))
        changed = stored.get("report") != old.get("report")
        stored["metadata"]["uid"] = old["metadata"]["uid"]
        stored["metadata"]["generation"] = old["metadata"]["generation"] + changed
        return self._keep(key, stored)

    def patch_metadata(self, meta: ReportMeta, patch: Mapping[str, Any]) -> ReportMeta:
        """Merge metadata; the generation stays."""
        self.before_write()
        self.calls.append("patch")
        key = (meta.kind, meta.namespace, meta.name)
        stored = self._checked(key, meta.resource_version)
        for field, value in patch["metadata"].items():
            if field in ("labels", "annotations"):
                merged = {**stored["metadata"].get(field, {}), **value}
                kept = {name: text for name, text in merged.items() if text is not None}
                stored["metadata"][field] = kept
            else:
                stored["metadata"][field] = value
        return self._keep(key, stored)

    def delete(self, meta: ReportMeta) -> bool:
        """Delete exactly what was read."""
        self.before_write()
        self.calls.append("delete")
        key = (meta.kind, meta.namespace, meta.name)
        if key not in self.objects:
            return False
        self._checked(key, meta.resource_version)
        del self.objects[key]
        return True

    @property
    def writes(self) -> int:
        """How many calls were not reads."""
        return sum(call != "get" for call in self.calls)

    def edit(self, kind: str, namespace: str, name: str, change: Callable[[Any], None]) -> None:
        """Let a user change the body, as `kubectl edit` does."""
        stored = copy.deepcopy(self.objects[(kind, namespace, name)])
        change(stored["report"])
        stored["metadata"]["generation"] += 1
        self._keep((kind, namespace, name), stored)

    def _about_to_write(self, call: str, body: Mapping[str, Any]) -> None:
        self.before_write()
        self.calls.append(call)
        if size_bytes(body["report"]) > self._limit_bytes:
            raise TooLargeError(f"larger than {self._limit_bytes} bytes")

    def _checked(self, key: tuple[str, str, str], version: str) -> dict[str, Any]:
        if key not in self.objects:
            raise NotFoundError(f"{key} is gone")
        stored = self.objects[key]
        if stored["metadata"]["resourceVersion"] != version:
            raise VersionConflictError(f"{key} changed")
        return stored

    def _keep(self, key: tuple[str, str, str], stored: dict[str, Any]) -> ReportMeta:
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = stored
        return _meta(stored)


def _key(body: Mapping[str, Any]) -> tuple[str, str, str]:
    return (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])


def _meta(stored: Mapping[str, Any]) -> ReportMeta:
    metadata = stored["metadata"]
    owners = metadata.get("ownerReferences") or []
    owner = owners[0] if owners else None
    return ReportMeta(
        kind=stored["kind"],
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata["generation"],
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        owner=OwnerName(kind=owner["kind"], name=owner["name"], uid=owner["uid"])
        if owner
        else None,
    )
