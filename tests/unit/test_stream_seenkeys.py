"""Keys that a reading has seen: all of them, none other, in little room."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from watcher.stream.seenkeys import SeenKeys

names = st.text(max_size=3)


@given(noted=st.lists(names), asked=st.sets(names), later=st.lists(names))
def test_it_holds_what_was_noted_and_nothing_else(
    noted: list[str], asked: set[str], later: list[str]
) -> None:
    """Asked in the middle, too: a list comes in pages, and nobody says in which order."""
    keys = SeenKeys(noted)
    assert {key for key in asked if key in keys} == asked & set(noted)
    for key in later:
        keys.add(key)
    assert {key for key in (*asked, *later) if key in keys} == (asked & set(noted)) | set(later)
    assert keys == SeenKeys({*noted, *later})
    assert (keys == SeenKeys(asked)) == ({*noted, *later} == asked)


def test_a_key_takes_eight_bytes() -> None:
    """That is what it is for: a set of such strings takes 130 each."""
    keys = SeenKeys(f"namespace-{number % 100}/pod-{number}" for number in range(50_000))
    assert "namespace-7/pod-107" in keys
    assert sys.getsizeof(keys._hashes) < 10 * 50_000
