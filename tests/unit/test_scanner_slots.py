"""Jobs wait their turn: fair, bounded, and alone when they ask for it."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from worker.scanner.slots import Slots


def never() -> bool:
    """Wait for ever."""
    return False


def test_no_more_jobs_run_than_there_are_slots() -> None:
    """Memory is planned per slot."""
    slots = Slots(2)
    with ExitStack() as stack:
        assert stack.enter_context(slots.take(alone=False, give_up=never))
        assert stack.enter_context(slots.take(alone=False, give_up=never))
        with slots.take(alone=False, give_up=lambda: True) as ready:
            assert not ready
    with slots.take(alone=False, give_up=lambda: True) as ready:
        assert ready


def test_a_job_that_wants_to_be_alone_waits_for_all_slots() -> None:
    """It ran out of memory beside another one."""
    slots = Slots(2)
    with (
        slots.take(alone=False, give_up=never),
        slots.take(alone=True, give_up=lambda: True) as ready,
    ):
        assert not ready
    with (
        slots.take(alone=True, give_up=never) as alone,
        slots.take(alone=False, give_up=lambda: True) as beside,
    ):
        assert alone
        assert not beside


def test_a_slot_is_free_again_after_a_failure() -> None:
    """A leak of slots would stop the scanner for good."""
    slots = Slots(1)
    with pytest.raises(RuntimeError), slots.take(alone=False, give_up=never):
        raise RuntimeError
    with slots.take(alone=False, give_up=lambda: True) as ready:
        assert ready


def test_a_job_that_wants_to_be_alone_is_not_overtaken() -> None:
    """On a busy scanner all slots are never free at once by chance."""
    slots = Slots(2)
    order: list[str] = []
    waiting = threading.Event()

    def run(name: str, *, alone: bool) -> None:
        def give_up() -> bool:
            waiting.set()
            return False

        with slots.take(alone=alone, give_up=give_up):
            order.append(name)

    with slots.take(alone=False, give_up=never):
        big = threading.Thread(target=run, args=("big",), kwargs={"alone": True})
        big.start()
        assert waiting.wait(10)
        small = threading.Thread(target=run, args=("small",), kwargs={"alone": False})
        small.start()
        small.join(0.05)
        assert order == []
    big.join(10)
    small.join(10)
    assert order == ["big", "small"]
