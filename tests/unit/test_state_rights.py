"""Which rights are missing, told from which calls Redis would refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.state.names import Names
from common.state.rights import COMMANDS, KEYS, Question, acl_line, lacking, questions

ASKED = questions(Names("c1"))
WITH_KEY = sorted({one.command for one in ASKED if one.keys})


def missing(refuses: Callable[[Question], bool]) -> tuple[str, ...]:
    """Return what is missing for a user of whom Redis refuses such calls."""
    return lacking(ASKED, [not refuses(one) for one in ASKED])


def test_every_command_is_asked_for_on_every_kind_of_key_it_touches() -> None:
    """A rule may grant one kind and not the other."""
    assert {one.command for one in ASKED} == COMMANDS.keys()
    for command in WITH_KEY:
        assert {one.keys for one in ASKED if one.command == command} == set(KEYS)
    assert all("{key}" not in word for one in ASKED for word in one.words)
    assert {one.words[0] for one in ASKED} >= {"client", "script", "hset"}


def test_a_user_who_may_do_all_lacks_nothing() -> None:
    """The doctor's silence must mean something."""
    assert missing(lambda _: False) == ()


def test_a_user_who_may_do_nothing_lacks_the_keyless_commands_and_the_keys() -> None:
    """Whether the others are granted too shows once the keys are."""
    keyless = tuple(f"+{one}" for one in sorted(COMMANDS.keys() - set(WITH_KEY)))
    assert missing(lambda _: True) == (*keyless, *sorted(KEYS))


@given(st.sets(st.sampled_from(sorted(COMMANDS)), max_size=5), st.sampled_from(["", *KEYS]))
def test_exactly_what_is_not_granted_is_missing(commands: set[str], keys: str) -> None:
    """Property: any few commands, and one kind of key or none."""
    found = missing(lambda one: one.command in commands or (bool(keys) and one.keys == keys))
    assert set(found) == {f"+{command}" for command in commands} | ({keys} if keys else set())


@pytest.mark.parametrize("word", ["@all", "config", "flushall", "keys", "eval ", "acl|"])
def test_the_rule_grants_nothing_that_reaches_beyond_the_product(word: str) -> None:
    """What the server's other users would not forgive."""
    assert f"+{word}" not in acl_line()
