"""Package URLs as Trivy compares them. Pure, total.

Read as the program's library reads them (package-url/packageurl-go 0.1.6), so that what a user
wrote and what a scan found meet in one spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

_SCHEME = "pkg:"
_TYPE = re.compile(r"[A-Za-z.+-][A-Za-z0-9.+-]*")
_QUALIFIER = re.compile(r"[a-z._-][a-z0-9._-]*")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Types whose namespaces, or names, do not tell upper from lower case.
_LOWER_NAMESPACE = frozenset(
    {"alpm", "apk", "bitbucket", "brew", "composer", "deb", "github", "golang", "rpm", "qpkg"}
)
_LOWER_NAME = frozenset(
    {
        "alpm", "apk", "bitbucket", "bitnami", "brew", "chrome-extension", "composer", "deb",
        "github", "golang",
    }
)  # fmt: skip
# The packages of some images, and of what a settings file names.
_REMEMBERED = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Purl:
    """One package URL."""

    type: str
    namespace: str
    name: str
    version: str  # empty: any
    qualifiers: tuple[tuple[str, str], ...]  # sorted
    subpath: str

    def covers(self, other: Purl) -> bool:
        """Return whether everything that this one says holds for `other`."""
        return (
            (self.type, self.namespace, self.name) == (other.type, other.namespace, other.name)
            and self.version in {"", other.version}
            and self.subpath in {"", other.subpath}
            and frozenset(self.qualifiers) <= frozenset(other.qualifiers)
        )


@lru_cache(maxsize=_REMEMBERED)
def parse_purl(text: str) -> Purl | None:
    """Return the package URL, or None for what is none."""
    if text[: len(_SCHEME)].lower() != _SCHEME:
        return None
    rest, _, subpath = text[len(_SCHEME) :].lstrip("/").partition("#")
    rest, _, query = rest.partition("?")
    kind, slash, rest = rest.partition("/")
    kind = kind.lower()
    if not slash or _TYPE.fullmatch(kind) is None or _BROKEN_ESCAPE.search(text):
        return None
    qualifiers = _qualifiers(query)
    scoped = rest.startswith("@")
    if qualifiers is None or (scoped and (kind != "npm" or "/" not in rest)):
        return None
    version = ""
    if rest.rfind("@") > 0:
        rest, _, version = rest.rpartition("@")
    namespace, _, name = rest.rpartition("/")
    if not name:
        return None
    return Purl(
        type=kind,
        namespace=_namespace(kind, namespace),
        name=_name(kind, unquote(name)),
        version=unquote(version).lower() if kind == "huggingface" else unquote(version),
        qualifiers=qualifiers,
        subpath=unquote(subpath).strip("/"),
    )


def _namespace(kind: str, text: str) -> str:
    joined = "/".join(unquote(part) for part in text.split("/") if part).strip("/")
    return joined.lower() if kind in _LOWER_NAMESPACE else joined


def _name(kind: str, name: str) -> str:
    if kind == "pypi":
        return name.replace("_", "-").lower()
    return name.lower() if kind in _LOWER_NAME else name


def _qualifiers(query: str) -> tuple[tuple[str, str], ...] | None:
    found: dict[str, str] = {}
    for part in query.split("&"):
        if not part:
            continue
        key, _, value = part.partition("=")
        if ";" in part or _QUALIFIER.fullmatch(key.lower()) is None:
            return None
        if value:  # an empty one says nothing
            found[key.lower()] = unquote(value)
    return tuple(sorted(found.items()))
