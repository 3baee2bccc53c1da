"""Keys that become due: once each, the earliest first."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from sandbox.duequeue import DueQueue
from tests.waiting import PATIENCE_S

LONG_S = 3600.0


@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_a_key_comes_once_however_often_it_was_added(keys: list[str]) -> None:
    """A Pod with ten events is looked at once, as it is now."""
    queue = DueQueue()
    for key in keys:
        queue.add(key)
    wanted = set(keys)
    assert {queue.next() for _ in wanted} == wanted
    queue.close()
    assert queue.next() is None


def test_a_key_that_is_due_does_not_wait_for_one_that_is_not() -> None:
    """A failed pull must not hold up the Pods behind it."""
    queue = DueQueue()
    queue.add("later", delay_s=LONG_S)
    queue.add("now")
    assert queue.next() == "now"


def test_an_event_brings_a_waiting_key_forward() -> None:
    """The Pod changed: its retry need not be awaited."""
    queue = DueQueue()
    queue.add("key", delay_s=LONG_S)
    queue.add("key")
    assert queue.next() == "key"


def test_a_later_retry_does_not_push_a_key_back() -> None:
    """Else a Pod that fails often would starve."""
    queue = DueQueue()
    queue.add("key")
    queue.add("key", delay_s=LONG_S)
    assert queue.next() == "key"


def test_a_waiting_taker_gets_what_comes_and_ends_on_close() -> None:
    """The worker blocks without polling, and `stop` must not hang on it."""
    queue = DueQueue()
    queue.add("later", delay_s=LONG_S)
    taken: list[str | None] = []

    def take() -> None:
        taken.extend((queue.next(), queue.next()))

    taker = threading.Thread(target=take)
    taker.start()
    queue.add("now")
    queue.close()
    taker.join(PATIENCE_S)
    assert not taker.is_alive()
    assert taken[-1] is None
