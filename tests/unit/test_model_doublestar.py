"""Path patterns of ignore files: those of the Go library, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.doublestar import is_valid, matches

# Of the library's own table (bmatcuk/doublestar v4, doublestar_test.go); all 166 were compared.
TABLE = """
a/* | a/ | yes
a* | a | yes
a* | abc/b | no
a*/b | abc/b | yes
a*/b | a/c/b | no
a*b*c*d*e*/f | axbxcxdxexxx/f | yes
a*b*c*d*e*/f | axbxcxdxe/xxx/f | no
a*b?c*x | abxbbxdbxebxczzx | yes
a[!a]b | a☺b | yes
a[!a][!a][!a]b | a☺b | no
a???b | a☺b | no
[a-ζ]* | δ | yes
*[a-ζ] | A | no
a?b | a/b | no
a[\\-]b | a-b | yes
[\\]a] | ] | yes
[x\\-] | - | yes
[x\\-] | z | no
[-] | - | yes
*x | xxx | yes
**/c | c | yes
**/c | b/c | yes
**/c | a/b/c | yes
**/c | abcd | no
a/**/b | a/b | yes
a/**/c | a/b/c | yes
a/**/d | a/b/c/d | yes
a/\\** | a/b/c | no
a/\\[*\\] | a/bc | no
a/**/* | a | no
a/** | a | yes
a/** | a/ | yes
a/** | a/b/c | yes
a/**/ | a | yes
a/**/ | a/b | no
a/**/ | a/b/ | yes
**/*c | abc | yes
a/**b | a/xb | yes
a/**b | a/x/b | no
ab{c,d} | abc | yes
ab{c,d,*} | abcde | yes
ab{c,d}[ | abcd | no
a{,bc} | a | yes
a{,bc} | abcbc | no
a/{b/c,c/b} | a/b/c | yes
a/{b,c} | a/c | yes
a*{b,c}* | axbxb | yes
{**/*,b} | a/b | yes
a{b,{c,d}}e | ade | yes
*.{jpg,png} | x.png | yes
"""
CASES = [
    tuple(part.strip() for part in line.split(" | ")) for line in TABLE.splitlines() if line.strip()
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASES)
def test_a_pattern_matches_what_the_library_matches(pattern: str, path: str, expected: str) -> None:
    """A pattern that hides more than Trivy does hides a vulnerability from its owner."""
    assert matches(pattern.replace("\\\\", "\\"), path) == (expected == "yes")


@pytest.mark.parametrize(
    "pattern", ["[]a]", "\\", "[", "[^", "[^bc", "a[", "e/[", "ab{c,d}[", "a}", "{a"]
)
def test_a_malformed_pattern_is_none_and_matches_nothing(pattern: str) -> None:
    """Trivy refuses the file; so do the settings."""
    assert not is_valid(pattern)
    assert not matches(pattern, pattern)


def test_a_pattern_of_a_million_alternatives_is_refused() -> None:
    """It would hold up a worker for minutes."""
    assert not is_valid("{a,b}" * 20)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("**/a/" * 8 + "z", "a/" * 3000 + "y"),
        ("*a" * 12 + "z", "a" * 4000),
        ("**/*a*a*a/" * 3 + "z", "aaaa/" * 2000),
    ],
)
def test_a_hostile_path_costs_no_more_than_its_length(pattern: str, path: str) -> None:
    """Trying every place for every sign would take a worker years, and this test with it."""
    assert not matches(pattern, path)
    assert matches(pattern, path[:-1] + "a/z" if "**" in pattern else path + "z")


@given(st.text(alphabet="ab/*?[]{}!^-,\\", max_size=12), st.text(alphabet="ab/-]", max_size=8))
def test_any_pattern_meets_any_path(pattern: str, path: str) -> None:
    """Total; what is no pattern matches nothing."""
    assert matches(pattern, path) <= is_valid(pattern)


@given(st.text(alphabet="ab/.", max_size=12))
def test_a_path_without_signs_matches_itself(path: str) -> None:
    """And nothing that is longer."""
    assert matches(path, path)
    assert not matches(path, f"{path}a")
