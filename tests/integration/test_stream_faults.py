"""Faults of streams over real HTTP, against a server that misbehaves.

The table in docs/watcher.md ("When a stream fails") names the test of each of its rows.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from kubernetes.client.configuration import Configuration

from common.kube.connect import Connector
from common.kube.session import Session
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import Act, Exchange, error_event, refuse
from tests.integration.test_stream_informer import PODS, Follower, pod
from tests.waiting import eventually
from watcher.stream.change import Op
from watcher.stream.signals import Note

pytestmark = pytest.mark.integration


@pytest.fixture
def api() -> Iterator[FakeKubeApi]:
    """Give a server with two Pods."""
    with FakeKubeApi() as fake:
        fake.store.create(PODS, pod("a"))
        fake.store.create(PODS, pod("b"))
        yield fake


@pytest.fixture
def follower(api: FakeKubeApi) -> Iterator[Follower]:
    """Give a follower of it; every informer must end quickly."""
    with contextlib.closing(api.session()) as session:
        follower = Follower(api, session)
        yield follower
        for informer in follower.informers:
            assert informer.stop(5.0)


class TestGone:
    """410, in every form that servers and proxies give it."""

    FORMS: dict[str, Act] = {  # noqa: RUF012 # only read
        "status": refuse(410, "Expired"),
        "event": error_event(410, "Expired"),
        "older name": error_event(410, "Gone"),
        "code lost": error_event(0, "Expired"),
        "both lost but the older name": error_event(0, "Gone"),
    }

    @pytest.mark.parametrize("form", FORMS)
    def test_everything_is_read_again_and_missed_deletions_are_found(
        self, follower: Follower, form: str
    ) -> None:
        """A proxy may lose the code; the reason stays."""
        follower.follow()
        follower.until(Op.SYNCED)
        follower.api.fail("watch", self.FORMS[form])
        with follower.api.store.changed:
            follower.api.store.delete(PODS, "d/a", {})
            follower.api.store.compact()
            follower.api.end_watches()
        follower.until(Op.RELISTED)
        assert set(follower.view) == {"d/b"}
        assert Note.RELIST in follower.tally.notes
        assert follower.api.count("sync") == 2

    def test_pages_that_expire_are_read_from_the_first_in_larger_ones(self) -> None:
        """The token in the 410's body is of another picture: changes in between would be missed."""
        with FakeKubeApi(initial_events=False) as api:
            for number in range(600):
                api.store.create(PODS, pod(f"p{number:03}"))
            with contextlib.closing(api.session()) as session:
                follower = Follower(api, session, size=2000)
                api.fail("list", _expired_after_the_first(api), times=2)
                informer = follower.follow()
                follower.until(Op.SYNCED)
                assert informer.stop()
        asked = [seen.query for seen in api.seen if seen.verb == "list"]
        assert [query.get("limit") for query in asked] == ["500", "500", "2000"]
        assert ["continue" in query for query in asked] == [False, True, False]
        assert len(follower.view) == 600


def _expired_after_the_first(api: FakeKubeApi) -> Act:
    """Return what answers the first page, and refuses the token of the second one."""

    def act(exchange: Exchange) -> None:
        if "continue" in exchange.seen.query:
            refuse(410, "Expired")(exchange)
        else:
            exchange.reply(*api._answer(exchange.seen))

    return act


class TestRetryAfter:
    """The server says when."""

    @pytest.mark.parametrize(
        "act",
        [
            refuse(429, "TooManyRequests", headers={"Retry-After": "2"}),
            refuse(503, "ServiceUnavailable", headers={"Retry-After": "2"}),
            error_event(429, "TooManyRequests", retryAfterSeconds=2),
            error_event(500, "InternalError", retryAfterSeconds=2),
        ],
        ids=["429", "503", "429 in an event", "500 in an event"],
    )
    def test_it_is_waited_for(self, follower: Follower, act: Act) -> None:
        """Coming earlier makes an overload worse."""
        follower.api.fail("watch", act)
        follower.follow()
        follower.until(Op.SYNCED)
        follower.api.end_watches()
        follower.await_requests("watch", 2)
        first, second = [seen.at for seen in follower.api.seen if seen.verb == "watch"]
        assert second - first >= 2.0
        assert follower.tally.notes == [], "the version is as good as before"


class TestVersions:
    """A version that the server does not have yet, or never will."""

    @pytest.mark.parametrize(
        "act",
        [
            refuse(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}]),
            error_event(504, "Timeout"),
        ],
        ids=["status", "event"],
    )
    def test_one_from_the_future_is_asked_for_again(self, follower: Follower, act: Act) -> None:
        """Another server of the same cluster lags behind for a moment."""
        follower.api.fail("watch", act, times=2)
        follower.follow()
        follower.until(Op.SYNCED)
        follower.api.end_watches()
        follower.await_requests("watch", 3)
        asked = [seen for seen in follower.api.seen if seen.verb == "watch"]
        assert len({seen.query["resourceVersion"] for seen in asked}) == 1
        assert all(later.at - seen.at >= 1.0 for seen, later in pairwise(asked))
        follower.api.store.create(PODS, pod("c"))
        follower.until(Op.UPSERT, "d/c")
        assert follower.tally.notes == []


def _refused() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class TestAway:
    """No answer at all."""

    @pytest.mark.parametrize(
        "place",
        [_refused, lambda: "http://no-such-host.invalid", None],
        ids=["refused", "unknown host", "no TLS"],
    )
    def test_a_server_that_cannot_be_reached_is_tried_again(
        self, follower: Follower, place: Callable[[], str] | None
    ) -> None:
        """The thread lives, the tries are counted, and a stop does not wait for the next one."""
        host = place() if place else follower.api.url.replace("http:", "https:")

        def load(settings: Configuration) -> None:
            settings.host = host

        with contextlib.closing(Session(Connector(context="x", load=load))) as session:
            follower.session = session
            informer = follower.follow()
            assert eventually(lambda: len(follower.tally.failures) >= 2)
            assert informer.alive
            assert informer.stop(5.0)
        assert {reason for reason, _, _ in follower.tally.failures} == {"SourceUnavailable"}
        assert [number for _, number, _ in follower.tally.failures][:2] == [1, 2]

    def test_a_server_that_restarts_is_found_again_at_its_address(self) -> None:
        """Connections break, then are refused for a while; then the version is still good."""
        first = FakeKubeApi()
        first.store.create(PODS, pod("a"))
        with contextlib.ExitStack() as stack:
            with first:
                session = stack.enter_context(contextlib.closing(first.session()))
                follower = Follower(first, session)
                informer = follower.follow()
                follower.until(Op.SYNCED)
            assert eventually(lambda: follower.tally.failures)
            second = stack.enter_context(FakeKubeApi(instead_of=first))
            stack.callback(informer.stop)
            second.store.create(PODS, pod("b"))
            second.store.delete(PODS, "d/a", {})
            follower.until(Op.DELETE, "d/a")
        assert set(follower.view) == {"d/b"}
        assert second.count("sync") == 0


PLUGIN = """
import json, pathlib
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                  "status": {"token": pathlib.Path(__file__).with_suffix(".token").read_text()}}))
"""


class TestCredentials:
    """They are rotated while streams are open."""

    @pytest.mark.parametrize("plugin", [False, True], ids=["token file", "exec plugin"])
    def test_a_rotated_token_costs_a_stream_nothing(
        self, follower: Follower, tmp_path: Path, *, plugin: bool
    ) -> None:
        """The official client keeps a plugin's dead token until its stated expiry, or for ever."""
        token = tmp_path / "login.token"
        token.write_text("old")
        follower.api.tokens = {"old"}
        session = (
            _plugin_session(tmp_path, follower.api)
            if plugin
            else _token_session(token, follower.api)
        )
        with contextlib.closing(session):
            follower.session = session
            informer = follower.follow()
            follower.until(Op.SYNCED)
            token.write_text("new")
            follower.api.tokens = {"new"}
            follower.api.end_watches()
            follower.api.store.create(PODS, pod("c"))
            follower.until(Op.UPSERT, "d/c")
            assert informer.stop(5.0)
        assert follower.tally.failures == []
        assert follower.tally.notes == []

    def test_a_token_that_nobody_takes_is_a_failure_like_any_other(
        self, follower: Follower, tmp_path: Path
    ) -> None:
        """The watcher is not ready then, and does not hammer the server."""
        token = tmp_path / "login.token"
        token.write_text("dead")
        follower.api.tokens = {"good"}
        with contextlib.closing(_token_session(token, follower.api)) as session:
            follower.session = session
            informer = follower.follow()
            assert eventually(lambda: len(follower.tally.failures) >= 2)
            assert not informer.synced
            follower.api.tokens = {"dead"}
            follower.until(Op.SYNCED)
            assert informer.stop(5.0)
        assert {reason for reason, _, _ in follower.tally.failures} == {"Unauthorized"}


def _token_session(path: Path, api: FakeKubeApi) -> Session:
    def load(settings: Configuration) -> None:
        settings.host = api.url
        settings.api_key["BearerToken"] = f"Bearer {path.read_text()}"

    return Session(Connector(context="token", load=load))


def _plugin_session(folder: Path, api: FakeKubeApi) -> Session:
    plugin = folder / "login.py"
    plugin.write_text(PLUGIN)
    command = {"command": sys.executable, "args": [str(plugin)]}
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", **command}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"exec": exec_}}],
    }
    path = folder / "kubeconfig"
    path.write_bytes(orjson.dumps(config))
    return Session.from_kubeconfig(str(path))


class TestForbidden:
    """403: the rules say no, perhaps for ever."""

    def test_other_resources_go_on(self, follower: Follower) -> None:
        """A cluster without one definition, or without one right, is watched all the same."""
        follower.api.fail("sync", refuse(403, "Forbidden"), times=2)
        denied = follower.follow("vulnerabilityreports")
        assert eventually(lambda: len(follower.tally.failures) == 2)
        follower.follow("pods")
        assert follower.until(Op.SYNCED).resource == "pods"
        assert not denied.synced
        assert follower.until(Op.SYNCED).resource == "vulnerabilityreports"
        assert [failure[:2] for failure in follower.tally.failures] == [
            ("Forbidden", 1),
            ("Forbidden", 2),
        ]


class TestOrder:
    """What a server of today does not do, and one of yesterday did."""

    def test_an_event_that_comes_twice_is_the_same_event(self, follower: Follower) -> None:
        """After a reconnect from a version before it."""
        follower.follow()
        follower.until(Op.SYNCED)
        follower.api.store.create(PODS, pod("c"))
        follower.until(Op.UPSERT, "d/c")
        again = follower.api.store.get(PODS, "d/c")
        follower.api.store.inject(PODS, _line("ADDED", again))
        follower.until(Op.UPSERT, "d/c")
        assert follower.view == follower.truth()
        assert follower.tally.notes == []

    @pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
    def test_an_older_event_makes_everything_be_read_again(
        self, follower: Follower, event: str
    ) -> None:
        """It may be of a predecessor: what was told last stands until the server says all."""
        follower.follow()
        follower.until(Op.SYNCED)
        old = follower.api.store.get(PODS, "d/a")
        follower.api.store.create(PODS, pod("c"))
        follower.until(Op.UPSERT, "d/c")
        follower.api.store.inject(PODS, _line(event, old))
        follower.until(Op.RELISTED)
        assert follower.view == follower.truth()
        assert follower.tally.notes == [Note.OUT_OF_ORDER, Note.RELIST]

    def test_a_deletion_that_never_came_is_found_by_the_next_reading(
        self, follower: Follower
    ) -> None:
        """Whatever made it be lost."""
        follower.follow()
        follower.until(Op.SYNCED)
        with follower.api.store.changed:
            del follower.api.store._objects[PODS]["d/a"]
        follower.api.fail("watch", refuse(410, "Expired"))
        follower.api.end_watches()
        follower.until(Op.RELISTED)
        assert set(follower.view) == {"d/b"}


def _line(event: str, found: object) -> bytes:
    return orjson.dumps({"type": event, "object": found}) + b"\n"


def test_a_fault_of_tls_is_none_of_the_threads(follower: Follower) -> None:
    """A certificate that ran out is renewed by somebody, some time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate: no handshake
    with socket.create_server(("127.0.0.1", 0)) as server:
        ending = threading.Event()
        thread = threading.Thread(target=_shake, args=(server, context, ending))
        thread.start()

        def load(settings: Configuration) -> None:
            settings.host = f"https://127.0.0.1:{server.getsockname()[1]}"

        with contextlib.closing(Session(Connector(context="x", load=load))) as session:
            follower.session = session
            informer = follower.follow()
            assert eventually(lambda: follower.tally.failures)
            assert informer.stop(5.0)
        ending.set()
        thread.join()
    assert follower.tally.failures[0][0] == "SourceUnavailable"


def _shake(server: socket.socket, context: ssl.SSLContext, ending: threading.Event) -> None:
    server.settimeout(0.1)
    while not ending.is_set():
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError, ssl.SSLError):
                context.wrap_socket(connection, server_side=True)
