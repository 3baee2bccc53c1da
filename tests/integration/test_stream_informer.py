"""Informer threads against a server that misbehaves, over real HTTP."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import pytest

from common.kube.envelopes import Status
from common.kube.errors import Call, api_error
from common.kube.negotiate import JSON, PROTOBUF
from common.kube.session import Session
from common.kube.wire import PartialObject, Pod
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import (
    Act,
    cut,
    cut_mid_line,
    end,
    end_mid_line,
    error_event,
    hang,
    refuse,
    send,
)
from watcher.stream.ask import Scope
from watcher.stream.catalog import BY_RESOURCE, ROWS
from watcher.stream.change import Change, Op
from watcher.stream.fleet import Fleet
from watcher.stream.informer import Informer, Outlet
from watcher.stream.meter import Trouble
from watcher.stream.signals import Note

pytestmark = pytest.mark.integration

PODS = "/api/v1/pods"
REPORTS = "/apis/aquasecurity.github.io/v1alpha1/vulnerabilityreports"
DEADLINE_S = 20.0


@dataclass
class Tally:
    """A meter that remembers."""

    events: int = 0
    size_bytes: int = 0
    notes: list[Note] = field(default_factory=list)
    failures: list[tuple[str, int, float]] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Add up."""
        self.events += events
        self.size_bytes += size_bytes

    def noted(self, resource: str, note: Note) -> None:
        """Remember."""
        self.notes.append(note)

    def failing(self, resource: str, trouble: Trouble) -> None:
        """Remember."""
        self.failures.append((trouble.reason, trouble.failures, trouble.wait_s))
        self.news += [str(trouble.error)] * trouble.is_news


class Follower:
    """One informer, and what a fold would know from it."""

    def __init__(self, api: FakeKubeApi, session: Session, *, size: int = 1000) -> None:
        self.api = api
        self.session = session
        self.tally = Tally()
        self.changes: queue.Queue[Change] = queue.Queue(size)
        self.said: list[Change] = []
        self.view: dict[str, str] = {}
        self.outlet = Outlet(changes=self.changes, turns=threading.Semaphore(2), meter=self.tally)
        self.informers: list[Informer] = []

    def follow(
        self, resource: str = "pods", scope: Scope | None = None, *, idle_timeout_s: float = 30.0
    ) -> Informer:
        """Start an informer."""
        informer = Informer(
            BY_RESOURCE[resource],
            scope or Scope(),
            source=self.session,
            outlet=self.outlet,
            idle_timeout_s=idle_timeout_s,
        )
        self.informers.append(informer)
        informer.start()
        return informer

    def take(self) -> Change:
        """Return the next change."""
        change = self.changes.get(timeout=DEADLINE_S)
        self.said.append(change)
        match change.op:
            case Op.UPSERT:
                self.view[change.key] = change.uid
            case Op.DELETE:
                self.view.pop(change.key, None)
            case Op.SYNCED | Op.RELISTED:
                assert change.seen is not None
                self.view = {key: uid for key, uid in self.view.items() if key in change.seen}
            case _:
                pass
        return change

    def until(self, op: Op, key: str = "") -> Change:
        """Take changes up to the one that is named."""
        while True:
            change = self.take()
            if change.op is op and change.key == key:
                return change

    def await_view(self) -> None:
        """Take changes until the view is the server's."""
        deadline = time.monotonic() + DEADLINE_S
        while self.view != (truth := self.truth()):
            assert time.monotonic() < deadline, (self.view, truth)
            self.take()

    def truth(self) -> dict[str, str]:
        """Return what the server has."""
        found = [each["metadata"] for each in self.api.store.all(PODS)]
        return {f"{meta['namespace']}/{meta['name']}": meta["uid"] for meta in found}

    def await_requests(self, verb: str, count: int) -> None:
        """Wait until so many requests of a kind came in."""
        deadline = time.monotonic() + DEADLINE_S
        while self.api.count(verb) < count:
            assert time.monotonic() < deadline, [seen.verb for seen in self.api.seen]
            threading.Event().wait(0.01)


# What an encoding can make a difference to is tested in each.
IN_BOTH = pytest.mark.parametrize("api", [False, True], indirect=True, ids=["json", "protobuf"])


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[FakeKubeApi]:
    """Give a server with two pods; it speaks protobuf if the parameter says so."""
    with FakeKubeApi(protobuf=getattr(request, "param", False)) as fake:
        fake.store.create(PODS, pod("a"))
        fake.store.create(PODS, pod("b"))
        yield fake


@pytest.fixture
def session(api: FakeKubeApi) -> Iterator[Session]:
    """Give a session to it."""
    session = api.session()
    yield session
    session.close()


@pytest.fixture
def follower(api: FakeKubeApi, session: Session) -> Iterator[Follower]:
    """Give a follower; every informer of it must end quickly."""
    follower = Follower(api, session)
    yield follower
    for informer in follower.informers:
        assert informer.stop(5.0)


def pod(name: str, namespace: str = "d", **labels: str) -> dict[str, Any]:
    """Return a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "nginx"}]},
    }


@IN_BOTH
def test_what_exists_is_said_then_what_changes(follower: Follower) -> None:
    """The whole path: request, bytes, machine, queue."""
    informer = follower.follow()
    follower.until(Op.SYNCED)
    assert informer.synced
    assert follower.view == follower.truth()
    follower.api.store.create(PODS, pod("c"))
    change = follower.until(Op.UPSERT, "d/c")
    assert isinstance(change.object, Pod)
    assert [each.image for _, each in change.object.spec.by_role()] == ["nginx"]
    follower.api.store.delete(PODS, "d/a", {})
    assert follower.until(Op.DELETE, "d/a").version == follower.api.store.version
    assert follower.tally.events >= 5
    assert follower.tally.size_bytes > 500


@IN_BOTH
def test_a_watch_that_ends_is_resumed_and_misses_nothing(follower: Follower) -> None:
    """Every API server restart and every time-out looks like this."""
    follower.follow()
    follower.until(Op.SYNCED)
    follower.api.store.create(PODS, pod("c"))
    follower.until(Op.UPSERT, "d/c")
    follower.api.end_watches()
    follower.api.store.create(PODS, pod("e"))
    follower.until(Op.UPSERT, "d/e")
    assert follower.api.count("sync") == 1
    assert follower.tally.notes == []


@IN_BOTH
@pytest.mark.parametrize(
    "act",
    [refuse(410, "Expired"), error_event(410, "Expired")],
    ids=["status", "event"],
)
def test_an_expired_version_is_read_anew_and_missed_deletes_are_said(
    follower: Follower, act: Act
) -> None:
    """In a status line and in an ERROR event alike; the same version is never asked for again."""
    follower.follow()
    follower.until(Op.SYNCED)
    follower.api.fail("watch", act)
    follower.api.store.create(PODS, pod("c"))
    follower.until(Op.UPSERT, "d/c")
    with follower.api.store.changed:
        follower.api.store.delete(PODS, "d/a", {})
        follower.api.store.compact()
        follower.api.end_watches()
    follower.until(Op.RELISTED)
    assert follower.view == follower.truth()
    assert "d/a" not in follower.view
    assert Note.RELIST in follower.tally.notes
    versions = [seen.query["resourceVersion"] for seen in follower.api.seen if seen.verb == "watch"]
    assert len(versions) == len(set(versions))


FAULTS: dict[str, Act] = {
    "cut": cut,
    "tear": cut_mid_line,
    "torn end": end_mid_line,
    "end": end,
    "error event": error_event(500, "InternalError"),
    "garbage": send(b"not json\n"),
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "ServiceUnavailable"),
    "401": refuse(401, "Unauthorized"),
    "403": refuse(403, "Forbidden"),
}


@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
@pytest.mark.parametrize("verb", ["sync", "watch"])
def test_one_fault_costs_one_wait_and_no_object(verb: str, *, protobuf: bool) -> None:
    """The common faults, before and after the first reading; all at once, because each waits."""
    with contextlib.ExitStack() as stack:
        followers: list[Follower] = []
        for act in FAULTS.values():
            api = stack.enter_context(FakeKubeApi(protobuf=protobuf))
            api.store.create(PODS, pod("a"))
            api.store.create(PODS, pod("b"))
            api.fail(verb, act)
            session = stack.enter_context(contextlib.closing(api.session()))
            followers.append(Follower(api, session))
            stack.callback(followers[-1].follow().stop)
        for follower in followers:
            follower.until(Op.SYNCED)
            follower.api.end_watches()
            follower.api.store.create(PODS, pod("c"))
        for follower in followers:
            follower.await_view()
            follower.api.store.delete(PODS, "d/b", {})
        for name, follower in zip(FAULTS, followers, strict=True):
            follower.await_view()
            assert len(follower.api.seen) <= 6, name
            assert follower.tally.notes == [], name
        torn = followers[list(FAULTS).index("torn end")]
        assert torn.tally.failures[0][0] == ("TornFrame" if protobuf else "TornLine")


@IN_BOTH
def test_a_reading_that_breaks_in_the_middle_starts_over(follower: Follower) -> None:
    """Half of the initial events came; what they said is true, what they did not say is open."""
    follower.api.fail("sync", cut_mid_line, after=1)
    follower.follow()
    assert follower.take().key == "d/a"
    follower.api.store.delete(PODS, "d/a", {})
    follower.until(Op.SYNCED)
    assert follower.view == follower.truth()
    assert follower.api.count("watch") == 0


@IN_BOTH
def test_retry_after_is_slept_out_in_one_request(follower: Follower) -> None:
    """The HTTP library must not sleep and retry by itself: nothing could interrupt it."""
    follower.api.fail("sync", refuse(429, "TooManyRequests", headers={"Retry-After": "2"}))
    follower.follow()
    follower.until(Op.SYNCED)
    first, second = [seen.at for seen in follower.api.seen if seen.verb == "sync"]
    assert second - first >= 2.0
    assert follower.tally.failures[0][0] == "ApiThrottled"


def test_what_fails_is_told_once_for_each_reason_and_in_the_servers_words(
    follower: Follower,
) -> None:
    """A server that comes back after an outage and lets us in no more is another trouble."""
    follower.api.fail("sync", refuse(503, "ServiceUnavailable"))
    follower.api.fail("sync", refuse(403, "Forbidden"), times=2)
    follower.follow()
    follower.until(Op.SYNCED)
    assert len(follower.tally.failures) == 3
    assert [said.split()[1:3] for said in follower.tally.news] == [
        [f"{PODS}:", "503"],
        [f"{PODS}:", "403"],
    ]


def test_silence_is_noticed_and_the_watch_resumed(follower: Follower) -> None:
    """A half-open connection never says that it is dead."""
    follower.api.fail("watch", hang)
    follower.follow(idle_timeout_s=0.3)
    follower.until(Op.SYNCED)
    follower.api.end_watches()
    follower.await_requests("watch", 2)
    follower.api.store.create(PODS, pod("c"))
    follower.until(Op.UPSERT, "d/c")
    assert follower.tally.failures == []


@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
def test_a_server_without_initial_events_is_paged(*, protobuf: bool) -> None:
    """1,001 objects are three pages; the watch begins at the list's version."""
    with FakeKubeApi(initial_events=False, protobuf=protobuf) as api:
        for number in range(1001):
            api.store.create(PODS, pod(f"p{number:04}"))
        session = api.session()
        follower = Follower(api, session, size=5000)
        informer = follower.follow()
        follower.until(Op.SYNCED)
        assert follower.view == follower.truth()
        assert [seen.query.get("limit") for seen in api.seen if seen.verb == "list"] == ["500"] * 3
        api.store.create(PODS, pod("new"))
        follower.until(Op.UPSERT, "d/new")
        assert follower.tally.notes == [Note.FALLBACK]
        assert informer.stop()
        session.close()


@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
def test_a_stream_of_many_gzip_members_is_read_to_its_end(*, protobuf: bool) -> None:
    """A server of 1.37, or a proxy, compresses each flush by itself; some clients read but one."""
    with FakeKubeApi(protobuf=protobuf, compressed=True) as api:
        for number in range(50):
            api.store.create(PODS, pod(f"p{number}"))
        with contextlib.closing(api.session()) as session:
            follower = Follower(api, session)
            informer = follower.follow()
            follower.until(Op.SYNCED)
            assert follower.view == follower.truth()
            api.store.create(PODS, pod("new"))
            follower.until(Op.UPSERT, "d/new")
            assert follower.tally.failures == []
            assert informer.stop()


def test_odd_lines_are_counted_and_the_stream_goes_on(follower: Follower) -> None:
    """Trap 23, on the wire: blank lines, unknown events, and one object that nobody can decode."""
    follower.follow()
    follower.until(Op.SYNCED)
    store = follower.api.store
    store.inject(PODS, b"\n")
    store.inject(PODS, orjson.dumps({"type": "RESHARDED", "object": {}}) + b"\n")
    meta = {"name": "odd", "namespace": "d", "uid": "u", "resourceVersion": str(store.version)}
    odd = {"type": "ADDED", "object": {"metadata": meta, "spec": {"nodeName": 1}}}
    store.inject(PODS, orjson.dumps(odd) + b"\n")
    store.create(PODS, pod("c"))
    follower.until(Op.UNDECODABLE, "d/odd")
    follower.until(Op.UPSERT, "d/c")
    assert follower.tally.notes == [Note.ODD_EVENT, Note.UNDECODABLE]
    assert len(follower.api.seen) == 1


@IN_BOTH
def test_reports_are_asked_for_by_metadata_alone(follower: Follower) -> None:
    """A body of megabytes must not come to the watcher."""
    body = {"metadata": {"name": "r", "namespace": "d"}, "report": {"big": "x" * 10000}}
    follower.api.store.create(REPORTS, body)
    follower.follow("vulnerabilityreports")
    change = follower.until(Op.UPSERT, "d/r")
    assert isinstance(change.object, PartialObject)
    assert change.object.metadata.generation == 1
    follower.until(Op.SYNCED)
    assert "as=PartialObjectMetadata" in follower.api.seen[0].accept
    assert follower.tally.size_bytes < 2000


def test_each_refused_encoding_is_followed_by_the_next_and_the_last_is_kept(
    follower: Follower,
) -> None:
    """Aggregated API servers may know neither protobuf nor metadata alone."""
    follower.api.store.create(REPORTS, {"metadata": {"name": "r", "namespace": "d"}})
    follower.api.fail("sync", refuse(406, "NotAcceptable"))
    follower.api.fail("sync", refuse(415, "UnsupportedMediaType"))
    follower.api.fail("sync", error_event(410, "Expired"))
    follower.follow("vulnerabilityreports")
    follower.until(Op.UPSERT, "d/r")
    follower.until(Op.SYNCED)
    asked = [seen.accept for seen in follower.api.seen]
    assert [each.partition(";")[0] for each in asked] == [PROTOBUF, JSON, JSON, JSON]
    assert ["as=PartialObjectMetadata" in each for each in asked] == [True, True, False, False]
    assert follower.tally.notes == [Note.FALLBACK, Note.FALLBACK, Note.RELIST]


def test_a_refusal_is_that_resources_alone(follower: Follower) -> None:
    """Where custom resources are served by another server, Pods still come in protobuf."""
    follower.api.fail("sync", refuse(406, "NotAcceptable"))
    follower.follow("vulnerabilityreports")
    follower.until(Op.SYNCED)
    follower.follow("pods")
    follower.until(Op.SYNCED)
    assert follower.api.seen[-1].path == PODS
    assert follower.api.seen[-1].accept == PROTOBUF


def test_after_the_server_went_away_the_refused_encoding_is_asked_for_again(
    follower: Follower,
) -> None:
    """What comes back may be a newer version, which can do it."""
    follower.api.fail("sync", refuse(406, "NotAcceptable"))
    follower.follow("pods")
    follower.until(Op.SYNCED)
    follower.api.end_watches()
    follower.await_requests("watch", 1)
    assert [seen.verb for seen in follower.api.seen] == ["sync", "sync", "list", "watch"]
    assert [seen.accept for seen in follower.api.seen] == [PROTOBUF, JSON, PROTOBUF, PROTOBUF]
    follower.api.store.create(PODS, pod("c"))
    follower.until(Op.UPSERT, "d/c")


def test_an_answer_in_json_is_read_whatever_was_asked_for(follower: Follower) -> None:
    """A server that knows no protobuf may say 200 all the same; its header says what came."""
    follower.follow("pods")
    follower.until(Op.SYNCED)
    assert follower.api.seen[0].accept == PROTOBUF
    assert follower.view == follower.truth()
    assert follower.tally.notes == []


def test_a_scope_is_asked_of_the_server(follower: Follower) -> None:
    """Filtering here would cost the traffic of the whole cluster."""
    follower.api.store.create(PODS, pod("x", "other"))
    follower.api.store.create(PODS, pod("skipped", "d", skip="yes"))
    follower.follow(scope=Scope(namespace="d", label_selector="!skip", field_selector="f=1"))
    follower.until(Op.SYNCED, "d")
    assert set(follower.view) == {"d/a", "d/b"}
    seen = follower.api.seen[0]
    assert seen.path == "/api/v1/namespaces/d/pods"
    assert (seen.query["labelSelector"], seen.query["fieldSelector"]) == ("!skip", "f=1")


def test_first_readings_take_turns(follower: Follower) -> None:
    """Two at once: ten bursts together would delay every stream and fill the memory."""
    follower.api.fail("sync", hang, times=2)
    for resource in ("pods", "jobs", "nodes"):
        follower.follow(resource)
    follower.await_requests("sync", 2)
    third = follower.informers[2]
    assert not third.synced
    assert follower.changes.empty()
    follower.informers[0].stop()
    assert follower.until(Op.SYNCED).resource == "nodes"


def test_a_full_queue_holds_the_stream_and_loses_nothing(
    api: FakeKubeApi, session: Session
) -> None:
    """A slow consumer must not fill the memory: the kernel and the server hold the rest."""
    for number in range(50):
        api.store.create(PODS, pod(f"p{number}"))
    follower = Follower(api, session, size=1)
    informer = follower.follow()
    while not follower.changes.full():
        threading.Event().wait(0.01)
    threading.Event().wait(0.5)  # longer than the informer waits for room at a time
    follower.until(Op.SYNCED)
    assert len(follower.view) == 52
    assert informer.stop()


class Opening:
    """A source that something happens to while it opens a stream, which is silent until closed."""

    content_type = "application/json"

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.meanwhile: Callable[[], None] = self.closed.clear

    def stream(
        self, path: str, *, query: Sequence[tuple[str, str]], accept: str, idle_timeout_s: float
    ) -> Self:
        """Open a list; initial events are not known here."""
        if ("sendInitialEvents", "true") in query:
            raise api_error(Call(verb="GET", path=path), 422, Status())
        self.meanwhile()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        assert self.closed.wait(DEADLINE_S)
        return iter(())

    def close(self) -> None:
        """End it."""
        self.closed.set()


class TestStop:
    """However it waits, a thread ends at once."""

    def stop(self, informer: Informer) -> None:
        """Stop; a second is far more than it may take."""
        started = time.monotonic()
        assert informer.stop(5.0)
        assert time.monotonic() - started < 1.0
        assert not informer.alive

    def test_while_a_stream_is_silent(self, follower: Follower) -> None:
        """The usual case."""
        informer = follower.follow()
        follower.until(Op.SYNCED)
        self.stop(informer)

    def test_while_it_waits_after_a_failure(self, follower: Follower) -> None:
        """Two minutes of Retry-After must not hold a rollout."""
        follower.api.fail("sync", refuse(429, "X", headers={"Retry-After": "120"}))
        informer = follower.follow()
        follower.await_requests("sync", 1)
        self.stop(informer)

    def test_while_the_queue_is_full(self, api: FakeKubeApi, session: Session) -> None:
        """The consumer may have ended first."""
        follower = Follower(api, session, size=1)
        informer = follower.follow()
        follower.await_requests("sync", 1)
        self.stop(informer)

    def test_while_it_waits_for_its_turn(self, follower: Follower) -> None:
        """The others may read for minutes."""
        follower.outlet.turns.acquire()
        follower.outlet.turns.acquire()
        informer = follower.follow()
        self.stop(informer)
        assert follower.api.seen == []

    def test_while_a_page_comes(self, follower: Follower) -> None:
        """A page of megabytes over a slow line."""
        follower.api.fail("sync", refuse(422, "Invalid"))
        follower.api.fail("list", hang)
        informer = follower.follow()
        follower.await_requests("list", 1)
        self.stop(informer)
        assert [follower.outlet.turns.acquire(blocking=False) for _ in range(2)] == [True, True]

    def test_while_it_opens_a_stream(self, api: FakeKubeApi, session: Session) -> None:
        """There is nothing to close yet when the stop comes: the thread must look again."""
        opening = Opening()
        follower = Follower(api, session)
        informer = Informer(ROWS[0], Scope(), source=opening, outlet=follower.outlet)
        opening.meanwhile = informer.signal_stop
        informer.start()
        assert opening.closed.wait(5.0)
        self.stop(informer)

    def test_before_it_started(self, api: FakeKubeApi, session: Session) -> None:
        """A start that failed half-way is cleaned up all the same."""
        follower = Follower(api, session)
        informer = Informer(ROWS[0], Scope(), source=session, outlet=follower.outlet)
        assert informer.stop()

    def test_a_fleet_ends_together(self, api: FakeKubeApi, session: Session) -> None:
        """Twelve threads, one deadline."""
        changes: queue.Queue[Change] = queue.Queue(100)
        fleet = Fleet(session, changes, Tally())
        fleet.start((row, Scope()) for row in ROWS)
        ends = 0
        while ends < len(ROWS):
            ends += changes.get(timeout=DEADLINE_S).op is Op.SYNCED
        assert fleet.synced
        assert fleet.alive
        assert len(fleet.informers) == len(ROWS)
        started = time.monotonic()
        assert fleet.stop()
        assert time.monotonic() - started < 1.0
        assert not fleet.alive
