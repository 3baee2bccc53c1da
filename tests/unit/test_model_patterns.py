"""Namespace patterns match as Go's filepath.Match does; most cases are Go's own."""

from __future__ import annotations

import pytest

from common.model.patterns import is_glob, is_malformed, matches


# Source of the table: Go's path/filepath/match_test.go, without the cases about separators.
@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*", "ab/c", False),
        ("a*b*c*d*e*", "axbxcxdxe", True),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^b-d]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "\N{GREEK SMALL LETTER ALPHA}", True),
        ("*[a-ζ]", "A", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "x", True),
        ("[x\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[\\-x]", "x", True),
        ("[\\-x]", "-", True),
        ("[\\-x]", "a", False),
        ("*x", "xxx", True),
        ("team-[!a]", "team-!", True),  # only the caret negates
        ("[b-a]", "a", False),  # a range that runs backwards holds nothing
        ("[^b-a]", "a", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_patterns_match_as_gos_do(pattern: str, text: str, *, expected: bool) -> None:
    """A user moves over with the patterns of trivy-operator's setting."""
    assert matches(pattern, text) is expected
    assert not is_malformed(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[a-", "[a\\"],
)
def test_a_malformed_pattern_matches_nothing(pattern: str) -> None:
    """trivy-operator includes a namespace when the pattern is malformed."""
    assert is_malformed(pattern)
    assert not matches(pattern, "a")
    assert not matches(pattern, pattern)


@pytest.mark.parametrize("text", ["kube-*", "ns?", "[ab]", "a\\b"])
def test_a_pattern_that_may_match_other_texts_is_a_glob(text: str) -> None:
    """Everything else can be filtered by the API server."""
    assert is_glob(text)
    assert not is_glob("kube-system")
