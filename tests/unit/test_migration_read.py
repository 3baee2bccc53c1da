"""How a values file is read that somebody else wrote."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.migration import read
from common.migration.read import read_values
from common.model.errors import PreconditionError
from tests.migration_values import CANARY


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"null\n", b"{}", b"---\n"])
def test_a_file_without_values_has_none(content: bytes) -> None:
    """`helm get values` prints null where the chart was installed as it is."""
    assert read_values(content) == {}


def test_anchors_and_merges_are_read() -> None:
    """People write shared tolerations once."""
    text = b"a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n"
    assert read_values(text) == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}}


def test_what_looks_like_a_date_stays_a_text() -> None:
    """Helm reads it so."""
    assert read_values(b"a: 2026-11-26\n") == {"a": "2026-11-26"}


def bomb(levels: int) -> bytes:
    """Return a few lines that are ten to the power of `levels` values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def merging(levels: int) -> bytes:
    """Return the same by merge keys."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bomb(12), "more than 20000 values"),
        (merging(12), "more than 20000 values"),
        (b"[" + b"a," * 500_000 + b"a]", "more than 20000 values"),
        (b"a: &a [*a]", "in itself"),
        (b"a: &a {b: *a}", "in itself"),
        (b"[" * 60 + b"]" * 60, "deep"),
        (b"[" * 100_000, "YAML"),
        (b"a: 1\nb: 2\na: 3\n", "line 3 has a key for the second time"),
        (b"{a: {b: 1, b: 2}}", "line 1 has a key for the second time"),
        (b"? [a]\n: 1\n", "a list or a map as a key"),
        (b"a: [\n", "line 2 is no YAML"),
        (b"- a\n", "no map"),
        (b"text", "no map"),
        (b"a: !!python/object/apply:os.system [ls]\n", "line 1 is no YAML"),
        (b"a: !mine x\n", "line 1 is no YAML"),
        (b"a: 1\n---\nb: 2\n", "line 2 is no YAML"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: \x00\n", "no YAML"),
        (b"a: *b\n", "line 1 is no YAML"),
        (b"#" * (read.SIZE_LIMIT_BYTES + 1), "larger than"),
    ],
    ids=range(20),
)
def test_what_is_no_values_file_is_refused_with_a_reason(content: bytes, said: str) -> None:
    """Each of these would hang, fill the memory, or mean two things."""
    with pytest.raises(PreconditionError, match=said):
        read_values(content)


def test_a_file_of_commas_is_given_up_before_it_fills_the_memory() -> None:
    """Each of its values costs PyYAML 600 bytes before anybody can count them."""
    tracemalloc.start()
    try:
        with pytest.raises(PreconditionError, match="more than"):
            read_values(b"[" + b"a," * 500_000 + b"a]")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 50_000_000


def test_a_refusal_quotes_nothing() -> None:
    """The line that does not parse may be the one with the password."""
    with pytest.raises(PreconditionError) as caught:
        read_values(f"trivy:\n  githubToken: {CANARY}\n {CANARY}: [\n".encode())
    assert CANARY not in str(caught.value)


@given(
    st.binary(max_size=60) | st.text(alphabet="a:-[]{}&*!|>'\" \n#?<", max_size=30).map(str.encode)
)
def test_whatever_is_in_the_file_is_read_or_refused(content: bytes) -> None:
    """A reader of foreign files has one kind of fault."""
    with contextlib.suppress(PreconditionError):
        read_values(content)
