"""Package URLs: what two spellings have in common, and what one says of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.purl import parse_purl


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pkg:deb/debian/zlib1g@1%3A1.2", "PKG:DEB/Debian/ZLIB1G@1:1.2"),
        ("pkg:pypi/some-thing@1", "pkg:pypi/Some_Thing@1"),
        ("pkg:npm/%40babel/core@7", "pkg:npm/@babel/core@7"),
        ("pkg:golang/github.com/x/y@v1", "pkg://golang/github.com/X//Y@v1"),
        ("pkg:apk/alpine/musl@1?arch=x&distro=3", "pkg:apk/alpine/musl@1?DISTRO=3&arch=x&empty="),
    ],
)
def test_two_spellings_of_one_package_are_one(one: str, other: str) -> None:
    """A user writes what Trivy printed, or what a web page says."""
    assert parse_purl(one) is not None
    assert parse_purl(one) == parse_purl(other)


@pytest.mark.parametrize(
    ("constraint", "covered"),
    [
        ("pkg:npm/lodash", True),
        ("pkg:npm/lodash@4.17.11", True),
        ("pkg:npm/lodash@4.17.12", False),
        ("pkg:npm/lodash@4.17.11?vcs=git", True),
        ("pkg:npm/lodash?vcs=svn", False),
        ("pkg:npm/lodash?arch=x", False),
        ("pkg:npm/Lodash", False),
        ("pkg:npm/a/lodash", False),
        ("pkg:pypi/lodash", False),
        ("pkg:npm/lodash#lib", True),
        ("pkg:npm/lodash#src", False),
    ],
)
def test_what_is_not_said_covers_everything(constraint: str, *, covered: bool) -> None:
    """All that is said must hold."""
    target = parse_purl("pkg:npm/lodash@4.17.11?vcs=git&repo=a#lib")
    known = parse_purl(constraint)
    assert known is not None
    assert target is not None
    assert known.covers(target) == covered


@pytest.mark.parametrize(
    "text",
    ["", "npm/lodash", "pkg:", "pkg:npm", "pkg:npm/", "pkg:npm/@4.17", "pkg:deb/@x/y", "pkg:1x/y",
     "pkg:npm/a%zz", "pkg:npm/a?b;c=d", "pkg:npm/a?1=2"],
)  # fmt: skip
def test_what_is_no_package_url_is_none(text: str) -> None:
    """Whoever wrote it must hear of it."""
    assert parse_purl(text) is None


@given(st.text(max_size=40) | st.text(alphabet="pkg:/@?&=#%a1", max_size=30).map("pkg:".__add__))
def test_any_text_is_read(text: str) -> None:
    """Total, and a package covers itself."""
    found = parse_purl(text)
    assert found is None or found.covers(found)
