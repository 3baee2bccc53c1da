"""Trivy's CycloneDX document to the reduced one that SbomReports carry, equal for equal content.

Pure. Trivy draws a new serial number and new identifiers for components without a package URL in
every run and sorts by them. Here they follow from the content, so that the same image gives the
same bytes and a report is rewritten only when something in it changed. Labels of the image and the
names under which it was pulled are left out: the first are tenants' data, the second differ by who
came first.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping

from common.model.canonical import canonical_json

# Any constant does; this one is uuid5(NAMESPACE_URL, "kube-sluice/cyclonedx").
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "kube-sluice/cyclonedx")
_RANDOM_REF = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_PROPERTY_PREFIX = "aquasecurity:trivy:"
_PROPERTIES = frozenset(
    {
        "Class",
        "DiffID",
        "FilePath",
        "ImageID",
        "LayerDiffID",
        "LayerDigest",
        "Modularitylabel",
        "PkgID",
        "PkgType",
        "SchemaVersion",
        "Size",
        "SrcEpoch",
        "SrcName",
        "SrcRelease",
        "SrcVersion",
        "Type",
    }
)
_PLAIN = ("type", "name", "group", "version", "purl")

Json = Mapping[str, object]


def reduce_bom(document: Json, *, scanner_version: str) -> dict[str, object]:
    """Return the reduced document, without a timestamp; its order and identifiers are fixed."""
    raw = [_root(document), *_dicts(document.get("components"))]
    refs = [str(one.get("bom-ref", "")) for one in raw]
    components = [_component(one) for one in raw]
    edges = {
        str(one.get("ref", "")): [str(ref) for ref in _items(one.get("dependsOn"))]
        for one in _dicts(document.get("dependencies"))
    }
    names = _stable_refs(refs, components, edges)
    root, *others = (
        {"bom-ref": names[ref], **one} for ref, one in zip(refs, components, strict=True)
    )
    bom: dict[str, object] = {
        "bomFormat": document.get("bomFormat", "CycloneDX"),
        "specVersion": document.get("specVersion", ""),
        "version": document.get("version", 1),
        "metadata": {"tools": _tools(scanner_version), "component": root},
        "components": sorted(others, key=lambda one: str(one["bom-ref"])),
        "dependencies": _dependencies(edges, names),
    }
    return {"serialNumber": f"urn:uuid:{_uuid(bom)}", **bom}


def _root(document: Json) -> Json:
    metadata = document.get("metadata")
    component = metadata.get("component") if isinstance(metadata, Mapping) else None
    return component if isinstance(component, Mapping) else {}


def _tools(scanner_version: str) -> dict[str, object]:
    trivy = {
        "type": "application",
        "group": "aquasecurity",
        "name": "trivy",
        "version": scanner_version,
    }
    return {"components": [trivy]}


def _component(component: Json) -> dict[str, object]:
    """Return the fields that reports carry, empty ones left out; without the reference."""
    supplier = component.get("supplier")
    fields: dict[str, object] = {key: component.get(key) for key in _PLAIN}
    fields["supplier"] = _pick(supplier, ("name", "url")) if isinstance(supplier, Mapping) else None
    fields["hashes"] = [_pick(one, ("alg", "content")) for one in _dicts(component.get("hashes"))]
    fields["licenses"] = [_license(one) for one in _dicts(component.get("licenses"))]
    fields["properties"] = _properties(component)
    return {key: value for key, value in fields.items() if value}


def _license(choice: Json) -> dict[str, object]:
    inner = choice.get("license")
    if isinstance(inner, Mapping):
        return {"license": _pick(inner, ("id", "name", "url"))}
    return _pick(choice, ("expression",))


def _properties(component: Json) -> list[dict[str, object]]:
    kept = [
        _pick(one, ("name", "value"))
        for one in _dicts(component.get("properties"))
        if str(one.get("name", "")).removeprefix(_PROPERTY_PREFIX) in _PROPERTIES
    ]
    return sorted(kept, key=lambda one: (str(one.get("name")), str(one.get("value"))))


def _dependencies(
    edges: Mapping[str, list[str]], names: Mapping[str, str]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"ref": names.get(ref, ref), "dependsOn": sorted(names.get(to, to) for to in targets)}
        for ref, targets in edges.items()
    ]
    return sorted(rows, key=lambda row: str(row["ref"]))


def _stable_refs(
    refs: list[str], components: list[dict[str, object]], edges: Mapping[str, list[str]]
) -> dict[str, str]:
    """Return old reference → new one; references that name a package stay.

    A component without one is named after its content and its neighbours'. Those that even so
    cannot be told apart are numbered: whichever of them comes first, the document is the same.
    """
    content = {ref: str(_uuid(one)) for ref, one in zip(refs, components, strict=True)}
    parents: dict[str, list[str]] = {}
    for ref, targets in edges.items():
        for target in targets:
            parents.setdefault(target, []).append(ref)
    names: dict[str, str] = {}
    taken: dict[str, int] = {}
    for ref in refs:
        if _RANDOM_REF.fullmatch(ref) is None:
            names[ref] = ref
            continue
        around = [
            sorted(content.get(to, to) for to in near.get(ref, [])) for near in (edges, parents)
        ]
        base = str(_uuid([content[ref], *around]))
        taken[base] = taken.get(base, 0) + 1
        names[ref] = base if taken[base] == 1 else str(_uuid([base, taken[base]]))
    return names


def _uuid(value: object) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, canonical_json(value).decode())


def _pick(source: Mapping[str, object], keys: Iterable[str]) -> dict[str, object]:
    return {key: source[key] for key in keys if source.get(key)}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _dicts(value: object) -> list[Json]:
    return [one for one in _items(value) if isinstance(one, Mapping)]
