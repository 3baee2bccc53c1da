"""Leaves out what VEX documents call unaffected, as Trivy does: on every way to the image.

A package may be inside of others. A finding is left out when on each way from its package up to the
image something stands of which a document says so. The ways are those of the image's SBOM; where
none is kept, every package stands right below the image. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from common.model.errors import BadReferenceError
from common.model.image import Finding, Inventory
from common.model.key import ImageKey
from common.model.purl import Purl, parse_purl
from common.model.refs import parse_reference
from common.model.vex import VexIndex, unaffected

Unaffected: TypeAlias = Callable[[Purl | None], bool]
_FILE_PATH = "aquasecurity:trivy:FilePath"
_ROOT = ""  # the image's name in a tree; a package's reference is never empty
# Ways are as many as a graph has paths. Beyond so many steps a finding is shown.
_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What is inside of what, by reference."""

    purls: Mapping[str, Purl | None]
    parents: Mapping[str, frozenset[str]]
    places: Mapping[tuple[str, str], frozenset[str]]  # by package URL and path

    def leaves(self, finding: Finding) -> frozenset[str]:
        """Return the references of the finding's package; none: the SBOM does not know it."""
        exact = self.places.get((finding.purl, finding.package_path), frozenset())
        return exact or self.places.get((finding.purl, ""), frozenset())


def affecting(
    findings: Iterable[Finding], inventory: Inventory, image: Purl | None, index: VexIndex
) -> list[Finding]:
    """Return the findings that no document calls unaffected; `image` is the image's own name."""
    if not index:
        return list(findings)
    tree = _tree(inventory, image)
    return [one for one in findings if _affects(one, tree, image, index)]


def image_purl(reference: str, key: ImageKey) -> Purl | None:
    """Return the image's package URL, as Trivy makes it of the name that it scans."""
    try:
        parsed = parse_reference(reference)
    except BadReferenceError:
        return None
    architecture = (*key.platform.split("-"), "")[1]
    qualifiers = {"arch": architecture, "repository_url": parsed.name}
    return Purl(
        type="oci",
        namespace="",
        name=parsed.repository.rpartition("/")[2].lower(),
        version=key.digest,
        qualifiers=tuple(sorted(qualifiers.items())),
        subpath="",
    )


def _affects(finding: Finding, tree: Tree, image: Purl | None, index: VexIndex) -> bool:
    package = parse_purl(finding.purl)
    name = finding.vulnerability_id
    if unaffected(index, name, package, None):
        return False
    leaves = tree.leaves(finding)
    if not leaves:
        ways = (package, image)
        return not any(unaffected(index, name, one, package) for one in ways)

    def stops(product: Purl | None) -> bool:
        return unaffected(index, name, product, package)

    return any(_reaches(leaf, tree, stops) for leaf in leaves)


def _reaches(leaf: str, tree: Tree, stops: Unaffected) -> bool:
    """Return whether a way leads from the package to the image past everything that stops it.

    A way that ends elsewhere, or in a circle, counts as one: in doubt a finding is shown.
    """
    todo: list[tuple[str, frozenset[str]]] = [(leaf, frozenset())]
    for _ in range(_STEPS):
        if not todo:
            return False
        here, passed = todo.pop()
        if stops(tree.purls.get(here)):
            continue
        onward = tree.parents.get(here, frozenset()) - passed
        if here == _ROOT or not onward:
            return True
        todo.extend((parent, passed | {here}) for parent in onward)
    return True


def _tree(inventory: Inventory, image: Purl | None) -> Tree:
    bom = inventory.sbom or {}
    root = _text(_mapping(_mapping(bom.get("metadata")).get("component")), "bom-ref")
    names = {root: _ROOT} if root else {}
    purls: dict[str, Purl | None] = {_ROOT: image}
    places: dict[tuple[str, str], set[str]] = {}
    for component in _mappings(bom.get("components")):
        reference, purl = _text(component, "bom-ref"), _text(component, "purl")
        purls[reference] = parse_purl(purl)
        for place in {"", _path(component)}:
            places.setdefault((purl, place), set()).add(reference)
    parents: dict[str, set[str]] = {}
    for row in _mappings(bom.get("dependencies")):
        reference = _text(row, "ref")
        for child in _items(row.get("dependsOn")):
            parents.setdefault(str(child), set()).add(names.get(reference, reference))
    return Tree(
        purls=purls,
        parents={child: frozenset(above) for child, above in parents.items()},
        places={place: frozenset(found) for place, found in places.items()},
    )


def _path(component: Mapping[str, object]) -> str:
    """Return the file in which a package was found; empty: it is the system's."""
    found = (
        _text(one, "value")
        for one in _mappings(component.get("properties"))
        if one.get("name") == _FILE_PATH
    )
    return next(found, "")


def _text(source: Mapping[str, object], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterable[Mapping[str, object]]:
    return (one for one in _items(value) if isinstance(one, Mapping))
