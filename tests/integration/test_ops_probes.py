"""Probes: the small HTTP server, over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from common.model.errors import PreconditionError
from common.ops import probes
from common.ops.probes import Asked, Page, ProbeServer, health_route, metrics_route
from tests.waiting import eventually

pytestmark = pytest.mark.integration

_problems: dict[str, str] = {}


def broken() -> Page:
    """Fail, as a page with a bug does."""
    raise RuntimeError("the table is gone")


def failing() -> Iterator[bytes]:
    """Fail in the middle."""
    yield b"x" * 100_000
    raise RuntimeError("the table is gone")


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    """Serve one page of each sort."""
    registry = CollectorRegistry()
    Counter("sluice_runs", "Runs.", registry=registry)
    _problems.clear()
    routes = {
        "/metrics": metrics_route(registry),
        "/readyz": health_route({"redis": lambda: _problems.get("redis", "")}),
        "/healthz": health_route({}),
        "/": lambda: Page(body=b"<h1>sluice</h1>", content_type="text/html"),
        "/broken": broken,
        "/long": lambda: Page(
            body=b"first\n", rest=(b"%07d\n" % number for number in range(50_000))
        ),
        "/cut": lambda: Page(body=b"first\n", rest=failing()),
    }
    with ProbeServer("127.0.0.1", 0, routes) as made:
        yield made


def get(server: ProbeServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Return status, content type and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 # loopback HTTP
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_port_zero_picks_a_free_port_and_tells_it(server: ProbeServer) -> None:
    """Several processes on one machine must not fight for 8080."""
    assert server.port > 0
    assert get(server, "/healthz")[0] == 200


def test_metrics_are_served_in_prometheus_text_format(server: ProbeServer) -> None:
    """The scraper decides by the content type."""
    status, content_type, body = get(server, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "sluice_runs_total 0.0" in body


def test_a_failing_check_makes_the_probe_fail_and_is_named(server: ProbeServer) -> None:
    """Who looks at a pod that is not ready must see why."""
    assert get(server, "/readyz")[::2] == (200, "redis: ok\n")
    _problems["redis"] = "does not answer"
    assert get(server, "/readyz")[::2] == (503, "redis: does not answer\n")


def test_a_long_page_is_sent_while_it_is_made(server: ProbeServer) -> None:
    """The findings of 275,000 reports are hundreds of megabytes: they must not stand in memory."""
    url = f"http://127.0.0.1:{server.port}/long"
    with urllib.request.urlopen(url, timeout=5) as answer:  # loopback HTTP
        assert answer.headers["Transfer-Encoding"] == "chunked"
        lines = answer.read().splitlines()
    assert (lines[0], lines[-1], len(lines)) == (b"first", b"0049999", 50_001)


@pytest.mark.parametrize("version", [b" HTTP/1.0", b""])
def test_a_long_page_goes_to_a_reader_that_knows_no_chunks(
    server: ProbeServer, version: bytes
) -> None:
    """HTTP 1.0, and 0.9: the end of the connection is the end of the page."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /long" + version + b"\r\n\r\n")
        with connection.makefile("rb") as file:
            text = file.read()
    head, _, body = text.partition(b"\r\n\r\n") if version else (b"", b"", text)
    assert b"chunked" not in head
    assert body.startswith(b"first\n")
    assert body.endswith(b"\n0049999\n")
    assert body.count(b"\n") == 50_001


def test_a_long_page_that_fails_is_seen_to_be_cut(server: ProbeServer) -> None:
    """A scraper that took half of it for the whole would see findings vanish."""
    url = f"http://127.0.0.1:{server.port}/cut"
    with (
        urllib.request.urlopen(url, timeout=5) as answer,  # loopback HTTP
        pytest.raises(http.client.IncompleteRead),
    ):
        answer.read()


@pytest.mark.parametrize("path", ["/healthz/", "/readyz/", "/readyz?verbose=1"])
def test_probes_of_trivy_operators_chart_work_unchanged(server: ProbeServer, path: str) -> None:
    """Its chart asks for `/readyz/` and `/healthz/`."""
    assert get(server, path)[0] == 200


def test_an_unknown_page_is_404_and_a_broken_one_500(server: ProbeServer) -> None:
    """One broken page must not take the probes down with it."""
    assert get(server, "/nothing")[0] == 404
    status, _, body = get(server, "/broken")
    assert status == 500
    assert "the table is gone" not in body
    assert get(server, "/healthz")[0] == 200


def test_head_answers_without_a_body(server: ProbeServer) -> None:
    """Load balancers ask with HEAD."""
    assert get(server, "/metrics", method="HEAD")[::2] == (200, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(server: ProbeServer, method: str) -> None:
    """These ports are read-only by contract."""
    assert get(server, "/", method=method)[0] == 501


def test_a_taken_port_is_a_precondition_with_a_remedy(server: ProbeServer) -> None:
    """`Address already in use` alone does not say what to do."""
    with pytest.raises(PreconditionError, match="port 0 for a free one"):
        ProbeServer("127.0.0.1", server.port, {})


def test_an_ipv6_host_works() -> None:
    """Single-stack IPv6 clusters exist."""
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    try:
        server = ProbeServer("::1", 0, {"/healthz": health_route({})})
    except PreconditionError:
        pytest.skip("this system has no IPv6 loopback")
    with server:
        socket.create_connection(("::1", server.port), timeout=5).close()


def test_a_closed_server_frees_its_port() -> None:
    """A restart in the same process binds the same address again."""
    first = ProbeServer("127.0.0.1", 0, {})
    port = first.port
    first.close()
    with ProbeServer("127.0.0.1", port, {}) as second:
        assert second.port == port


def test_a_client_that_goes_away_does_no_harm(server: ProbeServer) -> None:
    """A kubelet that times out closes without reading."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(b"GET /metr")
    assert get(server, "/healthz")[0] == 200


# --- clients that take their time


def silent(server: ProbeServer) -> socket.socket:
    """Open a connection, and say half of what one wants."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    return client


def test_silent_connections_hold_up_nobody(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody in the cluster can open thousands; each would cost a thread of the watcher's."""
    monkeypatch.setattr(probes, "_CONNECTION_S", 3_600.0)  # not the deadline ends them
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(silent(server)) for _ in range(150)]
        assert get(server, "/healthz")[0] == 200
        assert eventually(lambda: threading.active_count() <= before + 64)
        assert clients[0].recv(1) == b""  # who came first had the longest time
        clients[-1].sendall(b"\r\n")
        assert clients[-1].recv(12) == b"HTTP/1.1 200"
    assert eventually(lambda: threading.active_count() <= before)


def test_a_request_that_comes_byte_by_byte_ends(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte would begin the deadline anew if it were one of single reads."""
    monkeypatch.setattr(probes, "_CONNECTION_S", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.settimeout(0.02)
        ended, until_s = False, time.monotonic() + 60
        for byte in itertools.cycle(b"GET /healthz HTTP/1.1 and so on "):
            assert time.monotonic() < until_s
            with contextlib.suppress(TimeoutError):
                try:
                    client.sendall(bytes([byte]))
                    ended = client.recv(100) == b""
                except ConnectionError:
                    ended = True
            if ended:
                break
    assert ended


def test_a_connection_on_which_nothing_comes_ends(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are no others that need its place."""
    monkeypatch.setattr(probes, "_CONNECTION_S", 0.3)
    with silent(server) as client:
        assert client.recv(1) == b""


def test_a_reader_that_takes_its_time_loses_its_place(
    server: ProbeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece every nine seconds is in time for each, and hours for a page of some hundred MB."""
    monkeypatch.setattr(probes, "_ANSWER_S", -1.0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET /long HTTP/1.1\r\n\r\n")
        with client.makefile("rb") as file:
            text = file.read()
    assert b"chunked" in text
    assert not text.endswith(b"\r\n0\r\n\r\n")  # it knows that it has not all


def test_a_request_of_megabytes_is_not_kept(server: ProbeServer) -> None:
    """Sixty of them, a hundred long lines each, would end a watcher of 256 MB."""
    line = b"X: " + b"y" * 30_000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n" + line * 3)
        assert client.recv(12) == b"HTTP/1.1 431"  # before the end of it came


def test_a_request_with_many_cookies_is_answered(server: ProbeServer) -> None:
    """A browser sends those of every program that ever stood on `localhost`."""
    cookies = b"Cookie: " + b"y" * 50_000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n" + cookies + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"


def test_who_is_being_answered_keeps_the_place() -> None:
    """Metrics of a big cluster take seconds; a crowd at the door must not cut them."""
    began, crowded = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        began.set()
        assert crowded.wait(60)
        yield b"the end"

    routes = {"/slow": lambda: Page(body=b"begin ", rest=slow()), "/healthz": health_route({})}
    with (
        ProbeServer("127.0.0.1", 0, routes) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as reader,
        contextlib.ExitStack() as stack,
    ):
        reader.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert began.wait(30)
        clients = [stack.enter_context(silent(server)) for _ in range(100)]
        assert clients[0].recv(1) == b""
        crowded.set()
        found = b""
        while piece := reader.recv(65_536):
            found += piece
    assert found.endswith(b"begin the end")


def test_a_site_is_asked_with_path_query_and_host() -> None:
    """What a page needs of a request, and nothing else."""
    asked: list[Asked] = []

    class Noting:
        paths = ("/",)

        def __call__(self, each: Asked) -> Page:
            asked.append(each)
            return Page(body=b"x", headers=(("X-One", "1"),))

    with ProbeServer("127.0.0.1", 0, Noting()) as server:
        host = f"127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"http://{host}/a%2Fb?q=1&r", timeout=5) as answer:
            assert answer.headers["X-One"] == "1"
    assert asked == [Asked(path="/a%2Fb", query="q=1&r", host=host)]
