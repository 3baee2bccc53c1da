"""The YAML that `sluice crds` prints, read back by a YAML library."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from common.cli.terminal import printable
from common.reports.plain_yaml import to_documents, to_text


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two words",
        "true",
        "No",
        "null",
        "y",
        "12",
        "1.5",
        "1e3",
        "",
        " led",
        "trailed ",
        "a: b",
        "a #b",
        "- a",
        "[a]",
        "{a}",
        "'a'",
        '"a"',
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "a\nb",
        "a\nb\n",
        "a\nb\n\n",
        "\na\nb",
        " a\nb",
        "a\n b",
        "a \nb",
        "a\n\tb",
        "a\n\n# b: c\n---\n",
        "a\u200bb",
        "a\u2028b\nc",
        "\x7f",
        "\U000e0001",
        "tab\there",
        "^\\s*$",
        "é",
        ".metadata.name",
        "=",
        "~",
        "2026-11-25",
        "ends with -",
    ],
)
def test_a_string_comes_back_as_it_was(text: str) -> None:
    """A pattern or a sentence that YAML reads otherwise would be another definition."""
    assert yaml.safe_load(to_documents([{"key": text, "list": [text]}])) == {
        "key": text,
        "list": [text],
    }


@given(st.text() | st.text(alphabet='ab \n\t:#-|"\\'))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    """People's own policies are written out, in whatever they wrote them."""
    document = to_documents([{"key": text, "list": [text]}])
    assert yaml.safe_load(document) == {"key": text, "list": [text]}
    assert printable(document) == document


def test_a_page_of_text_is_written_as_lines() -> None:
    """Nobody reviews a policy that stands on one line with backslashes."""
    assert to_text({"key": "a\n\n  b\n"}, indent=2) == "  key: |\n    a\n\n      b\n"


def test_nested_lists_and_maps_come_back_as_they_were() -> None:
    """Definitions nest maps in lists in maps."""
    value = {"a": [{"b": 1, "c": [True, False]}, {"d": []}, [["e"], {}]], "f": {}, "g": {"h": -1}}
    assert yaml.safe_load(to_documents([value])) == value


def test_each_value_opens_a_document() -> None:
    """The client applies a stream document by document."""
    assert list(yaml.safe_load_all(to_documents([{"a": 1}, {"b": 2}]))) == [{"a": 1}, {"b": 2}]


def test_a_key_that_looks_like_a_value_is_quoted() -> None:
    """YAML 1.1 reads a bare `on` as true."""
    assert yaml.safe_load(to_documents([{"on": 1, "1": 2}])) == {"on": 1, "1": 2}


def test_what_it_does_not_cover_is_an_error() -> None:
    """Nothing may be printed that reads back as something else."""
    with pytest.raises(TypeError, match="float"):
        to_documents([{"a": 1.5}])
