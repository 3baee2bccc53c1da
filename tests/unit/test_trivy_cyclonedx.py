"""The SBOM that reports carry follows from the image alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.model.canonical import canonical_json
from worker.evidence.image.cyclonedx import reduce_bom

GOLDEN = Path(__file__).parents[1] / "golden/trivy"
Bom = dict[str, Any]


def raw(name: str) -> Bom:
    """Return a recorded document."""
    document: Bom = json.loads((GOLDEN / f"bom_{name}.json").read_bytes())
    return document


def reduced(document: Bom) -> Bom:
    """Return the document as reports carry it."""
    return reduce_bom(document, scanner_version="0.76.0")


def test_two_renderings_of_one_report_are_one_document() -> None:
    """Trivy draws new identifiers and sorts by them; a report must not be rewritten for that."""
    first, second = raw("app_a"), raw("app_b")
    assert first["serialNumber"] != second["serialNumber"]
    assert first["components"] != second["components"]
    assert canonical_json(reduced(first)) == canonical_json(reduced(second))


@given(st.randoms())
def test_the_order_of_a_document_does_not_show(random: Any) -> None:
    """Whatever Trivy sorts by in its next version."""
    document = raw("app_a")
    random.shuffle(document["components"])
    random.shuffle(document["dependencies"])
    for edge in document["dependencies"]:
        random.shuffle(edge["dependsOn"])
    assert reduced(document) == reduced(raw("app_a"))


def test_every_edge_of_the_graph_survives() -> None:
    """Renaming must neither lose nor invent a dependency."""
    before, after = raw("app_a"), reduced(raw("app_a"))
    assert len(after["components"]) == len(before["components"]) == 17
    known = {one["bom-ref"] for one in after["components"]}
    known.add(after["metadata"]["component"]["bom-ref"])
    assert len(known) == 18
    edges = [(row["ref"], to) for row in after["dependencies"] for to in row["dependsOn"]]
    assert len(edges) == sum(len(row["dependsOn"]) for row in before["dependencies"])
    assert {ref for edge in edges for ref in edge} <= known


def test_another_package_is_another_document() -> None:
    """The serial number follows from the content, so it must move with it."""
    document = raw("app_a")
    document["components"][3]["version"] = "0.0.1"
    assert reduced(document)["serialNumber"] != reduced(raw("app_a"))["serialNumber"]


def test_components_that_look_alike_are_told_apart_by_their_neighbours() -> None:
    """Two applications of one kind differ in what they depend on only."""

    def document(first: str, second: str) -> Bom:
        twin = {"type": "application", "name": "", "properties": []}
        return {
            "metadata": {"component": {"bom-ref": "root", "type": "container", "name": "x"}},
            "components": [
                {"bom-ref": first, **twin},
                {"bom-ref": second, **twin},
                {"bom-ref": "pkg:npm/a@1", "type": "library", "name": "a"},
                {"bom-ref": "pkg:npm/b@1", "type": "library", "name": "b"},
            ],
            "dependencies": [
                {"ref": "root", "dependsOn": [first, second]},
                {"ref": first, "dependsOn": ["pkg:npm/a@1"]},
                {"ref": second, "dependsOn": ["pkg:npm/b@1"]},
            ],
        }

    low, high = "0" * 8 + "-0000-0000-0000-" + "0" * 12, "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12
    assert reduced(document(low, high)) == reduced(document(high, low))
    assert len({one["bom-ref"] for one in reduced(document(low, high))["components"]}) == 4


def test_true_twins_keep_two_identifiers() -> None:
    """Components must not melt into one when nothing tells them apart."""
    refs = ["0" * 8 + "-0000-0000-0000-" + "0" * 12, "1" * 8 + "-0000-0000-0000-" + "0" * 12]
    document = {"components": [{"bom-ref": ref, "type": "library", "name": "a"} for ref in refs]}
    assert len({one["bom-ref"] for one in reduced(document)["components"]}) == 2


def test_labels_times_and_pulled_names_are_left_out() -> None:
    """Labels are the tenant's; the others differ by when and by whom the image was scanned."""
    text = json.dumps(reduced(raw("environment_a")))
    assert "planted-in-label" in json.dumps(raw("environment_a"))
    for word in ("planted-in-label", "Labels", "timestamp", "trivy:Reference", "trivy:RepoDigest"):
        assert word not in text


def test_a_component_keeps_what_reports_show() -> None:
    """The fields of compatible SbomReports, in their spelling."""
    found = {one["name"]: one for one in reduced(raw("app_a"))["components"]}
    busybox = found["busybox-binsh"]
    assert busybox["purl"].startswith("pkg:apk/alpine/busybox-binsh@")
    assert busybox["supplier"] == {"name": "Maintainer <m@example.invalid>"}
    assert busybox["licenses"] == [{"license": {"id": "GPL-2.0-only"}}]
    assert busybox["hashes"][0]["alg"] == "SHA-1"
    names = [one["name"] for one in busybox["properties"]]
    assert names == sorted(names)
    assert "aquasecurity:trivy:SrcName" in names


def test_the_tool_is_named_with_its_version() -> None:
    """Readers tell documents of different scanners apart by it."""
    (tool,) = reduced(raw("app_a"))["metadata"]["tools"]["components"]
    assert tool == {
        "type": "application",
        "group": "aquasecurity",
        "name": "trivy",
        "version": "0.76.0",
    }


def test_license_expressions_are_kept() -> None:
    """CycloneDX has two forms; a package has one of them."""
    component = {"bom-ref": "pkg:a", "licenses": [{"expression": "MIT OR Apache-2.0"}]}
    (found,) = reduced({"components": [component]})["components"]
    assert found["licenses"] == [{"expression": "MIT OR Apache-2.0"}]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["components", "metadata", "component", "bom-ref", "dependencies"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_an_odd_document_is_reduced_all_the_same(document: Bom) -> None:
    """It comes from an image that somebody else built: nothing about it is certain."""
    assert reduced(document) == reduced(document)
