"""The CycloneDX document of an SbomReport: told in one container's terms, the same every time.

Trivy draws fresh random identifiers on every run and writes the name under which it scanned. Both
would rewrite every report after a flush of Redis, and show one tenant's name of an image to
another. So identifiers follow from content here, and the described image bears the user's name.
Pure, total over documents that `Bom` can hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote
from uuid import UUID

import msgspec

from common.model.canonical import content_hash
from common.model.refs import ImageReference

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OCI_PURL = re.compile(r"pkg:oci/[^@?]+(?P<version>@[^?]+)?(?:\?(?P<qualifiers>.*))?")
_TRIVY = "aquasecurity:trivy:"
# What the described image's properties say about the name of the image, not about its content.
_NAMING = frozenset({f"{_TRIVY}Reference", f"{_TRIVY}RepoTag", f"{_TRIVY}RepoDigest"})


class Property(msgspec.Struct, frozen=True, order=True):
    """A named value."""

    name: str
    value: str = ""


class Component(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"ref": "bom-ref"}
):
    """One component, with the fields that the report's definition keeps."""

    ref: str = ""
    type: str = ""
    name: str = ""
    group: str = ""
    version: str = ""
    purl: str = ""
    supplier: dict[str, object] = {}
    hashes: tuple[dict[str, object], ...] = ()
    licenses: tuple[dict[str, object], ...] = ()
    properties: tuple[Property, ...] = ()


class Dependency(msgspec.Struct, frozen=True, kw_only=True, rename={"depends_on": "dependsOn"}):
    """What the component `ref` depends on."""

    ref: str
    depends_on: tuple[str, ...] = ()


class Bom(msgspec.Struct, frozen=True, kw_only=True):
    """A document without the parts that change from run to run."""

    root: Component
    components: tuple[Component, ...]
    dependencies: tuple[Dependency, ...]
    spec_version: str


def read(document: Mapping[str, object]) -> Bom:
    """Return the document of an inventory.

    Raises msgspec.ValidationError when it is no CycloneDX document.
    """
    metadata = msgspec.convert(document.get("metadata", {}), dict[str, object])
    return Bom(
        root=msgspec.convert(metadata.get("component", {}), Component),
        components=msgspec.convert(document.get("components") or [], tuple[Component, ...]),
        dependencies=msgspec.convert(document.get("dependencies") or [], tuple[Dependency, ...]),
        spec_version=msgspec.convert(document.get("specVersion", ""), str),
    )


def write(bom: Bom, *, tool_version: str) -> dict[str, object]:
    """Return the document as the report holds it; its serial number follows from its content."""
    tool = {
        "type": "application",
        "group": "aquasecurity",
        "name": "trivy",
        "version": tool_version,
    }
    document: dict[str, object] = {
        "bomFormat": "CycloneDX",
        "specVersion": bom.spec_version,
        "version": 1,
        "metadata": {
            "component": _plain(bom.root),
            "tools": {"components": [tool]},
        },
        "components": _plain(bom.components),
        "dependencies": _plain(bom.dependencies),
    }
    return {**document, "serialNumber": f"urn:uuid:{identifier(document)}"}


def _plain(value: object) -> object:
    """Return the value as JSON would give it back: lists, not tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


def steady(bom: Bom) -> Bom:
    """Return the document with random identifiers replaced, everything in order of identifiers.

    An identifier follows from its component's content. Components with the same content are told
    apart by what they need, as far as that has a name of its own.
    """
    needs = {one.ref: one.depends_on for one in bom.dependencies}
    drawn = sorted(
        (
            identifier(msgspec.to_builtins(msgspec.structs.replace(component, ref=""))),
            sorted(ref for ref in needs.get(component.ref, ()) if not _UUID.fullmatch(ref)),
            component.ref,
        )
        for component in (bom.root, *bom.components)
        if _UUID.fullmatch(component.ref)
    )
    met: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    for content, _, ref in drawn:
        renamed[ref] = identifier([content, met[content]])
        met[content] += 1
    return rename(bom, renamed)


def rename(bom: Bom, refs: Mapping[str, str]) -> Bom:
    """Return the document with identifiers replaced wherever they stand."""

    def new(component: Component) -> Component:
        return msgspec.structs.replace(component, ref=refs.get(component.ref, component.ref))

    return _sorted(
        root=new(bom.root),
        components=map(new, bom.components),
        dependencies=(
            Dependency(
                ref=refs.get(one.ref, one.ref),
                depends_on=tuple(refs.get(ref, ref) for ref in one.depends_on),
            )
            for one in bom.dependencies
        ),
        spec_version=bom.spec_version,
    )


def called(bom: Bom, *, text: str, reference: ImageReference | None, digest: str) -> Bom:
    """Return the document about the image as the user calls it: `text`, parsed as `reference`."""
    known = [Property(name=f"{_TRIVY}Reference", value=text)]
    if reference is not None and reference.tag:
        known.append(Property(f"{_TRIVY}RepoTag", f"{reference.name}:{reference.tag}"))
    if reference is not None and digest:
        known.append(Property(f"{_TRIVY}RepoDigest", f"{reference.name}@{digest}"))
    content = (one for one in bom.root.properties if one.name not in _NAMING)
    purl = _purl(bom.root.purl, reference)
    root = msgspec.structs.replace(
        bom.root,
        name=text,
        purl=purl,
        properties=tuple(sorted((*content, *known))),
    )
    old = bom.root.ref
    new = old if _UUID.fullmatch(old) else purl or identifier(text)
    return rename(msgspec.structs.replace(bom, root=root), {old: new})


def join(boms: Sequence[Bom]) -> Bom:
    """Return one document about everything; the first one's root and components win."""
    first, *others = boms
    if not others:
        return first
    parts = [first, *(rename(one, {one.root.ref: first.root.ref}) for one in others)]
    components: dict[str, Component] = {}
    depends_on: dict[str, set[str]] = {}
    for part in parts:
        for component in part.components:
            components.setdefault(component.ref, component)
        for one in part.dependencies:
            depends_on.setdefault(one.ref, set()).update(one.depends_on)
    return _sorted(
        root=first.root,
        components=components.values(),
        dependencies=(
            Dependency(ref=ref, depends_on=tuple(refs)) for ref, refs in depends_on.items()
        ),
        spec_version=first.spec_version,
    )


def _sorted(
    *,
    root: Component,
    components: Iterable[Component],
    dependencies: Iterable[Dependency],
    spec_version: str,
) -> Bom:
    return Bom(
        root=root,
        components=tuple(sorted(components, key=lambda one: one.ref)),
        dependencies=tuple(
            Dependency(ref=one.ref, depends_on=tuple(sorted(one.depends_on)))
            for one in sorted(dependencies, key=lambda one: one.ref)
        ),
        spec_version=spec_version,
    )


def _purl(purl: str, reference: ImageReference | None) -> str:
    """Return the package URL of the image under its new name; empty: it can have none."""
    found = _OCI_PURL.fullmatch(purl)
    if found is None or reference is None:
        return ""
    kept = [
        one
        for one in (found["qualifiers"] or "").split("&")
        if one and not one.startswith("repository_url=")
    ]
    qualifiers = sorted([*kept, f"repository_url={quote(reference.name, safe=':')}"])
    name = reference.repository.rpartition("/")[2]
    return f"pkg:oci/{name}{found['version'] or ''}?{'&'.join(qualifiers)}"


def identifier(value: object) -> str:
    """Return an identifier that follows from `value`, marked as name-based (version 5)."""
    return str(UUID(hex=content_hash(value), version=5))
