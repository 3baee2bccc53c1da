"""URL paths of the API. Pure."""

from __future__ import annotations

from urllib.parse import quote

from common.reports import catalog

CORE = "/api/v1"
REPORTS = f"/apis/{catalog.API_VERSION}"


def object_path(root: str, plural: str, *, namespace: str = "", name: str = "") -> str:
    """Return the path of a collection, or of one object in it; every part is quoted."""
    parts = [root]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name:
        parts.append(quote(name, safe=""))
    return "/".join(parts)


def report_path(kind: str, namespace: str = "", name: str = "") -> str:
    """Return the path of a report, or of its collection; raises KeyError for an unknown kind."""
    return object_path(REPORTS, catalog.BY_KIND[kind].plural, namespace=namespace, name=name)
