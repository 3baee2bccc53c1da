"""When a reader rests: after something it waited for, and never so long that a server has to."""

from __future__ import annotations

from watcher.stream.pace import LONGEST_S, REST_S, Pace

EVENT_BYTES = 10_000
BUFFERED_BYTES = 256 * 1024


def test_after_an_event_that_was_waited_for_others_gather() -> None:
    """Waking two threads costs several times what an event costs."""
    assert Pace().after(EVENT_BYTES, waited_s=0.3) == REST_S


def test_what_is_there_already_is_read_on() -> None:
    """A burst is taken as a whole."""
    pace = Pace()
    pace.after(EVENT_BYTES, waited_s=0.3)
    assert [pace.after(EVENT_BYTES, waited_s=0.00005) for _ in range(20)] == [0.0] * 20


def test_a_stream_that_fills_the_buffers_is_rested_on_for_a_shorter_time() -> None:
    """The server must not wait for us: it drops watchers that are slow."""
    pace, rests = Pace(), []
    bytes_a_second = 4 * BUFFERED_BYTES / REST_S
    rest_s = pace.after(EVENT_BYTES, waited_s=0.01)
    for _ in range(20):
        for _ in range(int(rest_s * bytes_a_second / EVENT_BYTES)):
            pace.after(EVENT_BYTES, waited_s=0.0)
        rest_s = pace.after(EVENT_BYTES, waited_s=0.01)
        rests.append(rest_s)
    assert REST_S / 6 < rests[-1] < REST_S / 3
    assert rests[-1] * bytes_a_second <= BUFFERED_BYTES * 1.1


def test_rests_grow_where_events_never_end() -> None:
    """A large cluster's status changes: each rest saves two wake-ups."""
    pace, rests = Pace(), [Pace().after(EVENT_BYTES, waited_s=0.3)]
    for _ in range(20):
        pace.after(EVENT_BYTES, waited_s=0.0)
        rests.append(pace.after(EVENT_BYTES, waited_s=0.01))
    assert rests == sorted(rests)
    assert rests[0] == REST_S
    assert rests[-1] == LONGEST_S


def test_a_quiet_moment_makes_rests_short_again() -> None:
    """The next burst is somebody's rollout, who waits for its report."""
    pace = Pace()
    for _ in range(20):
        pace.after(EVENT_BYTES, waited_s=0.0)
        pace.after(EVENT_BYTES, waited_s=0.01)
    assert pace.after(EVENT_BYTES, waited_s=3.0) == REST_S


def test_a_flood_leaves_a_rest_that_ends_at_once_and_grows_again() -> None:
    """One re-list of another client's making is not for ever."""
    pace = Pace()
    pace.after(10**9, waited_s=0.3)
    assert pace.after(EVENT_BYTES, waited_s=0.3) < REST_S / 10
    rests = [pace.after(EVENT_BYTES, waited_s=0.3) for _ in range(3)]
    assert rests[-1] == REST_S
