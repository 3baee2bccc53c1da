"""How an SBOM is stored: its list of dependencies says numbers where it would repeat references.

Half of a document are references of 60 characters that zlib's window is too small to find again;
measured, a third of the stored bytes. Pure; what it does not know it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

_FIELDS = ("ref", "dependsOn")

Json = Mapping[str, object]


def numbered(bom: Json) -> dict[str, object]:
    """Return the document with a list instead of each entry: of the one, and those it depends on.

    Each is the place of a component, or a reference of none.
    """
    places: dict[str, int] = {}
    for place, ref in enumerate(_refs(bom)):
        places.setdefault(ref, place)

    def entry(given: object) -> object:
        if isinstance(given, list):
            return [given]  # a stranger, and not to be read as one of ours
        if not isinstance(given, Mapping) or tuple(given) != _FIELDS:
            return given
        ref, targets = given["ref"], given["dependsOn"]
        if not isinstance(ref, str) or not _are_texts(targets):
            return given
        return [places.get(ref, ref), *(places.get(target, target) for target in targets)]

    known = bom.get("dependencies")
    if not isinstance(known, list):
        return dict(bom)
    return {**bom, "dependencies": [entry(one) for one in known]}


def spelled(stored: Json) -> dict[str, object]:
    """Return the document that `numbered` was given. Raises ValueError for a number of nothing."""
    refs = _refs(stored)

    def name(given: object) -> object:
        if not isinstance(given, int):
            return given
        if not 0 <= given < len(refs):
            raise ValueError(f"an SBOM with {len(refs)} components names number {given}")
        return refs[given]

    def entry(given: object) -> object:
        if not isinstance(given, list) or not given:
            return given
        if isinstance(given[0], list):
            return given[0]
        ref, *targets = map(name, given)
        return {"ref": ref, "dependsOn": targets}

    known = stored.get("dependencies")
    if not isinstance(known, list):
        return dict(stored)
    return {**stored, "dependencies": [entry(one) for one in known]}


def _refs(bom: Json) -> list[str]:
    """Return the components' references; empty where they are not what they should be."""
    components = bom.get("components")
    if not isinstance(components, list):
        return []
    found = [one.get("bom-ref") if isinstance(one, Mapping) else None for one in components]
    return [ref if isinstance(ref, str) else "" for ref in found]


def _are_texts(value: object) -> bool:
    """Whether it is a list of texts; a text itself, whose letters are texts too, is none."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
