"""What VEX documents say: which vulnerabilities do not affect which products. Pure, total.

Of OpenVEX and CSAF only what decides is kept. Source of the choices: `pkg/vex` of Trivy 0.76, and
`pkg/vex` of openvex/go-vex 0.2.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from common.model.purl import Purl, parse_purl


class VexProduct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A product, or parts of it."""

    purls: tuple[str, ...]  # any of them
    parts: tuple[str, ...] | None = None  # package URLs; None: all that is in it
    # True: it is about parts alone; False: it is about the product too, where no part is asked for.
    of_parts: bool = False

    def covers(self, product: Purl, part: Purl | None) -> bool:
        """Return whether it is about `part` of `product`; None: about the product itself."""
        if not _any_covers(self.purls, product):
            return False
        if part is None:
            return not self.of_parts
        return self.parts is None or _any_covers(self.parts, part)


class VexStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement about one vulnerability under all its names."""

    names: tuple[str, ...]
    products: tuple[VexProduct, ...]
    unaffected: bool  # or fixed
    rank: tuple[str, float, int] = ("", 0.0, 0)  # of several that match, the highest counts


class VexDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One document."""

    statements: tuple[VexStatement, ...]


VexIndex: TypeAlias = tuple[Mapping[str, tuple[VexStatement, ...]], ...]


def indexed(documents: Iterable[VexDocument]) -> VexIndex:
    """Return the documents' statements by the names of vulnerabilities."""
    return tuple(_by_name(document) for document in documents)


def unaffected(index: VexIndex, name: str, product: Purl | None, part: Purl | None) -> bool:
    """Return whether a document says that vulnerability `name` does not affect the product.

    `part` is the package that has it, where the product contains it; None: asked of itself.
    """
    if product is None:
        return False
    for statements in index:
        matching = (
            one
            for one in statements.get(name, ())
            if any(known.covers(product, part) for known in one.products)
        )
        latest = max(matching, key=lambda one: one.rank, default=None)
        if latest is not None and latest.unaffected:
            return True
    return False


def _by_name(document: VexDocument) -> dict[str, tuple[VexStatement, ...]]:
    found: dict[str, list[VexStatement]] = {}
    for statement in document.statements:
        for name in set(statement.names):
            found.setdefault(name, []).append(statement)
    return {name: tuple(statements) for name, statements in found.items()}


def _any_covers(purls: Iterable[str], target: Purl) -> bool:
    return any(known.covers(target) for known in _parsed(purls))


def _parsed(purls: Iterable[str]) -> Iterator[Purl]:
    return (known for one in purls if (known := parse_purl(one)) is not None)
