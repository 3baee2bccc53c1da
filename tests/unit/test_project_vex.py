"""VEX: which documents are read, and which ways lead from a package to its image."""

from __future__ import annotations

import json

import pytest

from common.model.errors import SettingsError
from common.model.image import Finding
from common.model.purl import parse_purl
from common.model.vex import indexed
from common.settings.load import load
from common.settings.parse import parse
from common.settings.vex_documents import read_vex
from tests.fakes.report_builders import finding, image_key, inventory
from worker.project.vex import affecting, image_purl

A, B, C = "pkg:npm/a@1", "pkg:npm/b@1", "pkg:npm/c@1"
IMAGE = parse_purl("pkg:oci/app@sha256%3A00")
CVE = "CVE-2024-0001"


def statement(*products: str, status: str = "not_affected") -> dict[str, object]:
    """Return a statement about the vulnerability."""
    listed = [{"@id": one} for one in products]
    return {"vulnerability": {"name": CVE}, "products": listed, "status": status}


def document(*statements: object) -> str:
    """Return an OpenVEX document."""
    return json.dumps({"@context": "x", "statements": statements})


def bom(**parents: list[str]) -> dict[str, object]:
    """Return an SBOM of packages a, b, c and the image; each is inside of those that it names."""
    purls = {"a": A, "b": B, "c": C}
    names = {**purls, "image": "r"}
    return {
        "metadata": {"component": {"bom-ref": "r"}},
        "components": [{"bom-ref": purl, "purl": purl} for purl in purls.values()],
        "dependencies": [
            {
                "ref": names[above],
                "dependsOn": [names[one] for one in parents if above in parents[one]],
            }
            for above in names
        ],
    }


def shown(*products: str, sbom: dict[str, object] | None) -> bool:
    """Return whether a finding in package a is shown, where products are not affected."""
    index = indexed([read_vex(document(statement(*products)))])
    found: list[Finding] = [finding(CVE, purl=A)]
    return bool(affecting(found, inventory(sbom=sbom), IMAGE, index))


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        ((B,), True),  # the other way is open
        ((B, C), False),
        ((A,), False),
        (("pkg:oci/app",), False),
        ((), True),
    ],
)
def test_every_way_must_be_stopped(stopped: tuple[str, ...], expected: bool) -> None:  # noqa: FBT001 # a parameter
    """One use of a package that is affected is enough to be told."""
    sbom = bom(a=["b", "c"], b=["image"], c=["image"])
    assert shown(*stopped, sbom=sbom) == expected


def test_a_circle_or_a_loose_end_hides_nothing() -> None:
    """In doubt a finding is shown, as Trivy does."""
    assert shown(C, sbom=bom(a=["b"], b=["a"]))
    assert shown(C, sbom=bom(a=["b"]))
    assert not shown(B, sbom=bom(a=["b"], b=["a"]))


def test_without_an_sbom_every_package_stands_right_below_its_image() -> None:
    """SBOMs may be switched off; the commonest statements count all the same."""
    assert not shown(A, sbom=None)
    assert not shown("pkg:oci/app", sbom=None)
    assert shown(B, sbom=None)


def test_ways_without_number_end_in_a_shown_finding() -> None:
    """Each of 40 packages in all later ones gives more ways than there is time."""
    purls = [A, *(f"pkg:npm/p{number}@1" for number in range(40))]
    sbom: dict[str, object] = {
        "metadata": {"component": {"bom-ref": "r"}},
        "components": [{"bom-ref": purl, "purl": purl} for purl in purls],
        "dependencies": [
            {"ref": above, "dependsOn": purls[:place]} for place, above in enumerate(purls)
        ],
    }
    assert shown(purls[-1], sbom=sbom)


def test_an_image_has_the_name_that_its_user_wrote() -> None:
    """A statement may be about one architecture, one repository or one content."""
    key = image_key()
    purl = image_purl("nginx:1", key)
    written = f"pkg:oci/nginx@{key.digest}?arch=amd64&repository_url=index.docker.io/library/nginx"
    assert purl == parse_purl(written)
    assert image_purl("not an image", key) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "neither OpenVEX nor CSAF"),
        ('{"vulnerabilities": null}', "neither OpenVEX nor CSAF"),
        ('{"bomFormat": "CycloneDX", "vulnerabilities": []}', "CycloneDX"),
        ('{"@context": "x", "statements": [{"vulnerability": "CVE-1"}]}', "cannot be read"),
        ('{"@context": "x", "statements": [{"products": ["a"]}]}', "cannot be read"),
        ('{"@context": "x", "timestamp": "yesterday"}', "cannot be read"),
    ],
)
def test_what_trivy_refuses_is_refused(text: str, said: str) -> None:
    """A document that does nothing would be believed to do something."""
    with pytest.raises(SettingsError) as caught:
        parse({"SLUICE_VEX_DOCUMENTS": json.dumps({"my.json": text})})
    assert "'my.json'" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("source", ["repo", "oci", "sbom-ref"])
def test_sources_that_are_no_files_are_refused(source: str) -> None:
    """They would be asked for every image, by workers that may reach nobody."""
    with pytest.raises(SettingsError, match="TRIVY_VEX"):
        load({"TRIVY_VEX": source})
