"""An SBOM comes back from its stored form as it was, whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.state.images import pack, unpack_record
from common.state.stored_bom import numbered, spelled
from tests.evidence import inventory, packages

refs = st.sampled_from(["pkg:a", "pkg:b", "pkg:c", "other", ""])
anything = st.one_of(st.none(), st.integers(), refs, st.lists(refs), st.dictionaries(refs, refs))
components = st.lists(
    st.one_of(st.fixed_dictionaries({"bom-ref": refs}), st.just({}), st.just({"bom-ref": 1}))
)
entries = st.one_of(
    st.fixed_dictionaries({"ref": refs, "dependsOn": st.lists(refs)}),
    st.fixed_dictionaries({"ref": anything, "dependsOn": anything}),
    st.fixed_dictionaries({"ref": refs}),
    st.none(),
    refs,
    st.lists(refs),
)


@given(st.fixed_dictionaries({"components": components, "dependencies": st.lists(entries)}))
@example({"components": [], "dependencies": [{"ref": "pkg:a", "dependsOn": "pkg:a"}]})
@example({"components": [], "dependencies": [["pkg:a", "pkg:b"], []]})
def test_a_document_survives_its_stored_form(bom: dict[str, object]) -> None:
    """Duplicates, strangers and entries of another shape too."""
    assert spelled(numbered(bom)) == bom


@given(st.dictionaries(st.sampled_from(["components", "dependencies", "x"]), anything))
def test_what_is_no_document_is_left_alone(bom: dict[str, object]) -> None:
    """A dependency list of another version of CycloneDX must not break a scan."""
    assert numbered(bom) == bom


def test_the_form_of_an_older_version_is_read() -> None:
    """Records live as long as their images do."""
    bom = inventory(packages(20)).sbom
    assert bom is not None
    assert spelled(bom) == bom


def test_a_number_of_nothing_is_an_unreadable_record() -> None:
    """By hand, or half written: the image is analysed again, and nobody stops."""
    known = inventory(packages(20))
    assert known.sbom is not None
    broken = {**numbered(known.sbom), "components": []}
    with pytest.raises(ValueError, match="names number"):
        spelled(broken)


def test_a_whole_record_survives() -> None:
    """As everyday images have them."""
    known = inventory(packages(200))
    assert unpack_record(pack(known), b"", b"").inventory == known
