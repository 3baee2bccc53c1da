"""Every row of the failure table, against the machine itself."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import pytest

from common.kube.wire import ObjectMeta, Pod
from watcher.stream.backoff import CAP_S, HEALTHY_S, delay_s
from watcher.stream.change import Change, Op
from watcher.stream.phases import (
    Doubting,
    Listing,
    State,
    Stopped,
    Syncing,
    Waiting,
    Watching,
    initial,
)
from watcher.stream.reflector import advance
from watcher.stream.seenkeys import SeenKeys
from watcher.stream.signals import (
    Added,
    At,
    Broken,
    Due,
    Ended,
    Item,
    Marked,
    Note,
    Odd,
    Opened,
    OpenList,
    OpenWatch,
    Output,
    Page,
    Refused,
    Removed,
    Signal,
    Silent,
    Started,
    Stop,
    Wait,
)

ENDS = {Op.SYNCED, Op.RELISTED}


class Machine:
    """The machine with a clock; `feed` returns what it said since."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or initial("pods", offers=2)
        self.now = 1000.0
        self.draw = 0.0

    @property
    def at(self) -> At:
        """Now."""
        return At(self.now, self.draw)

    def feed(self, *signals: Signal) -> list[Output]:
        """Take steps."""
        said: list[Output] = []
        for signal in signals:
            self.state, outputs = advance(self.state, signal)
            said += outputs
        return said

    def start(self) -> OpenWatch | OpenList:
        """Begin."""
        (action,) = self.feed(Started(at=self.at))
        assert isinstance(action, OpenWatch | OpenList)
        return action

    def sync(self, *items: Item, version: str = "100") -> list[Output]:
        """Begin, and read everything by initial events."""
        self.start()
        return self.read(*items, version=version)

    def read(self, *items: Item, version: str = "100") -> list[Output]:
        """Take in initial events and their end."""
        events = [self.added(item) for item in items]
        return self.feed(Opened(at=self.at), *events, self.mark(version, ends=True))

    def added(self, item: Item) -> Added:
        """Return the event that an object is there."""
        return Added(item, self.at)

    def removed(self, item: Item) -> Removed:
        """Return the event that an object is gone."""
        return Removed(item, self.at)

    def mark(self, version: str, *, ends: bool = False) -> Marked:
        """Return a bookmark."""
        return Marked(resource_version=version, ends_initial=ends, at=self.at)

    def refuse(self, code: int, *, retry_after_s: float | None = None) -> list[Output]:
        """Answer with a status, or an ERROR event."""
        return self.feed(
            Refused(code=code, reason=f"Code{code}", at=self.at, retry_after_s=retry_after_s)
        )

    def page(self, *items: Item, version: str = "300", cursor: str = "") -> list[Output]:
        """Answer with a page."""
        return self.feed(Page(items=items, resource_version=version, cursor=cursor, at=self.at))

    def due(self, after_s: float) -> OpenWatch | OpenList:
        """Let a wait pass; return what is asked for then, by a server that is as far as before."""
        self.now += after_s
        (action,) = self.feed(Due(at=self.at))
        assert isinstance(action, OpenWatch | OpenList)
        return self.looked() if isinstance(self.state.phase, Doubting) else action

    def looked(self) -> OpenWatch:
        """Answer a look at how far the server is: as far as before."""
        assert isinstance(self.state.phase, Doubting)
        (action,) = self.page(version=self.state.phase.resource_version, cursor="there are more")
        assert isinstance(action, OpenWatch)
        return action


def pod(name: str, version: int, uid: str = "") -> Item:
    """Return a pod as a list or an event shows it."""
    meta = ObjectMeta(
        name=name, namespace="d", uid=uid or f"u-{name}", resource_version=str(version)
    )
    return Item(
        key=meta.key,
        uid=meta.uid,
        resource_version=meta.resource_version,
        version=version,
        object=Pod(metadata=meta),
    )


def strange(name: str, version: int = 0) -> Item:
    """Return an object that could not be decoded; an empty name could not be read either."""
    key = f"d/{name}" if name else ""
    return Item(key=key, uid="u-s", resource_version=str(version), version=version)


def ops(outputs: list[Output]) -> list[tuple[str, str]]:
    """Return what was said about objects."""
    return [(each.op.name, each.key) for each in outputs if isinstance(each, Change)]


def seen(outputs: list[Output]) -> Container[str] | None:
    """Return what the end of a reading says to exist."""
    (change,) = [one for one in outputs if isinstance(one, Change) and one.op in ENDS]
    return change.seen


def notes(outputs: list[Output]) -> list[Note]:
    """Return what was counted."""
    return [each for each in outputs if isinstance(each, Note)]


def wait_in(outputs: list[Output]) -> Wait:
    """Return the one wait that was asked for."""
    (wait,) = [each for each in outputs if isinstance(each, Wait)]
    return wait


@pytest.fixture
def machine() -> Machine:
    """Return a machine that did not start yet."""
    return Machine()


@pytest.fixture
def watching() -> Machine:
    """Return a machine in step at version 100, which knows d/a and d/b; its watch is a new one."""
    machine = Machine()
    machine.sync(pod("a", 1), pod("b", 2))
    machine.now += 300
    machine.due(wait_in(machine.feed(Ended(at=machine.at))).seconds)
    machine.feed(Opened(at=machine.at))
    return machine


class TestFirstReading:
    """Until absence means absence."""

    def test_it_asks_for_initial_events_first(self, machine: Machine) -> None:
        """One stream costs a tenth of the memory of pages."""
        action = machine.start()
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None

    def test_watches_end_at_a_time_of_their_own(self, machine: Machine) -> None:
        """Ten resources that reconnect in one instant would be a herd."""
        ends = set()
        for draw in (0.0, 0.5, 0.999):
            other = Machine()
            other.draw = draw
            action = other.start()
            assert isinstance(action, OpenWatch)
            ends.add(action.timeout_s)
        assert ends == {300, 450, 599}

    def test_it_says_what_exists_then_that_this_was_all(self, machine: Machine) -> None:
        """The folds may judge absence only after SYNCED."""
        said = machine.sync(pod("a", 1), pod("b", 2))
        assert ops(said) == [("UPSERT", "d/a"), ("UPSERT", "d/b"), ("SYNCED", "")]
        assert machine.state.memory.synced

    def test_the_end_says_as_of_which_version_everything_was_read(self, machine: Machine) -> None:
        """Whoever follows another's work must know how far it has read, by marks and by pages."""
        *_, end = machine.sync(pod("a", 1), version="100")
        assert isinstance(end, Change)
        assert end.version == 100
        other = Machine()
        other.start()
        other.refuse(422)
        (end,) = (each for each in other.page(version="300") if isinstance(each, Change))
        assert end.version == 300

    def test_the_end_mark_gives_the_version_to_resume_from(self, machine: Machine) -> None:
        """Initial events are in no order: an event's version would skip others."""
        machine.sync(pod("a", 900), version="100")
        machine.now += 60
        wait = wait_in(machine.feed(Ended(at=machine.at)))
        action = machine.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"

    def test_an_end_before_the_end_mark_starts_over(self, machine: Machine) -> None:
        """Half a reading proves nothing about the other half."""
        machine.start()
        machine.feed(Opened(at=machine.at), machine.added(pod("a", 900)))
        machine.now += 60
        wait = wait_in(machine.feed(Ended(at=machine.at)))
        assert wait.failures == 1
        action = machine.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None
        said = machine.read(pod("b", 2))
        assert ops(said) == [("UPSERT", "d/b"), ("SYNCED", "")]
        assert seen(said) == SeenKeys({"d/b"})

    def test_an_object_deleted_meanwhile_is_not_missing_at_the_end(self, machine: Machine) -> None:
        """Real events come between the initial ones."""
        machine.start()
        machine.feed(machine.added(pod("a", 1)))
        assert ops(machine.feed(machine.removed(pod("a", 101)))) == [("DELETE", "d/a")]
        assert ops(machine.feed(machine.mark("102", ends=True))) == [("SYNCED", "")]

    @pytest.mark.parametrize("code", [400, 422])
    def test_a_server_without_initial_events_is_listed_and_remembered(
        self, machine: Machine, code: int
    ) -> None:
        """The gate is off on some servers: asking each time would cost a request each time."""
        machine.start()
        said = machine.refuse(code)
        assert said == [Note.FALLBACK, OpenList(limit=500, cursor="", offer=0)]
        machine.page()
        wait = wait_in(machine.refuse(410))
        assert isinstance(machine.due(wait.seconds), OpenList)

    def test_a_mark_that_ends_nothing_betrays_an_old_server(self, machine: Machine) -> None:
        """Servers before 1.27 ignore the parameter and never send the end mark."""
        machine.start()
        said = machine.feed(machine.added(pod("a", 1)), machine.mark("100"))
        assert said[-1] == OpenList(limit=500, cursor="", offer=0)

    def test_silence_instead_of_the_end_mark_is_listed(self, machine: Machine) -> None:
        """The same old server, without bookmarks."""
        machine.start()
        assert machine.feed(Silent(at=machine.at))[-1] == OpenList(limit=500, cursor="", offer=0)


@pytest.fixture
def listing() -> Machine:
    """Return a machine that lists page by page."""
    machine = Machine()
    machine.start()
    machine.refuse(422)
    return machine


class TestPages:
    """The fallback."""

    def test_pages_follow_their_tokens_and_the_watch_the_lists_version(
        self, listing: Machine
    ) -> None:
        """All pages are one picture; its version is where the watch begins."""
        said = listing.page(pod("a", 1), cursor="t1")
        assert said[-1] == OpenList(limit=500, cursor="t1", offer=0)
        said = listing.page(pod("b", 2))
        assert ops(said) == [("UPSERT", "d/b"), ("SYNCED", "")]
        action = said[-1]
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "300"

    def test_a_list_that_expires_restarts_with_larger_pages(self, listing: Machine) -> None:
        """A cluster that changes faster than we page needs fewer pages, in the end one."""
        limits = []
        for _ in range(4):
            listing.page(pod("a", 1), cursor="t1")
            said = listing.refuse(410)
            assert Note.RELIST in said
            action = listing.due(wait_in(said).seconds)
            assert isinstance(action, OpenList)
            assert action.cursor == ""
            limits.append(action.limit)
        assert limits == [2000, 8000, 0, 0]

    def test_pages_are_small_again_after_a_good_list(self, listing: Machine) -> None:
        """One bad hour must not cost memory for ever."""
        listing.page(pod("a", 1), cursor="t1")
        listing.due(wait_in(listing.refuse(410)).seconds)
        listing.page(pod("a", 1))
        action = listing.due(wait_in(listing.refuse(410)).seconds)
        assert isinstance(action, OpenList)
        assert action.limit == 500

    def test_a_break_between_pages_starts_over(self, listing: Machine) -> None:
        """Pages of two pictures make no picture: what the first had seen may be gone."""
        listing.page(pod("a", 1), cursor="t1")
        said = listing.feed(Broken(reason="TornStream", at=listing.at))
        action = listing.due(wait_in(said).seconds)
        assert action == OpenList(limit=500, cursor="", offer=0)
        said = listing.page(pod("b", 2))
        assert ops(said) == [("UPSERT", "d/b"), ("SYNCED", "")]
        assert seen(said) == SeenKeys({"d/b"})

    def test_a_list_without_version_is_a_failure_and_deletes_nothing(
        self, watching: Machine
    ) -> None:
        """`{}` with status 200 must not look like an empty cluster."""
        wait = wait_in(watching.refuse(410))
        watching.due(wait.seconds)
        watching.refuse(422)
        said = watching.page(version="")
        assert ops(said) == []
        assert wait_in(said).reason == "NoVersion"


class TestEvents:
    """In step."""

    def test_an_event_moves_the_version(self, watching: Machine) -> None:
        """A reconnect must not replay what was said."""
        assert ops(watching.feed(watching.added(pod("c", 101)))) == [("UPSERT", "d/c")]
        assert isinstance(watching.state.phase, Watching)
        assert watching.state.phase.resource_version == "101"
        watching.feed(watching.removed(pod("c", 102)))
        assert watching.state.phase.resource_version == "102"

    def test_a_bookmark_moves_the_version(self, watching: Machine) -> None:
        """On a quiet resource nothing else keeps the version young."""
        assert watching.feed(watching.mark("500")) == []
        assert isinstance(watching.state.phase, Watching)
        assert watching.state.phase.resource_version == "500"

    def test_what_the_server_says_again_is_said_again(self, watching: Machine) -> None:
        """The machine remembers no object; the folds know what is news."""
        again = watching.added(pod("c", 101))
        assert ops(watching.feed(again, again)) == [("UPSERT", "d/c")] * 2

    @pytest.mark.parametrize("deleted", [False, True], ids=["update", "delete"])
    def test_an_event_that_comes_too_late_is_not_believed(
        self, watching: Machine, *, deleted: bool
    ) -> None:
        """Trap 13. The name may have a newer state, or a successor: everything is read again."""
        watching.feed(watching.added(pod("a", 103, uid="u-new")))
        old = pod("a", 102, uid="u-a")
        said = watching.feed(watching.removed(old) if deleted else watching.added(old))
        assert ops(said) == []
        assert notes(said) == [Note.OUT_OF_ORDER, Note.RELIST]
        action = watching.due(wait_in(said).seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None

    def test_a_lower_version_is_believed_when_everything_is_read(self, watching: Machine) -> None:
        """The server is right, also when it was restored from a backup."""
        watching.due(wait_in(watching.refuse(410)).seconds)
        assert ops(watching.read(pod("a", 1), version="50")) == [
            ("UPSERT", "d/a"),
            ("RELISTED", ""),
        ]
        assert ops(watching.feed(watching.added(pod("a", 51)))) == [("UPSERT", "d/a")]

    def test_objects_without_comparable_versions_are_always_said(self, watching: Machine) -> None:
        """Versions are opaque by contract: a server of another make may use letters."""
        opaque = Item(key="d/o", uid="u", resource_version="abc", object=Pod())
        assert len(ops(watching.feed(watching.added(opaque), watching.added(opaque)))) == 2

    def test_a_delete_carries_uid_and_version(self, watching: Machine) -> None:
        """What is told of one object can be told from what is told of its successor."""
        (change,) = watching.feed(watching.removed(pod("a", 101)))
        assert isinstance(change, Change)
        assert (change.op, change.uid, change.version) == (Op.DELETE, "u-a", 101)

    def test_an_unknown_event_is_counted_and_changes_nothing(self, watching: Machine) -> None:
        """A newer server may send more kinds of events."""
        before = watching.state
        assert watching.feed(Odd()) == [Note.ODD_EVENT]
        assert watching.state == before


class TestUndecodable:
    """Trap 23."""

    def test_counted_key_enqueued_stream_goes_on(self, watching: Machine) -> None:
        """Trap 23. One object that cannot be decoded must not stop the stream at its version."""
        said = watching.feed(watching.added(strange("s", 101)), watching.added(pod("c", 102)))
        assert ops(said) == [("UNDECODABLE", "d/s"), ("UPSERT", "d/c")]
        assert notes(said) == [Note.UNDECODABLE]
        assert isinstance(watching.state.phase, Watching)
        assert watching.state.phase.resource_version == "102"

    def test_an_undecodable_object_is_deleted_by_name(self, watching: Machine) -> None:
        """Its workload is gone all the same."""
        watching.feed(watching.added(strange("s", 101)))
        assert ops(watching.feed(watching.removed(strange("s", 102)))) == [("DELETE", "d/s")]

    def test_an_object_that_becomes_decodable_is_an_upsert(self, watching: Machine) -> None:
        """The user repaired it."""
        watching.feed(watching.added(strange("a", 101)))
        item = pod("a", 102, uid="u-s")
        assert ops(watching.feed(watching.added(item))) == [("UPSERT", "d/a")]

    def test_a_nameless_object_is_counted_and_keeps_the_version(self, watching: Machine) -> None:
        """Without metadata there is no version to move to."""
        said = watching.feed(watching.added(Item(key="")), watching.removed(Item(key="")))
        assert ops(said) == [("UNDECODABLE", ""), ("UNDECODABLE", "")]
        assert notes(said) == [Note.UNDECODABLE] * 2
        assert isinstance(watching.state.phase, Watching)
        assert watching.state.phase.resource_version == "100"

    def test_a_reading_with_a_nameless_object_deletes_nothing(self, watching: Machine) -> None:
        """The nameless one may be any of those that seem to be missing."""
        watching.due(wait_in(watching.refuse(410)).seconds)
        said = watching.read(strange(""), pod("a", 1))
        assert ops(said) == [("UNDECODABLE", ""), ("UPSERT", "d/a"), ("RELISTED", "")]
        assert seen(said) is None

    def test_a_list_with_a_nameless_object_deletes_nothing(self, watching: Machine) -> None:
        """The same for pages, whichever page it stands on."""
        watching.due(wait_in(watching.refuse(410)).seconds)
        watching.refuse(422)
        watching.page(strange(""), cursor="t1")
        said = watching.page(pod("a", 1))
        assert ops(said) == [("UPSERT", "d/a"), ("RELISTED", "")]
        assert seen(said) is None


class TestGone:
    """410: the version is older than what the server remembers."""

    def test_the_version_is_dropped_after_a_wait_and_the_end_says_what_was_seen(
        self, watching: Machine
    ) -> None:
        """Deletes that happened meanwhile were missed: d/b, which the folds know, was not seen."""
        said = watching.refuse(410)
        assert notes(said) == [Note.RELIST]
        wait = wait_in(said)
        assert wait.seconds >= 0.8
        action = watching.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None
        said = watching.read(pod("a", 1), pod("c", 150), version="200")
        assert ops(said) == [("UPSERT", "d/a"), ("UPSERT", "d/c"), ("RELISTED", "")]
        assert seen(said) == SeenKeys({"d/a", "d/c"})

    def test_a_server_that_always_says_so_is_asked_ever_less_often(self, watching: Machine) -> None:
        """The official informer made 1,066 full lists in three seconds here."""
        started = watching.now
        tries = 0
        while watching.now < started + 300:
            watching.due(wait_in(watching.refuse(410)).seconds)
            tries += 1
        assert tries < 20


class TestTrouble:
    """Waits and versions."""

    @pytest.mark.parametrize("code", [401, 403, 404, 408, 429, 500, 502, 503])
    def test_a_refusal_waits_and_keeps_the_version(self, watching: Machine, code: int) -> None:
        """An API server that is away for an hour must not cost a full reading."""
        for _ in range(20):
            wait = wait_in(watching.refuse(code))
            action = watching.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"

    def test_waits_double_up_to_thirty_seconds_and_jitter_at_most_doubles_them(
        self, watching: Machine
    ) -> None:
        """client-go's values: gentle to a server that comes back."""
        waits = []
        for _ in range(8):
            waits.append(wait_in(watching.refuse(500)).seconds)
            watching.due(waits[-1])
        assert waits == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
        assert delay_s(9, draw=0.999) < 60

    def test_two_minutes_of_health_make_waits_short_again(self, watching: Machine) -> None:
        """The next fault is another one."""
        watching.due(wait_in(watching.refuse(500)).seconds)
        watching.due(wait_in(watching.refuse(500)).seconds)
        watching.now += HEALTHY_S
        wait = wait_in(watching.refuse(500))
        assert (wait.seconds, wait.failures) == (0.8, 1)

    @pytest.mark.parametrize(("asked_s", "wait_s"), [(5.0, 5.0), (0.1, 0.8), (86400.0, 120.0)])
    def test_retry_after_is_honoured_within_bounds(
        self, watching: Machine, asked_s: float, wait_s: float
    ) -> None:
        """At least the backoff, at most two minutes."""
        assert wait_in(watching.refuse(429, retry_after_s=asked_s)).seconds == wait_s

    def test_a_version_from_the_future_waits_a_second_and_is_dropped_in_the_end(
        self, watching: Machine
    ) -> None:
        """After a restore of etcd the server may never reach our version."""
        versions = []
        for _ in range(5):
            wait = wait_in(watching.refuse(504))
            assert wait.seconds >= 1.0
            action = watching.due(wait.seconds)
            assert isinstance(action, OpenWatch)
            versions.append(action.resource_version)
        assert versions == ["100"] * 4 + [None]

    def test_a_version_that_the_server_calls_invalid_is_dropped_in_the_end(
        self, watching: Machine
    ) -> None:
        """Another server answers behind the same address."""
        for _ in range(5):
            action = watching.due(wait_in(watching.refuse(400)).seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None

    def test_a_refused_encoding_is_replaced_at_once(self, watching: Machine) -> None:
        """The server said no to the words, not to us."""
        said = watching.refuse(406)
        assert said == [Note.FALLBACK, OpenWatch(resource_version="100", timeout_s=300, offer=1)]
        wait = wait_in(watching.refuse(415))  # nothing is left to offer
        action = watching.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.offer == 1

    def test_a_refused_encoding_of_the_first_reading_starts_it_again(
        self, machine: Machine
    ) -> None:
        """The same at the very start."""
        machine.start()
        said = machine.refuse(406)
        assert said == [Note.FALLBACK, OpenWatch(resource_version=None, timeout_s=300, offer=1)]

    def test_a_refusal_outlives_what_the_same_server_does(self, watching: Machine) -> None:
        """A watch that ends at its time, a wait that it asks for, a version that it forgot."""
        watching.refuse(406)
        watching.feed(Opened(at=watching.at))
        watching.now += 300
        for trouble in (
            Ended(at=watching.at),
            Refused(code=429, reason="TooManyRequests", at=watching.at),
            Refused(code=410, reason="Expired", at=watching.at),
        ):
            wait = wait_in(watching.feed(trouble))
            action = watching.due(wait.seconds)
            assert isinstance(action, OpenWatch)
            assert action.offer == 1

    @pytest.mark.parametrize(
        ("trouble", "after_s"),
        [
            (Broken(reason="SourceUnavailable", at=At(0.0, 0.0)), 0.0),
            (Silent(at=At(0.0, 0.0)), 150.0),
            (Ended(at=At(0.0, 0.0)), 299.0),
        ],
        ids=["broken", "silent", "ended early"],
    )
    def test_a_server_that_went_away_is_asked_for_the_best_again(
        self, watching: Machine, trouble: Broken | Silent | Ended, after_s: float
    ) -> None:
        """What comes back may be a newer version, or another one behind the same address."""
        watching.refuse(406)
        watching.feed(Opened(at=watching.at))
        watching.now += after_s
        said = watching.feed(replace(trouble, at=watching.at))
        action = said[-1]
        action = watching.due(action.seconds) if isinstance(action, Wait) else watching.looked()
        assert isinstance(action, OpenWatch)
        assert (action.offer, action.resource_version) == (0, "100")

    def test_a_reading_that_the_server_ends_is_begun_with_the_best_encoding(
        self, machine: Machine
    ) -> None:
        """A server that goes away in mid-reading says no end bookmark."""
        machine.start()
        machine.refuse(406)
        machine.feed(Opened(at=machine.at), Added(pod("a", 1), machine.at))
        wait = wait_in(machine.feed(Ended(at=machine.at)))
        action = machine.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert (action.offer, action.resource_version) == (0, None)

    def test_a_clean_end_is_resumed_almost_at_once(self, watching: Machine) -> None:
        """Servers end watches after some minutes, and all of them when they restart."""
        watching.now += 300
        watching.draw = 0.5
        wait = wait_in(watching.feed(Ended(at=watching.at)))
        assert (wait.seconds, wait.failures) == (0.025, 0)
        action = watching.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"

    def test_a_watch_that_ends_at_once_without_an_event_is_a_failure(
        self, watching: Machine
    ) -> None:
        """The official client reconnects 300 times a second here."""
        watching.now += 0.9
        assert wait_in(watching.feed(Ended(at=watching.at))).failures == 1

    def test_a_reading_whose_watch_ends_soon_is_none(self, machine: Machine) -> None:
        """It was progress; the server may be about to restart."""
        machine.sync(pod("a", 1))
        assert wait_in(machine.feed(Ended(at=machine.at))).failures == 0

    def test_a_short_watch_with_an_event_is_none(self, watching: Machine) -> None:
        """It made progress."""
        watching.feed(watching.added(pod("a", 101)))
        assert wait_in(watching.feed(Ended(at=watching.at))).failures == 0

    def test_a_short_bookmark_only_watch_is_a_failure(self, watching: Machine) -> None:
        """A bookmark costs the server nothing and would excuse a spin."""
        watching.feed(watching.mark("101"))
        assert wait_in(watching.feed(Ended(at=watching.at))).failures == 1

    def test_a_torn_line_is_asked_for_again_from_the_same_version(self, watching: Machine) -> None:
        """Events are idempotent; the torn one comes again."""
        watching.feed(Opened(at=watching.at), watching.added(pod("c", 101)))
        wait = wait_in(watching.feed(Broken(reason="TornLine", at=watching.at)))
        assert wait.failures == 1
        action = watching.due(wait.seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "101"

    def test_a_version_at_which_the_stream_always_breaks_is_dropped(
        self, watching: Machine
    ) -> None:
        """An event that a proxy cannot carry would hold the stream for ever."""
        versions = []
        for _ in range(5):
            watching.feed(Opened(at=watching.at))
            wait = wait_in(watching.feed(Broken(reason="TornLine", at=watching.at)))
            action = watching.due(wait.seconds)
            assert isinstance(action, OpenWatch)
            versions.append(action.resource_version)
        assert versions == ["100"] * 4 + [None]

    def test_what_makes_no_sense_is_asked_for_in_the_next_encoding(self, machine: Machine) -> None:
        """A proxy may answer in JSON whatever it was asked for, and say nothing, or a lie."""
        machine.start()
        offers = []
        for _ in range(4):
            machine.feed(Opened(at=machine.at))
            garbled = Broken(reason="Garbled", at=machine.at, unreadable=True)
            wait = wait_in(machine.feed(garbled))
            assert wait.failures > 0, "not at once: it may be a line that is bad"
            offers.append(machine.due(wait.seconds).offer)
        assert offers == [1, 0, 1, 0]

    def test_what_makes_no_sense_in_a_watch_keeps_the_version(self, watching: Machine) -> None:
        """Only the words are doubted, and how far the server is."""
        garbled = Broken(reason="Garbled", at=watching.at, unreadable=True)
        wait = wait_in(watching.feed(garbled))
        watching.now += wait.seconds
        assert watching.feed(Due(at=watching.at)) == [OpenList(limit=1, cursor="", offer=1)]
        action = watching.looked()
        assert isinstance(action, OpenWatch)
        assert (action.offer, action.resource_version) == (1, "100")

    def test_progress_between_breaks_keeps_the_version(self, watching: Machine) -> None:
        """A bad network is no reason to read everything again."""
        for number in range(20):
            watching.feed(Opened(at=watching.at), watching.added(pod("c", 101 + number)))
            said = watching.feed(Broken(reason="TornLine", at=watching.at))
            assert notes(said) == []
            watching.due(wait_in(said).seconds)

    def test_a_server_that_does_not_answer_keeps_the_version(self, watching: Machine) -> None:
        """Refused connections say nothing about a version."""
        watching.feed(Broken(reason="SourceUnavailable", at=watching.at))
        for _ in range(20):
            watching.feed(Due(at=watching.at), Broken(reason="SourceUnavailable", at=watching.at))
        action = watching.due(60)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"

    def test_silence_resumes_at_once_from_the_same_version(self, watching: Machine) -> None:
        """A half-open connection is no fault of the server's."""
        (look,) = watching.feed(Silent(at=watching.at))
        assert look == OpenList(limit=1, cursor="", offer=0)
        action = watching.looked()
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"

    def test_failures_are_numbered_for_logs_that_want_the_first(self, watching: Machine) -> None:
        """403 for an hour is one line, not 120."""
        numbers = []
        for _ in range(3):
            wait = wait_in(watching.refuse(403))
            numbers.append((wait.reason, wait.failures))
            watching.due(wait.seconds)
        assert numbers == [("Code403", 1), ("Code403", 2), ("Code403", 3)]


class TestDoubt:
    """An etcd that was restored counts from before; a watch from the future is silent, no error."""

    @staticmethod
    def _troubles(watching: Machine) -> list[tuple[str, Signal]]:
        at = watching.at
        return [
            ("broken", Broken(reason="TornLine", at=at)),
            ("silent", Silent(at=at)),
            ("ended early", Ended(at=at)),
            ("refused", Refused(code=503, reason="ServiceUnavailable", at=at)),
            ("too new", Refused(code=504, reason="Timeout", at=at)),
            ("throttled", Refused(code=429, reason="TooManyRequests", at=at)),
        ]

    @pytest.mark.parametrize("which", range(6))
    def test_a_version_that_the_server_has_not_reached_is_dropped(
        self, watching: Machine, which: int
    ) -> None:
        """What happens until it is reached would never be told, and what is gone would stay."""
        watching.now += 5
        name, trouble = self._troubles(watching)[which]
        said = watching.feed(trouble)
        if name != "silent":
            watching.now += wait_in(said).seconds
            said = watching.feed(Due(at=watching.at))
        assert said == [OpenList(limit=1, cursor="", offer=0)]
        said = watching.page(pod("a", 1), version="99", cursor="more")
        assert notes(said) == [Note.RELIST]
        assert ops(said) == [], "a look is no reading"
        assert wait_in(said).reason == "WentBack"
        action = watching.due(wait_in(said).seconds)
        assert isinstance(action, OpenWatch)
        assert action.resource_version is None
        said = watching.read(pod("a", 1), version="99")
        assert ops(said)[-1] == ("RELISTED", "")
        assert watching.state.memory.doubt is False

    @pytest.mark.parametrize("version", ["100", "101", "", "x"])
    def test_a_server_that_is_as_far_is_watched_on(self, watching: Machine, version: str) -> None:
        """One that says no number is not doubted: there is no order to go by."""
        watching.feed(Silent(at=watching.at))
        (action,) = watching.page(version=version)
        assert isinstance(action, OpenWatch)
        assert action.resource_version == "100"
        watching.feed(Opened(at=watching.at), watching.added(pod("a", 102)))
        watching.now += 300
        wait = wait_in(watching.feed(Ended(at=watching.at)))
        assert isinstance(watching.due(wait.seconds), OpenWatch), "one look is enough"

    def test_a_look_that_fails_is_repeated(self, watching: Machine) -> None:
        """Until it is answered, nothing is known."""
        watching.feed(Silent(at=watching.at))
        for trouble in (Broken(reason="x", at=watching.at), Silent(at=watching.at)):
            wait = wait_in(watching.feed(trouble))
            watching.now += wait.seconds
            assert watching.feed(Due(at=watching.at)) == [OpenList(limit=1, cursor="", offer=0)]
        assert watching.refuse(406)[-1] == OpenList(limit=1, cursor="", offer=1)
        assert notes(watching.refuse(410)) == [Note.RELIST]


class TestEveryPhase:
    """The machine is total."""

    def test_stop_ends_it_and_nothing_starts_it_again(self, watching: Machine) -> None:
        """A signal that was on its way must not open a stream after the stop."""
        assert watching.feed(Stop()) == []
        at = watching.at
        late: list[Signal] = [
            Started(at=at),
            Due(at=at),
            Opened(at=at),
            Added(pod("z", 1), at),
            Removed(pod("a", 1), at),
            watching.mark("7", ends=True),
            Page(items=(pod("z", 1),), resource_version="7", cursor="", at=at),
            Ended(at=at),
            Broken(reason="x", at=at),
            Silent(at=at),
            *(Refused(code=code, reason="x", at=at) for code in (400, 406, 410, 500, 504)),
        ]
        assert watching.feed(*late) == []
        assert isinstance(watching.state.phase, Stopped)

    def test_a_signal_that_does_not_fit_changes_nothing(self, watching: Machine) -> None:
        """A page while watching, a timer while listing: late signals of what was closed."""
        before = watching.state
        at = watching.at
        page = Page(items=(pod("z", 1),), resource_version="7", cursor="", at=at)
        assert watching.feed(page, Due(at=at), Started(at=at)) == []
        assert watching.state == before
        watching.refuse(410)
        waiting = watching.state
        assert isinstance(waiting.phase, Waiting)
        late: list[Signal] = [
            Added(pod("z", 1), at),
            Removed(pod("a", 1), at),
            watching.mark("7"),
            Ended(at=at),
            Refused(code=410, reason="Expired", at=at),
            Refused(code=406, reason="x", at=at),
        ]
        assert watching.feed(*late) == []
        assert watching.state == waiting

    def test_phases_are_what_they_say(self) -> None:
        """The informer gives up its turn by the phase."""
        machine = Machine()
        machine.start()
        assert isinstance(machine.state.phase, Syncing)
        machine.refuse(422)
        assert isinstance(machine.state.phase, Listing)
        machine.page()
        assert isinstance(machine.state.phase, Watching)

    def test_a_scope_is_named_by_the_end_of_its_reading(self) -> None:
        """With one informer a namespace, SYNCED of one says nothing about another."""
        machine = Machine(initial("pods", scope="shop", offers=1))
        assert ops(machine.sync()) == [("SYNCED", "shop")]

    def test_the_cap_is_the_backoffs_not_the_jitters(self) -> None:
        """However long an error lasts, the step stays bounded; 2 ** 10000 would overflow."""
        assert delay_s(10_000, draw=0.0) == CAP_S
