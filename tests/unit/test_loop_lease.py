"""The lease: honest about what is still ours, quick to bury the dead, slow to bury the silent."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
import structlog
from structlog.testing import capture_logs

from common.model.errors import SourceUnavailableError
from tests.fakes.clock import FakeClock
from worker.lease import Lease
from worker.outage import Outage

LENGTH_S = 15.0


@dataclass
class Leases:
    """A scripted queue; every beat is answered by the next entry, the last one for ever."""

    clock: FakeClock
    answers: list[tuple[bool, bool] | Exception] = field(default_factory=lambda: [(True, True)])
    takes_s: float = 0.0  # a heartbeat
    beats: int = 0
    reaps: int = 0
    left: list[str] = field(default_factory=list)
    beaten: threading.Event = field(default_factory=threading.Event)

    def beat(self, worker: str, *, lease_s: float) -> tuple[bool, bool]:
        self.clock.advance(self.takes_s)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        self.beats += 1
        self.beaten.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def reap(self, max_crashes: int, *, by: str, fresh_s: float) -> int:
        self.reaps += 1
        assert (by, fresh_s) == ("w1", LENGTH_S * 2 / 3)
        return 0

    def leave(self, worker: str) -> int:
        self.left.append(worker)
        return 0


@dataclass
class Registrar:
    """Counts births and deaths."""

    births: int = 0
    deaths: int = 0
    born: threading.Event = field(default_factory=threading.Event)

    def birth(self) -> None:
        self.births += 1
        self.born.set()

    def death(self) -> None:
        self.deaths += 1


@dataclass
class Case:
    """A lease with everything fake around it."""

    clock: FakeClock = field(default_factory=FakeClock)
    registrar: Registrar = field(default_factory=Registrar)
    leases: Leases = field(init=False)
    lease: Lease = field(init=False)

    def __post_init__(self) -> None:
        self.leases = Leases(self.clock)
        self.lease = Lease(
            self.leases,
            self.registrar,
            worker="w1",
            monotonic_s=self.clock,
            length_s=LENGTH_S,
        )


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_lease_is_held_for_its_length_from_the_start_of_the_call(case: Case) -> None:
    """From the start, not the reply: the reply may have been late, Redis counted already."""
    assert not case.lease.held()
    began_s = case.clock()
    case.clock.advance(5)  # the claim's reply took long
    case.lease.renewed(began_s)
    assert case.lease.held()
    case.clock.advance(LENGTH_S - 5)
    assert not case.lease.held()


def test_a_heartbeat_renews(case: Case) -> None:
    """A run that is longer than a lease keeps its claim."""
    case.lease.renewed(case.clock())
    case.clock.advance(10)
    case.lease.beat()
    case.clock.advance(10)
    assert case.lease.held()


def test_a_late_reply_of_an_old_call_shortens_nothing(case: Case) -> None:
    """Claim and heartbeat come from two threads, in any order."""
    case.lease.renewed(case.clock())
    case.lease.renewed(case.clock() - 10)
    case.clock.advance(LENGTH_S - 1)
    assert case.lease.held()


def test_a_lease_that_others_took_for_ended_is_lost_at_once(case: Case) -> None:
    """Trap 8. What was claimed under it is somebody else's by now."""
    case.lease.renewed(case.clock())
    case.leases.answers = [(False, True)]
    case.lease.beat()
    assert not case.lease.held()


def test_a_first_heartbeat_finds_no_lease_and_loses_none(case: Case) -> None:
    """Before the first claim there is nothing to lose; a claim meanwhile must stay."""
    case.leases.answers = [(False, True)]
    case.lease.beat()
    case.lease.renewed(case.clock())
    assert case.lease.held()


def test_a_claim_during_a_heartbeat_that_finds_nothing_is_kept(case: Case) -> None:
    """The claim began a new lease after Redis had looked for the old one."""
    case.lease.renewed(case.clock() - 20)
    beat = case.leases.beat

    def beat_and_claim(worker: str, *, lease_s: float) -> tuple[bool, bool]:
        beat(worker, lease_s=lease_s)
        case.lease.renewed(case.clock())
        return (False, True)

    case.leases.beat = beat_and_claim  # type: ignore[method-assign] # the race, made certain
    case.lease.beat()
    assert case.lease.held()


def test_a_worker_that_rq_forgot_registers_again(case: Case) -> None:
    """After a flush of Redis `rq info` and `status` must show who works."""
    case.leases.answers = [(True, False), (True, True)]
    case.lease.beat()
    case.lease.beat()
    assert case.registrar.births == 1


def test_the_dead_are_buried_also_where_nobody_can_register(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that is full takes no registration; what frees it is work that ends."""
    case.leases.answers = [(True, False)]
    case.clock.advance(LENGTH_S)

    def full() -> None:
        raise SourceUnavailableError("Redis: OOM")

    monkeypatch.setattr(case.registrar, "birth", full)
    with pytest.raises(SourceUnavailableError):
        case.lease.beat()
    assert case.leases.reaps == 1


def test_nobody_is_buried_within_a_lease_after_an_outage(case: Case) -> None:
    """While Redis was away nobody could renew: who lives needs a lease's time to say so."""
    case.lease.beat()
    assert case.leases.reaps == 1
    case.leases.answers = [SourceUnavailableError("Redis: gone"), (True, True)]
    with pytest.raises(SourceUnavailableError):
        case.lease.beat()
    case.lease.beat()
    assert case.leases.reaps == 1
    case.clock.advance(LENGTH_S)
    case.lease.beat()
    assert case.leases.reaps == 2


def test_nobody_is_buried_within_a_lease_after_redis_stood_still(case: Case) -> None:
    """A heartbeat that took long says that everybody's did: theirs may still be under way."""
    case.leases.takes_s = LENGTH_S / 2
    case.lease.beat()
    assert case.leases.reaps == 0
    case.leases.takes_s = 0.1
    case.lease.beat()
    assert case.leases.reaps == 0
    case.clock.advance(LENGTH_S)
    case.lease.beat()
    assert case.leases.reaps == 1


def test_who_has_just_begun_buries_nobody(case: Case) -> None:
    """It does not know whether Redis has just come back, and the living with it."""
    with case.lease:
        assert case.leases.beaten.wait(5)
        case.lease.beat()
        assert case.leases.reaps == 0
        case.clock.advance(LENGTH_S)
        case.lease.beat()
        assert case.leases.reaps == 1


def test_the_heartbeat_thread_ends_and_says_goodbye(case: Case) -> None:
    """A worker that ends is not a worker that died: no lease stays, nobody has to wait for it."""
    with case.lease:
        assert case.leases.beaten.wait(5)
    assert case.leases.left == ["w1"]
    assert case.registrar.deaths == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-w1"]


def test_the_heartbeat_thread_survives_an_outage(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the thread that ends outages for the whole process."""
    monkeypatch.setattr("worker.outage._FIRST_S", 0.0001)
    gone: list[tuple[bool, bool] | Exception] = [SourceUnavailableError("Redis: gone")] * 5
    case.leases.answers = [*gone, (True, False), (True, True)]
    with case.lease:
        assert case.registrar.born.wait(5)
    assert case.leases.beats >= 6
    assert case.registrar.births == 1


def test_the_heartbeat_thread_survives_what_nobody_foresaw(case: Case) -> None:
    """Without it every claim of the process is lost, over and over."""
    case.leases.answers = [ZeroDivisionError("odd")]
    with capture_logs() as lines, case.lease:
        assert case.leases.beaten.wait(5)
    assert [line["event"] for line in lines] == ["heartbeat failed"]


def test_an_outage_is_tried_again_ever_more_slowly_and_said_once() -> None:
    """Twenty loops that hammer a Redis which loads its data keep it from loading it."""

    class Sleeps(threading.Event):
        def __init__(self) -> None:
            super().__init__()
            self.slept: list[float] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.slept.append(timeout or 0.0)
            return False

    sleeps, clock = Sleeps(), FakeClock()
    outage = Outage(sleeps, clock, structlog.get_logger("test"))
    with capture_logs() as lines:
        for _ in range(10):
            assert outage.again(SourceUnavailableError("Redis: gone"))
        clock.advance(12)
        outage.over()
        outage.over()
    assert sleeps.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert [(line["event"], line.get("seconds")) for line in lines] == [
        ("redis away", None),
        ("redis back", 12.0),
    ]
    outage.again(SourceUnavailableError("Redis: gone"))
    assert sleeps.slept[-1] == 0.05


def test_a_short_lease_is_tried_to_renew_every_third_of_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that sleeps for 5 s after an outage is buried by one that came back at once."""
    slept: list[float] = []
    lease = Lease(case.leases, case.registrar, worker="w1", monotonic_s=case.clock, length_s=1.5)

    def wait(timeout: float | None = None) -> bool:
        slept.append(timeout or 0.0)
        return len(slept) == 9

    monkeypatch.setattr(lease._stopping, "wait", wait)
    case.leases.answers = [SourceUnavailableError("Redis: gone")]
    lease._beat_on()
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_a_stop_ends_the_wait_for_redis() -> None:
    """A process must be able to end while Redis is away."""
    stopping = threading.Event()
    stopping.set()
    outage = Outage(stopping, FakeClock(), structlog.get_logger("test"))
    assert not outage.again(SourceUnavailableError("Redis: gone"))
