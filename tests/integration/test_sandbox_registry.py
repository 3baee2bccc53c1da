"""The sandbox's registry is a real one, counts what is asked of it, and fails on request."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import oci, upload
from sandbox.accesslog import AccessLog, Request, count, read_access_log
from sandbox.faults import Answer, Cut, Hang, Login, Slow
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.proxy import Proxy
from sandbox.registry import Registry
from tests.fixtures_sandbox import Programs
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def app(registry: Registry) -> str:
    """Push an image of 1 MiB under a fresh repository and return the repository's name."""
    repository = f"test-{secrets.token_hex(4)}/app"
    layer = oci.layer({"data": secrets.token_bytes(1 << 20)}, "test")
    with upload.Registry(registry.address) as target:
        target.push(repository, oci.image([layer]), "1")
    return repository


def get(
    registry: Registry, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask the registry as a plain client does."""
    connection = connect(registry.address)
    try:
        connection.request(method, path, headers={"User-Agent": "test", **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def manifest(repository: str) -> str:
    """Return the path of a repository's manifest."""
    return f"/v2/{repository}/manifests/1"


def test_crane_pulls_what_was_pushed(
    registry: Registry, app: str, programs: Programs, tmp_path: Path
) -> None:
    """Bodies pass the proxy unchanged, whole layers too, or digests would not match."""
    for arguments in (
        ("pull", f"{registry.address}/{app}:1", str(tmp_path / "pulled.tar")),
        ("push", str(tmp_path / "pulled.tar"), f"{registry.address}/{app}:2"),
        ("validate", "--remote", f"{registry.address}/{app}:2"),
    ):
        subprocess.run([programs["crane"], *arguments], check=True, capture_output=True)
    listed = get(registry, f"/v2/{app}/tags/list")[2]
    assert b'"1"' in listed
    assert b'"2"' in listed


def test_every_request_is_logged_with_what_it_got(registry: Registry, app: str) -> None:
    """The product's own counts are checked against this."""
    mark = registry.mark()
    _, _, body = get(registry, manifest(app))
    (request,) = registry.requests(since=mark)
    assert (request.method, request.status, request.bytes) == ("GET", 200, len(body))
    assert (request.repository, request.kind) == (app, "manifest")
    assert request.user_agent == "test"
    assert request.fault == ""


class LateLog(AccessLog):
    """Looks, a moment after it was called, whether the client has its answer already."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.answered = threading.Event()
        self.came_after_the_answer: bool | None = None

    def add(self, request: Request) -> None:
        """Give a client that was answered already the time to notice."""
        self.came_after_the_answer = self.answered.wait(0.2)
        super().add(request)


def test_a_request_is_logged_before_its_answer_is_sent(
    registry: Registry, app: str, tmp_path: Path
) -> None:
    """A test that counts right after a scan must not race the proxy."""
    log = LateLog(tmp_path / "log")
    with Place() as place:
        port = place.port()
        proxy = Proxy(port, registry._backend_port, log)
        proxy.start()
        with contextlib.closing(connect(f"127.0.0.1:{port}")) as client:
            client.request("GET", manifest(app))
            assert client.getresponse().status == 200
            log.answered.set()
        proxy.stop()
    assert log.came_after_the_answer is False


def test_a_head_counts_no_bytes(registry: Registry, app: str) -> None:
    """Its Content-Length speaks of a body that is not sent."""
    mark = registry.mark()
    status, headers, body = get(registry, manifest(app), method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0
    assert headers["Docker-Content-Digest"].startswith("sha256:")
    assert [request.bytes for request in registry.requests(since=mark)] == [0]


def test_the_log_file_says_what_memory_says(registry: Registry, app: str) -> None:
    """The demo counts from another process."""
    get(registry, manifest(app))
    in_memory = [request for request in registry.requests() if request.repository == app]
    in_file = read_access_log(registry.access_log)
    assert [request for request in in_file if request.repository == app] == in_memory
    assert count(in_memory, kind="manifest") >= 2


def test_a_repository_that_is_not_there_is_404(registry: Registry) -> None:
    """The real registry answers, not the proxy."""
    status, _, body = get(registry, manifest("test-none/none"))
    assert status == 404
    assert b"NAME_UNKNOWN" in body


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_told_status_is_answered_so_many_times(registry: Registry, app: str, status: int) -> None:
    """Retries end in success, and the log tells fault from answer."""
    mark = registry.mark()
    headers = {"Retry-After": "7"}
    with registry.fail(Answer(status=status, headers=headers), times=2, repository=app) as rule:
        answers = [get(registry, manifest(app)) for _ in range(3)]
    assert [answer[0] for answer in answers] == [status, status, 200]
    assert answers[0][1]["Retry-After"] == "7"
    assert b'"errors"' in answers[0][2]
    assert rule.hits == 2
    assert [r.fault for r in registry.requests(since=mark)] == ["Answer", "Answer", ""]


def test_a_fault_leaves_other_repositories_alone(registry: Registry, app: str) -> None:
    """Tests share the registry."""
    with registry.fail(Answer(status=500), repository="test-other/*"):
        assert get(registry, manifest(app))[0] == 200


def test_a_login_lets_in_who_knows_it(registry: Registry, app: str) -> None:
    """Private images are pulled with the workload's own secret."""
    with registry.fail(Login(username="ann", password="pw"), repository=app):  # noqa: S106
        status, headers, _ = get(registry, manifest(app))
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="sandbox"')
        assert get(registry, manifest(app), Authorization="Basic YW5uOnB3")[0] == 200


def test_a_cut_body_is_shorter_than_announced(registry: Registry, app: str) -> None:
    """Clients must notice that a layer is not whole."""
    mark = registry.mark()
    with (
        registry.fail(Cut(after_bytes=10), repository=app, kind="manifest"),
        pytest.raises(http.client.IncompleteRead) as caught,
    ):
        get(registry, manifest(app))
    assert len(caught.value.partial) == 10
    (request,) = registry.requests(since=mark)
    assert (request.fault, request.bytes) == ("Cut", 10)


def test_a_hanging_request_is_cut_when_its_rule_ends(registry: Registry, app: str) -> None:
    """Deadlines are tested against a registry that says nothing at all."""
    failed: list[Exception] = []

    def ask() -> None:
        try:
            get(registry, manifest(app))
        except (http.client.HTTPException, OSError) as error:
            failed.append(error)

    client = threading.Thread(target=ask)
    with registry.fail(Hang(), repository=app) as rule:
        client.start()
        assert eventually(lambda: rule.hits == 1)
        assert not failed
    client.join(PATIENCE_S)
    assert isinstance(failed[0], http.client.RemoteDisconnected)
    assert get(registry, manifest(app))[0] == 200


def test_a_slow_answer_is_still_the_answer(registry: Registry, app: str) -> None:
    """A distant registry is not a broken one."""
    mark = registry.mark()
    with registry.fail(Slow(delay_s=0.05), repository=app, times=1):
        assert get(registry, manifest(app))[0] == 200
    assert [request.fault for request in registry.requests(since=mark)] == ["Slow"]


def test_heal_ends_every_rule(registry: Registry, app: str) -> None:
    """The demo breaks the registry by hand and mends it."""
    registry.fail(Answer(status=500), repository=app)
    registry.fail(Answer(status=429), repository=app)
    assert get(registry, manifest(app))[0] == 500
    registry.heal()
    assert get(registry, manifest(app))[0] == 200


@pytest.fixture
def own_place() -> Iterator[Place]:
    """Give a place for registries that are stopped."""
    with Place() as place:
        yield place


def test_a_stop_ends_clients_that_hang_or_idle(own_place: Place, programs: Programs) -> None:
    """Connections that are kept alive must not keep a test run from ending."""
    with Stack() as stack:
        own = Registry(own_place, programs, stack).start()
        with contextlib.ExitStack() as clients:
            idle, hanging = (
                clients.enter_context(contextlib.closing(each))
                for each in (connect(own.address), connect(own.address))
            )
            silent = clients.enter_context(contextlib.closing(connect(own.address)))
            silent.connect()
            idle.request("GET", "/v2/")
            assert idle.getresponse().read() == b""
            rule = own.fail(Hang())
            hanging.request("GET", "/v2/")
            assert eventually(lambda: rule.hits == 1)
            own.stop()
            with pytest.raises(ConnectionResetError):
                hanging.getresponse()


def connect(address: str) -> http.client.HTTPConnection:
    """Return a client's connection."""
    return http.client.HTTPConnection(address, timeout=PATIENCE_S)


def test_blobs_outlive_a_restart_on_the_same_port(own_place: Place, programs: Programs) -> None:
    """Pods name images by address; manifests are in crane's memory, so they are pushed again."""
    image = oci.image([oci.layer({"a": "b"}, "test")])
    with Stack() as stack:
        own = Registry(own_place, programs, stack).start()
        address = own.address
        push(own, image)
        own.stop()
        mark = own.start().mark()
        push(own, image)
        assert own.address == address
        methods = [r.method for r in own.requests(since=mark) if r.kind == "blob"]
        assert set(methods) == {"HEAD"}


def push(registry: Registry, image: oci.Image) -> None:
    """Push an image."""
    with upload.Registry(registry.address) as target:
        target.push("app", image, "1")


def test_a_registry_that_died_is_a_bad_gateway(own_place: Place, programs: Programs) -> None:
    """Clients get an answer that they retry, not a hang."""
    with Stack() as stack:
        own = Registry(own_place, programs, stack).start()
        own._program.kill()
        assert get(own, "/v2/")[0] == 502
