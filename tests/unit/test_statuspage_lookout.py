"""The look behind the status page: who waits for whom, when it is taken, what a failure leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.overview.roster import Roster
from common.overview.view import Overview
from tests.overviews import overview
from tests.waiting import eventually
from watcher.status import lookout as module
from watcher.status.answer import Seen
from watcher.status.lookout import Lookout


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


class Redis:
    """Tables that answer, fail, or hang until they are let go."""

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None
        self.takes: Callable[[], None] = lambda: None
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> Overview:
        """Read; the number of the read stands in the epoch."""
        self.answers.wait()
        self.takes()
        self.reads += 1
        if self.error is not None:
            raise self.error
        return overview(document={"epoch": self.reads}, roster=Roster([]))


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """Give tables; let them go at the end, so that the thread can end."""
    made = Redis()
    yield made
    made.answers.set()


@pytest.fixture
def lookout(redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookout]:
    """Give a lookout that looks all the time while it is watched."""
    monkeypatch.setattr(module, "_EVERY_S", 0.001)
    with Lookout(redis, monotonic=clock) as made:
        yield made


def epoch(found: Overview | None) -> int:
    """Return which read an overview is of."""
    return int(found.document["epoch"]) if found else 0


def rests(redis: Redis) -> Callable[[], bool]:
    """Return what says that no read happened since it was asked last."""
    before = [-1]

    def unchanged() -> bool:
        before.append(redis.reads)
        return before[-1] == before[-2] == before[-3]

    before.append(-2)
    return unchanged


def test_the_first_page_shows_what_is_true_now(lookout: Lookout) -> None:
    """Nobody wants to reload a page that says `nothing is known yet`."""
    found = lookout.look()
    assert epoch(found.overview) >= 1
    assert found.age_s == 0.0


def test_nothing_is_read_before_somebody_looks(lookout: Lookout, redis: Redis) -> None:
    """Thousands of watchers run that nobody ever looks at."""
    assert lookout is not None
    assert redis.reads == 0


def test_the_look_is_renewed_while_somebody_watches(lookout: Lookout, redis: Redis) -> None:
    """A page that is reloaded shows new numbers without waiting for them."""
    lookout.look()
    assert eventually(lambda: redis.reads > 3)
    assert epoch(lookout.look().overview) > 1


def test_reading_ends_a_minute_after_the_last_page(
    lookout: Lookout, redis: Redis, clock: Clock
) -> None:
    """A closed tab costs nothing."""
    lookout.look()
    clock.now_s += 61
    assert eventually(rests(redis))


def test_the_first_page_after_a_quiet_hour_is_not_an_hour_old(
    lookout: Lookout, redis: Redis, clock: Clock
) -> None:
    """Else every first page would lie, and nobody reloads a page that looks whole."""
    lookout.look()
    clock.now_s += 3_600
    assert eventually(rests(redis))
    assert lookout.look().age_s == 0.0


def test_a_page_never_waits_for_a_redis_that_hangs(
    lookout: Lookout, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page matters most when Redis is in trouble: it shows the last look at once."""
    monkeypatch.setattr(module, "_PATIENCE_S", 3_600.0)
    lookout.look()
    redis.answers.clear()
    clock.now_s += 30
    seen: list[Seen] = []
    threading.Thread(target=lambda: seen.append(lookout.look()), daemon=True).start()
    assert eventually(lambda: seen, within_s=10.0)
    assert seen[0].overview is not None
    assert seen[0].unread is None


def test_a_first_page_gives_up_on_a_redis_that_hangs(
    lookout: Lookout, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page with a reason beats a browser that spins."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    redis.answers.clear()
    found = lookout.look()
    assert found.overview is None
    assert found.unread is None


def test_a_failure_keeps_the_last_look_and_is_forgotten_when_it_ends(
    lookout: Lookout, redis: Redis
) -> None:
    """Redis restarts; the page tells it and recovers by itself."""
    lookout.look()
    redis.error = SourceUnavailableError("refused")
    assert eventually(lambda: lookout.look().unread)
    found = lookout.look()
    assert found.overview is not None
    assert found.unread is not None
    assert (found.unread.away, found.unread.message) == (True, "refused")
    redis.error = None
    assert eventually(lambda: lookout.look().unread is None)


def test_a_redis_that_is_back_is_seen_at_once(lookout: Lookout, redis: Redis, clock: Clock) -> None:
    """A read that ran into its deadline took seconds; every page says `away` until the next one."""
    redis.takes = lambda: setattr(clock, "now_s", clock.now_s + 15)
    redis.error = SourceUnavailableError("timed out")
    assert eventually(lambda: lookout.look().unread)
    redis.takes, redis.error = lambda: None, None
    assert eventually(lambda: lookout.look().unread is None, within_s=10.0)


@pytest.mark.parametrize(
    "error",
    [
        PreconditionError("check the password"),
        SourceUnavailableError("check the password", reason="RedisRefused"),
    ],
)
def test_a_refused_password_is_no_outage(
    lookout: Lookout, redis: Redis, error: SluiceError
) -> None:
    """Redis is there: `away` would send its reader to the wrong place."""
    redis.error = error
    found = lookout.look()
    assert found.unread is not None
    assert (found.unread.away, found.unread.message) == (False, "check the password")


def test_a_row_that_nobody_can_read_ends_no_thread_and_floods_no_log(
    lookout: Lookout, redis: Redis
) -> None:
    """A newer worker beside an older watcher writes facts that this one does not know."""
    redis.error = ValueError("unknown fact kind 'teleported'")
    with capture_logs() as logs:
        found = lookout.look()
        assert eventually(lambda: redis.reads > 5)
    assert found.unread is not None
    assert "teleported" not in found.unread.message
    assert len(logs) == 1
    redis.error = None
    assert eventually(lambda: lookout.look().overview is not None)


def test_a_slow_look_is_taken_less_often(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At tens of thousands of workloads the page must not take the watcher's core."""
    monkeypatch.setattr(module, "_EVERY_S", 0.001)

    def slow() -> Overview:
        clock.now_s += 2.0
        return redis()

    with Lookout(slow, monotonic=clock) as slow_one:
        slow_one.look()
        assert eventually(rests(redis))
        assert redis.reads == 1


def test_closing_ends_the_thread(redis: Redis, clock: Clock) -> None:
    """Also in the middle of its rest."""
    with Lookout(redis, monotonic=clock) as lookout:
        lookout.look()
    assert not [each for each in threading.enumerate() if each.name == "lookout"]


def test_the_list_of_workloads_is_let_go_when_nobody_looks(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has megabytes in a big cluster, and most hours nobody looks at the page."""
    monkeypatch.setattr(module, "_EVERY_S", 0.001)
    dropped = threading.Event()
    with Lookout(redis, monotonic=clock, quiet=dropped.set) as lookout:
        found = lookout.look().overview
        assert found is not None
        assert found.roster is not None
        clock.now_s += 61
        assert dropped.wait(10)
        redis.answers.clear()
        monkeypatch.setattr(module, "_PATIENCE_S", 0.001)
        again = lookout.look().overview
        assert again is not None
        assert again.roster is None
        redis.answers.set()
