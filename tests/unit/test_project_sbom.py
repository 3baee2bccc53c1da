"""The document of an SBOM report: steady identifiers, the user's name, unions."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from common.model.image import ImageRecord
from tests.fakes.report_builders import (
    DIGEST,
    OTHER_DIGEST,
    REFERENCE,
    context,
    golden,
    image_key,
    record,
)
from tests.fakes.report_schema import validate
from worker.project.context import ReportContext
from worker.project.sbom import project

_OS_REF = "e14111d4-b121-496a-85e7-544d984d2f0f"
_FRESH = "00000000-1111-4222-8333-444444444444"
_SCANNED = "registry.test/secret-team/app"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _document(**changes: Any) -> dict[str, Any]:
    """Return a document of an image with an operating system and two packages."""
    root = f"pkg:oci/app@{DIGEST}?arch=amd64&repository_url=registry.test%2Fsecret-team%2Fapp"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": "urn:uuid:be31928e-7ab0-4450-af7c-b90f7672012b",
        "version": 1,
        "metadata": {
            "component": {
                "bom-ref": root,
                "type": "container",
                "name": f"{_SCANNED}@{DIGEST}",
                "purl": root,
                "properties": [
                    {"name": "aquasecurity:trivy:ImageID", "value": "sha256:aa"},
                    {"name": "aquasecurity:trivy:Reference", "value": _SCANNED},
                    {"name": "aquasecurity:trivy:RepoDigest", "value": f"{_SCANNED}@{DIGEST}"},
                    {"name": "aquasecurity:trivy:RepoTag", "value": f"{_SCANNED}:2"},
                ],
            },
        },
        "components": [
            {"bom-ref": _OS_REF, "type": "operating-system", "name": "alpine", "version": "3.18"},
            {"bom-ref": "pkg:apk/musl@1", "type": "library", "name": "musl", "version": "1"},
            {"bom-ref": "pkg:apk/zlib@2", "type": "library", "name": "zlib", "version": "2"},
        ],
        "dependencies": [
            {"ref": root, "dependsOn": [_OS_REF]},
            {"ref": _OS_REF, "dependsOn": ["pkg:apk/zlib@2", "pkg:apk/musl@1"]},
            {"ref": "pkg:apk/musl@1", "dependsOn": []},
            {"ref": "pkg:apk/zlib@2"},
        ],
    }
    return {**document, **changes}


def _bom(*documents: dict[str, Any], view: ReportContext | None = None) -> Any:
    """Return `.report.components` over one image per document."""
    digests = (DIGEST, OTHER_DIGEST)
    records = [
        (image_key(digest), record(sbom=document))
        for digest, document in zip(digests, documents, strict=False)
    ]
    body = project(records, view or context())
    assert body is not None
    validate(body.kind, {"updateTimestamp": "2026-11-25T00:00:00Z", **body.report})
    return body.report["components"]


def _replaced(value: Any, old: str, new: str) -> Any:
    match value:
        case dict():
            return {name: _replaced(below, old, new) for name, below in value.items()}
        case list():
            return [_replaced(below, old, new) for below in value]
        case str():
            return value.replace(old, new)
        case _:
            return value


def test_a_fresh_inventory_gives_the_same_document() -> None:
    """Trap 32. Trivy draws new identifiers on every run: after a flush nothing may be rewritten."""
    again = _replaced(_document(serialNumber="urn:uuid:" + _FRESH), _OS_REF, _FRESH)
    assert _bom(again) == _bom(_document())


def test_a_fresh_inventory_under_another_name_gives_the_same_document() -> None:
    """Trap 27, trap 32. Whose reference was scanned is chance, and no business of the others."""
    again = _replaced(_document(), "secret-team%2Fapp", "other%2Fname")
    again = _replaced(again, "pkg:oci/app@", "pkg:oci/name@")
    again = _replaced(again, "secret-team/app", "other/name")
    assert _bom(again) == _bom(_document())
    assert "secret-team" not in str(_bom(_document()))


def test_the_order_in_a_fresh_inventory_does_not_matter() -> None:
    """Trivy orders by identifiers that are drawn at random."""
    again = _document()
    again["components"].reverse()
    again["dependencies"].reverse()
    assert _bom(again) == _bom(_document())


def test_random_identifiers_are_replaced_wherever_they_stand() -> None:
    """A dependency that leads nowhere would make the document worthless."""
    bom = _bom(_document())
    assert _OS_REF not in str(bom)
    system = next(one for one in bom["components"] if one["name"] == "alpine")
    assert _UUID.fullmatch(system["bom-ref"])
    refs = {one["bom-ref"] for one in (bom["metadata"]["component"], *bom["components"])}
    for one in bom["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= refs


def test_twins_without_identifiers_of_their_own_stay_two() -> None:
    """Two components with the same content are two components."""
    twins = [{"bom-ref": ref, "type": "application", "name": "a"} for ref in (_OS_REF, _FRESH)]
    bom = _bom(_document(components=twins, dependencies=[]))
    assert len({one["bom-ref"] for one in bom["components"]}) == 2


def test_twins_with_different_needs_keep_them_apart() -> None:
    """Which twin needs what must not depend on identifiers drawn at random."""

    def document(first: str, second: str) -> dict[str, Any]:
        return _document(
            components=[
                {"bom-ref": first, "type": "application", "name": "a"},
                {"bom-ref": second, "type": "application", "name": "a"},
            ],
            dependencies=[
                {"ref": first, "dependsOn": ["pkg:npm/x@1"]},
                {"ref": second, "dependsOn": ["pkg:npm/y@1"]},
            ],
        )

    assert _bom(document(_OS_REF, _FRESH)) == _bom(document(_FRESH, _OS_REF))


def test_the_image_bears_the_users_name() -> None:
    """As trivy-operator's does, which scans by the reference of the Pod."""
    root = _bom(_document())["metadata"]["component"]
    purl = (
        f"pkg:oci/alpine-app@{DIGEST}?arch=amd64&repository_url=127.0.0.1:5055%2Fdemo%2Falpine-app"
    )
    assert root == {
        "bom-ref": purl,
        "type": "container",
        "name": REFERENCE,
        "purl": purl,
        "properties": [
            {"name": "aquasecurity:trivy:ImageID", "value": "sha256:aa"},
            {"name": "aquasecurity:trivy:Reference", "value": REFERENCE},
            {
                "name": "aquasecurity:trivy:RepoDigest",
                "value": f"127.0.0.1:5055/demo/alpine-app@{DIGEST}",
            },
            {"name": "aquasecurity:trivy:RepoTag", "value": REFERENCE},
        ],
    }


def test_an_image_without_package_url_keeps_having_none() -> None:
    """An archive has no repository, so its identifier follows from its content."""
    root = {"bom-ref": _FRESH, "type": "container", "name": "x"}
    bom = _bom(_document(metadata={"component": root}))
    told = bom["metadata"]["component"]
    assert "purl" not in told
    assert _UUID.fullmatch(told["bom-ref"])
    assert told["bom-ref"] != _FRESH


def test_a_reference_that_is_none_leaves_no_trace_of_the_scanned_name() -> None:
    """Trap 27. Without a name that can be parsed there is no package URL to write."""
    bom = _bom(_document(), view=context("NOT a reference"))
    told = bom["metadata"]["component"]
    assert told["name"] == "NOT a reference"
    assert "purl" not in told
    assert "secret-team" not in str(bom)


def test_the_serial_number_follows_from_the_content() -> None:
    """CycloneDX wants one per document; a random one would rewrite every report."""
    one = _bom(_document())
    other = _bom(_document(components=[]))
    assert re.fullmatch(r"urn:uuid:" + _UUID.pattern, one["serialNumber"])
    assert one["serialNumber"] != other["serialNumber"]


def test_the_tool_is_trivy_with_its_version() -> None:
    """One tool, as trivy-operator writes it."""
    assert _bom(_document())["metadata"]["tools"] == {
        "components": [
            {"type": "application", "group": "aquasecurity", "name": "trivy", "version": "0.76.0"}
        ]
    }


def test_the_body_holds_no_time() -> None:
    """It is added when the object is assembled."""
    document = _document()
    document["metadata"]["timestamp"] = "2026-11-25T02:50:03+00:00"
    assert "timestamp" not in _bom(document)["metadata"]


def test_the_summary_counts_the_image_too() -> None:
    """`componentsCount` is one more than the list, as upstream."""
    body = project([(image_key(), record(sbom=_document()))], context())
    assert body is not None
    assert body.report["summary"] == {"componentsCount": 4, "dependenciesCount": 4}


def test_two_images_are_told_as_one_document() -> None:
    """Trap 30. A deterministic union: the primary's image, everything that either holds."""
    other = _replaced(_document(), DIGEST, OTHER_DIGEST)
    other["components"][1] = {"bom-ref": "pkg:apk/new@1", "type": "library", "name": "new"}
    other["dependencies"][1]["dependsOn"] = ["pkg:apk/new@1", "pkg:apk/zlib@2"]
    bom = _bom(_document(), other)
    assert sorted(one["name"] for one in bom["components"]) == ["alpine", "musl", "new", "zlib"]
    assert OTHER_DIGEST not in str(bom)
    roots = [one for one in bom["dependencies"] if one["ref"].startswith("pkg:oci/")]
    assert len(roots) == 1


def test_what_two_images_share_is_listed_once() -> None:
    """Equal content, equal identifier, one component."""
    other = _replaced(_replaced(_document(), DIGEST, OTHER_DIGEST), _OS_REF, _FRESH)
    assert len(_bom(_document(), other)["components"]) == 3


def test_dependencies_of_both_images_are_kept() -> None:
    """A package may need more in the newer image."""
    other = _replaced(_document(), DIGEST, OTHER_DIGEST)
    other["dependencies"][2]["dependsOn"] = ["pkg:apk/zlib@2"]
    bom = _bom(_document(), other)
    musl = next(one for one in bom["dependencies"] if one["ref"] == "pkg:apk/musl@1")
    assert musl["dependsOn"] == ["pkg:apk/zlib@2"]


def test_an_image_without_packages_has_no_sbom() -> None:
    """An empty document would read "nothing inside"."""
    assert project([(image_key(), record(has_packages=False, covered=False))], context()) is None
    assert project([(image_key(), record(has_packages=True, sbom=None))], context()) is None
    empty = record(has_packages=False, sbom=_document())  # Trivy describes the image itself then
    assert project([(image_key(), empty)], context()) is None


def test_an_image_without_packages_beside_one_with_them_adds_nothing() -> None:
    """The union is what either holds."""
    records = [
        (image_key(DIGEST), record(sbom=_document())),
        (image_key(OTHER_DIGEST), record(has_packages=False)),
    ]
    body = project(records, context())
    assert body is not None
    assert body.report["components"] == _bom(_document())


def test_an_inventory_is_needed() -> None:
    """Half the evidence is settled before anything is projected."""
    with pytest.raises(ValueError, match="inventory"):
        project([(image_key(), ImageRecord())], context())


@pytest.mark.parametrize("name", ["components", "dependencies", "metadata"])
def test_a_damaged_document_is_an_error(name: str) -> None:
    """It must not become a report that claims an empty image."""
    with pytest.raises(msgspec.ValidationError):
        _bom(_document(**{name: "damaged"}))


@pytest.mark.parametrize("name", ["components", "dependencies", "metadata"])
def test_a_document_without_optional_parts_is_told_as_it_is(name: str) -> None:
    """CycloneDX requires none of them."""
    document = _document()
    del document[name]
    assert _bom(document)["bomFormat"] == "CycloneDX"


def test_unknown_fields_of_a_component_are_left_out() -> None:
    """Trap 28. What is kept is allowed by name; the API server would drop the rest silently."""
    document = _document()
    document["components"][0]["evidence"] = {"identity": "x"}
    assert "evidence" not in str(_bom(document))


def test_the_inventory_is_not_changed() -> None:
    """It is shared by every workload that runs the image."""
    document = _document()
    before = deepcopy(document)
    _bom(document)
    assert document == before


def test_a_real_document_keeps_every_component() -> None:
    """The sample of a real Trivy, counted."""
    bom = _bom(golden("sbomreport.json")["components"])
    assert len(bom["components"]) == 17
    assert len(bom["dependencies"]) == 18
