"""The objects of the fake API server: versions, generations, history. No HTTP here.

Limits, on purpose: no validation, defaults, admission, life of namespaces or garbage collection.
Label selectors know `a=b`, `a!=b`, `a` and `!a`; field selectors are ignored. What it does is held
against a real API server in `tests/contract/test_kube_api.py`.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
_SERVER_OWNED = ("uid", "creationTimestamp", "generation", "resourceVersion")


class StatusError(Exception):
    """An answer that is not success."""

    def __init__(self, code: int, reason: str, message: str = "", **details: Any) -> None:
        super().__init__(message or reason)
        self.code = code
        self.reason = reason
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of history: an event, or raw bytes that a test injected."""

    version: int
    collection: str
    type: str = ""
    object: Object = field(default_factory=dict)
    raw: bytes | None = None


class Store:
    """Objects by collection (`/api/v1/pods`), and everything that happened to them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._version = 100
        self._oldest = 0
        self._objects: dict[str, dict[str, Object]] = {}
        self._history: list[Entry] = []
        self._forgotten = 0  # entries that `compact` dropped

    # --- What a test arranges -------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version of the last write."""
        return self._version

    def compact(self) -> None:
        """Forget the history: every older version is expired from now on."""
        with self.changed:
            self._oldest = self._version
            self._forgotten += len(self._history)
            self._history.clear()

    def inject(self, collection: str, raw: bytes) -> None:
        """Send raw bytes to the watchers of a collection, as one line."""
        with self.changed:
            self._history.append(Entry(version=self._version, collection=collection, raw=raw))
            self.changed.notify_all()

    def bookmark(self, collection: str) -> None:
        """Tell the watchers of a collection the current version."""
        with self.changed:
            mark = {"metadata": {"resourceVersion": str(self._version)}}
            self._note(collection, "BOOKMARK", mark)

    # --- Verbs ----------------------------------------------------------------------------------

    def get(self, collection: str, key: str) -> Object:
        """Return one object."""
        with self.changed:
            found = self._objects.get(collection, {}).get(key)
            if found is None:
                raise StatusError(404, "NotFound", f"{collection} {key!r} not found")
            return copy.deepcopy(found)

    def all(self, collection: str, namespace: str = "", selector: str = "") -> list[Object]:
        """Return the objects of a collection, sorted by key."""
        with self.changed:
            found = self._objects.get(collection, {})
            return [
                copy.deepcopy(found[key])
                for key in sorted(found)
                if _matches(found[key], namespace, selector)
            ]

    def create(self, collection: str, body: Mapping[str, Any]) -> Object:
        """Store a new object."""
        new = copy.deepcopy(dict(body))
        meta = new.setdefault("metadata", {})
        with self.changed:
            objects = self._objects.setdefault(collection, {})
            key = key_of(new)
            if key in objects:
                raise StatusError(409, "AlreadyExists", f"{collection} {key!r} already exists")
            meta.update(
                uid=str(uuid.uuid4()), generation=1, creationTimestamp="2026-01-01T00:00:00Z"
            )
            return self._put(collection, new, "ADDED")

    def replace(self, collection: str, key: str, body: Mapping[str, Any]) -> Object:
        """Store a new body; the generation follows everything but the metadata."""
        new = copy.deepcopy(dict(body))
        with self.changed:
            old = self.get(collection, key)
            meta = new.setdefault("metadata", {})
            _check_version(old, meta.get("resourceVersion"))
            meta.update({name: old["metadata"].get(name) for name in _SERVER_OWNED})
            if _content(old) != _content(new):
                meta["generation"] = (old["metadata"].get("generation") or 0) + 1
            if old == new:
                return old
            return self._put(collection, new, "MODIFIED")

    def merge(self, collection: str, key: str, patch: Mapping[str, Any]) -> Object:
        """Apply a JSON merge patch."""
        with self.changed:
            old = self.get(collection, key)
            return self.replace(collection, key, _merged(old, patch))

    def delete(self, collection: str, key: str, preconditions: Mapping[str, str]) -> Object:
        """Remove an object."""
        with self.changed:
            old = self.get(collection, key)
            _check_version(old, preconditions.get("resourceVersion"))
            if preconditions.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
                raise StatusError(409, "Conflict", "the uid differs")
            del self._objects[collection][key]
            self._version += 1
            old["metadata"]["resourceVersion"] = str(self._version)
            self._note(collection, "DELETED", old)
            return old

    def since(self, collection: str, version: int, position: int) -> tuple[list[Entry], int]:
        """Return what happened after `version`, from `position` of the history on.

        Raises StatusError 410 for a version older than what is remembered; position 0 is a new
        watch, any other one that is open and misses nothing.
        """
        with self.changed:
            if not position and version < self._oldest:
                raise StatusError(410, "Expired", f"too old resource version: {version}")
            entries = [
                entry
                for entry in self._history[max(0, position - self._forgotten) :]
                if entry.collection == collection and (entry.version > version or entry.raw)
            ]
            return entries, self.position

    @property
    def position(self) -> int:
        """The end of the history."""
        return self._forgotten + len(self._history)

    # --- Inside ---------------------------------------------------------------------------------

    def _put(self, collection: str, new: Object, event: str) -> Object:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self._objects[collection][key_of(new)] = new
        self._note(collection, event, new)
        return copy.deepcopy(new)

    def _note(self, collection: str, event: str, found: Object) -> None:
        self._history.append(
            Entry(
                version=self._version,
                collection=collection,
                type=event,
                object=copy.deepcopy(found),
            )
        )
        self.changed.notify_all()


def key_of(found: Mapping[str, Any]) -> str:
    """Return namespace/name, or the name."""
    meta = found["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def _content(found: Object) -> Object:
    return {name: value for name, value in found.items() if name != "metadata"}


def _check_version(old: Object, wanted: str | None) -> None:
    if wanted and wanted != old["metadata"]["resourceVersion"]:
        raise StatusError(409, "Conflict", "the object has been modified")


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    new = dict(old) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = _merged(new.get(name), value)
    return new


def _matches(found: Object, namespace: str, selector: str) -> bool:
    if namespace and found["metadata"].get("namespace") != namespace:
        return False
    return all(_holds(found["metadata"].get("labels") or {}, term) for term in _terms(selector))


def _terms(selector: str) -> Iterator[str]:
    return (term.strip() for term in selector.split(",") if term.strip())


def _holds(labels: Mapping[str, str], term: str) -> bool:
    if "!=" in term:
        name, _, value = term.partition("!=")
        return labels.get(name) != value
    if "=" in term:
        name, _, value = term.partition("=")
        return labels.get(name) == value.lstrip("=")
    return term[1:] not in labels if term.startswith("!") else term in labels
