"""VEX documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.filters.case import Case


def open_vex(*statements: Mapping[str, object], **fields: object) -> str:
    """Return an OpenVEX document; the fields that a statement lacks are filled in."""
    filled = [
        {"status": "not_affected", "justification": "vulnerable_code_not_present", **one}
        for one in statements
    ]
    head = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.invalid/vex",
        "author": "somebody",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
    }
    return json.dumps({**head, **fields, "statements": filled})


def about(name: str, *products: object, **fields: object) -> dict[str, object]:
    """Return a statement about products, given by their package URLs or whole."""
    listed = [{"@id": one} if isinstance(one, str) else one for one in products]
    return {"vulnerability": {"name": name}, "products": listed, **fields}


def csaf(status: Mapping[str, object], *relations: object, names: Sequence[object] = ()) -> str:
    """Return a CSAF document about CVE-2023-4911."""
    products = [
        {"product_id": name, "name": name, "product_identification_helper": {"purl": purl}}
        for name, purl in CSAF_PRODUCTS.items()
    ]
    first, *others = products
    return json.dumps({
        "document": {"category": "csaf_vex", "csaf_version": "2.0", "title": "x"},
        "product_tree": {
            "branches": [{"category": "vendor", "name": "v", "branches": [
                {"category": "product_version", "name": "1", "product": first}]}],
            "full_product_names": others,
            "relationships": list(relations),
        },
        "vulnerabilities": [{"cve": "CVE-2023-4911", "product_status": status}, *names],
    })  # fmt: skip


CSAF_PRODUCTS = {
    "libc6": "pkg:deb/debian/libc6",
    "bin": "pkg:deb/debian/libc-bin@2.36-9+deb12u1?arch=amd64",
    "image": "pkg:oci/filters",
    "other": "pkg:oci/other",
}
INSIDE = {
    "category": "default_component_of",
    "product_reference": "libc6",
    "relates_to_product_reference": "image",
    "full_product_name": {"product_id": "libc6-in-image", "name": "libc6 in the image"},
}
LIBC6 = "pkg:deb/debian/libc6@2.36-9+deb12u1"
LODASH = "pkg:npm/lodash@4.17.11"
CVE = "CVE-2023-4911"
GO_CVE, NET, MAIN = "CVE-2023-39325", "pkg:golang/golang.org/x/net", "pkg:golang/example.com/app"
TWO = (about(CVE, LIBC6), about(CVE, LIBC6, status="affected"))
DATED = (
    about(CVE, LIBC6, timestamp="2026-03-01T00:00:00Z"),
    about(CVE, LIBC6, status="affected", timestamp="2026-02-01T00:00:00Z"),
)
VEX = {
    "a package": (open_vex(about(CVE, LIBC6)), True),
    "a package without a version": (open_vex(about(CVE, "pkg:deb/debian/libc6")), True),
    "a package of another version": (open_vex(about(CVE, "pkg:deb/debian/libc6@1")), False),
    "a package with a qualifier": (open_vex(about(CVE, f"{LIBC6}?arch=amd64")), True),
    "a package of another architecture": (open_vex(about(CVE, f"{LIBC6}?arch=arm64")), False),
    "a package and a path": (open_vex(about(CVE, f"{LIBC6}#usr/lib")), True),
    "fixed": (open_vex(about(CVE, LIBC6, status="fixed")), True),
    "affected": (open_vex(about(CVE, LIBC6, status="affected")), False),
    "being looked into": (open_vex(about(CVE, LIBC6, status="under_investigation")), False),
    "another vulnerability": (open_vex(about("CVE-1999-0001", LIBC6)), False),
    "an alias": (
        open_vex({**about("X", LIBC6), "vulnerability": {"name": "X", "aliases": [CVE]}}),
        True,
    ),
    "an address": (open_vex({**about("X", LIBC6), "vulnerability": {"@id": CVE}}), True),
    "an identifier": (open_vex(about(CVE, {"identifiers": {"purl": LIBC6}})), True),
    "another identifier": (open_vex(about(CVE, {"identifiers": {"cpe23": LIBC6}})), False),
    "the image": (open_vex(about(CVE, "pkg:oci/filters")), True),
    "the image's repository": (
        open_vex(about(CVE, "pkg:oci/filters?repository_url={repository}")),
        True,
    ),
    "the image's architecture": (open_vex(about(CVE, "pkg:oci/filters?arch=amd64")), True),
    "the image's digest": (open_vex(about(CVE, "pkg:oci/filters@{digest}")), True),
    "another image": (open_vex(about(CVE, "pkg:oci/other")), False),
    "another repository": (
        open_vex(about(CVE, "pkg:oci/filters?repository_url=elsewhere/filters")),
        False,
    ),
    "a package in the image": (
        open_vex(about(CVE, {"@id": "pkg:oci/filters", "subcomponents": [{"@id": LIBC6}]})),
        True,
    ),
    "another package in the image": (
        open_vex(about(CVE, {"@id": "pkg:oci/filters", "subcomponents": [{"@id": LODASH}]})),
        False,
    ),
    "a package in itself": (
        open_vex(about(CVE, {"@id": LIBC6, "subcomponents": [{"@id": LODASH}]})),
        True,
    ),
    "a package of a language": (open_vex(about("CVE-2019-10744", LODASH)), True),
    "a module": (open_vex(about(GO_CVE, NET)), True),
    "what a module is in": (open_vex(about(GO_CVE, MAIN)), True),
    "a module in what it is in": (
        open_vex(about(GO_CVE, {"@id": MAIN, "subcomponents": [{"@id": NET}]})),
        True,
    ),
    "a module in something else": (
        open_vex(about(GO_CVE, {"@id": LODASH, "subcomponents": [{"@id": NET}]})),
        False,
    ),
    "two statements of one age": (open_vex(*TWO), True),
    "two statements of one age, turned round": (open_vex(*reversed(TWO)), False),
    "two statements, the older last": (open_vex(*DATED), True),
    "two statements, the older first": (open_vex(*reversed(DATED)), True),
    "a statement older than its document": (
        open_vex(DATED[1], about(CVE, LIBC6), timestamp="2026-02-02T00:00:00Z"),
        True,
    ),
    "a statement younger than its document": (
        open_vex(about(CVE, LIBC6), DATED[1], timestamp="2026-01-01T00:00:00Z"),
        False,
    ),
    "no statements": (open_vex(), False),
    "csaf, a package": (csaf({"known_not_affected": ["libc6"]}), True),
    "csaf, fixed": (csaf({"fixed": ["bin"]}), True),
    "csaf, affected": (csaf({"known_affected": ["libc6"]}), False),
    "csaf, the image": (csaf({"known_not_affected": ["image"]}), True),
    "csaf, another image": (csaf({"known_not_affected": ["other"]}), False),
    "csaf, inside": (csaf({"known_not_affected": ["libc6-in-image"]}, INSIDE), True),
    "csaf, inside by another word": (
        csaf({"fixed": ["libc6-in-image"]}, {**INSIDE, "category": "optional_component_of"}),
        False,
    ),
    "csaf, inside another": (
        csaf({"fixed": ["libc6-in-image"]}, {**INSIDE, "relates_to_product_reference": "other"}),
        False,
    ),
    "csaf, the first of two": (
        csaf(
            {"known_affected": ["libc6"]},
            names=[{"cve": CVE, "product_status": {"fixed": ["libc6"]}}],
        ),
        False,
    ),
}
CASES = tuple(
    Case(
        name=f"vex: {name}",
        flags=("--vex={file}",),
        environ={"TRIVY_VEX": "{file}"},
        file=("vex.json", text),
        hides=hides,
    )
    for name, (text, hides) in VEX.items()
)
