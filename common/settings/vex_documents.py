"""How VEX documents are read, OpenVEX and CSAF; see `formats` for what a reader promises.

CycloneDX VEX is refused: Trivy takes it for CycloneDX SBOMs alone, and ends otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import field

from common.model.errors import shorten
from common.model.vex import VexDocument, VexProduct, VexStatement
from common.settings.formats import Format
from common.settings.image_formats import read_texts

_UNAFFECTED = frozenset({"not_affected", "fixed"})
_PURL = "pkg:"
# CSAF's relationships in which one product is inside of another.
_CONTAINING = frozenset({"default_component_of", "installed_on", "installed_with"})


class _Component(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str = field(name="@id", default="")
    identifiers: dict[str, str] | None = None


class _Product(_Component, frozen=True):
    subcomponents: tuple[_Component, ...] | None = None


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str = field(name="@id", default="")
    name: str = ""
    aliases: tuple[str, ...] | None = None


class _Statement(msgspec.Struct, frozen=True):
    vulnerability: _Vulnerability = _Vulnerability()
    products: tuple[_Product, ...] | None = None
    status: str = ""
    timestamp: datetime | None = None


class _OpenVex(msgspec.Struct, frozen=True):
    timestamp: datetime | None = None
    statements: tuple[_Statement, ...] | None = None


class _Helper(msgspec.Struct, frozen=True):
    purl: str = ""


class _FullName(msgspec.Struct, frozen=True):
    product_id: str = ""
    product_identification_helper: _Helper | None = None


class _Branch(msgspec.Struct, frozen=True):
    branches: tuple[_Branch, ...] | None = None
    product: _FullName | None = None


class _Relationship(msgspec.Struct, frozen=True):
    category: str = ""
    full_product_name: _FullName | None = None
    product_reference: str = ""
    relates_to_product_reference: str = ""


class _ProductTree(msgspec.Struct, frozen=True):
    branches: tuple[_Branch, ...] | None = None
    full_product_names: tuple[_FullName, ...] | None = None
    relationships: tuple[_Relationship, ...] | None = None


class _ProductStatus(msgspec.Struct, frozen=True):
    known_not_affected: tuple[str, ...] | None = None
    fixed: tuple[str, ...] | None = None


class _Advised(msgspec.Struct, frozen=True):
    cve: str = ""
    product_status: _ProductStatus | None = None


class _Csaf(msgspec.Struct, frozen=True):
    product_tree: _ProductTree = _ProductTree()
    vulnerabilities: tuple[_Advised, ...] | None = None


class _Kind(msgspec.Struct, frozen=True):
    context: str = field(name="@context", default="")
    vulnerabilities: msgspec.Raw = msgspec.Raw()
    bom_format: str = field(name="bomFormat", default="")


def read_vex(text: str) -> VexDocument:
    """Return what the document says; raises ValueError for one that Trivy would refuse."""
    try:
        kind = msgspec.json.decode(text, type=_Kind)
        if kind.bom_format:
            raise ValueError("is CycloneDX, which Trivy takes for SBOMs alone")
        if kind.context:
            return VexDocument(
                statements=tuple(_open_vex(msgspec.json.decode(text, type=_OpenVex)))
            )
        if bytes(kind.vulnerabilities) not in {b"", b"null"}:
            return VexDocument(statements=tuple(_csaf(msgspec.json.decode(text, type=_Csaf))))
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(f"cannot be read: {shorten(str(exc))}") from exc
    raise ValueError("is neither OpenVEX nor CSAF")


def _open_vex(document: _OpenVex) -> Iterator[VexStatement]:
    for place, one in enumerate(document.statements or ()):
        named = one.vulnerability
        names = (named.id, named.name, *(named.aliases or ()))
        moment_s = _seconds(one.timestamp) or _seconds(document.timestamp)
        yield VexStatement(
            names=tuple(name for name in names if name),
            products=tuple(_product(product) for product in one.products or ()),
            unaffected=one.status in _UNAFFECTED,
            # Of equal age the first in the document: Trivy's library turns the order round.
            rank=(named.name, moment_s, -place),
        )


def _seconds(moment: datetime | None) -> float:
    if moment is None:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _product(product: _Product) -> VexProduct:
    parts = product.subcomponents
    return VexProduct(
        purls=tuple(_purls(product)),
        parts=tuple(purl for part in parts for purl in _purls(part)) if parts else None,
    )


def _purls(component: _Component) -> Iterator[str]:
    """Yield a component's package URLs, without the path inside, which does not count there."""
    for purl in (component.id, (component.identifiers or {}).get("purl", "")):
        if purl.startswith(_PURL):
            yield purl.partition("#")[0]


def _csaf(document: _Csaf) -> Iterator[VexStatement]:
    tree = document.product_tree
    purls = _purls_by_id(tree)
    seen: set[str] = set()
    for one in document.vulnerabilities or ():
        if one.cve in seen or one.product_status is None:
            seen.add(one.cve)  # only the first of a name counts
            continue
        seen.add(one.cve)
        status = one.product_status
        ids = (*(status.known_not_affected or ()), *(status.fixed or ()))
        direct = (VexProduct(purls=tuple(purls.get(one_id, ()))) for one_id in ids)
        parts = (
            _part(relation, purls) for relation in tree.relationships or () if _of(relation, ids)
        )
        yield VexStatement(names=(one.cve,), products=(*direct, *parts), unaffected=True)


def _of(relation: _Relationship, ids: tuple[str, ...]) -> bool:
    name = relation.full_product_name
    return relation.category in _CONTAINING and name is not None and name.product_id in ids


def _part(relation: _Relationship, purls: dict[str, list[str]]) -> VexProduct:
    return VexProduct(
        purls=tuple(purls.get(relation.relates_to_product_reference, ())),
        parts=tuple(purls.get(relation.product_reference, ())),
        of_parts=True,
    )


def _purls_by_id(tree: _ProductTree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in _full_names(tree):
        helper = name.product_identification_helper
        if helper is not None and helper.purl:
            found.setdefault(name.product_id, []).append(helper.purl)
    return found


def _full_names(tree: _ProductTree) -> Iterator[_FullName]:
    yield from tree.full_product_names or ()
    for relation in tree.relationships or ():
        if relation.full_product_name is not None:
            yield relation.full_product_name
    branches = list(tree.branches or ())
    while branches:
        branch = branches.pop()
        branches.extend(branch.branches or ())
        if branch.product is not None:
            yield branch.product


def _documents(text: str) -> tuple[VexDocument, ...]:
    documents = []
    for name, document in read_texts(text):
        try:
            documents.append(read_vex(document))
        except ValueError as exc:
            raise ValueError(f"has {shorten(name)!r}, which {exc}") from exc
    return tuple(documents)


VEX_DOCUMENTS = Format(shown="JSON object of OpenVEX and CSAF texts", read=_documents)
