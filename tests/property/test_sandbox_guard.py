"""What the guard remembers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.guard import registered

OPERATIONS = st.lists(st.tuples(st.booleans(), st.integers(2, 9)))


@given(OPERATIONS)
def test_the_guard_kills_exactly_what_was_registered_and_not_forgotten(
    operations: list[tuple[bool, int]],
) -> None:
    """A group it forgot may bear a stranger's number by now; one it lost would live for ever."""
    journal = b"".join(b"%s%d\n" % (b"+" if on else b"-", group) for on, group in operations)
    alive: set[int] = set()
    for on, group in operations:
        (alive.add if on else alive.discard)(group)
    assert set(registered(journal)) == alive


@given(st.lists(st.integers(2, 99), unique=True))
def test_the_guard_keeps_the_order_of_registration(groups: list[int]) -> None:
    """It kills in reverse, so that an API server does not outlive its etcd."""
    assert registered(b"".join(b"+%d\n" % group for group in groups)) == groups
