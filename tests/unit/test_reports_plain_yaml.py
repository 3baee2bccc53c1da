"""The YAML that `sluice crds` prints, read back by a YAML library."""

from __future__ import annotations

import pytest
import yaml

from common.reports.plain_yaml import to_documents


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
