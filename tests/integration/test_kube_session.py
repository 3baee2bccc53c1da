"""The door to the API server over real HTTP: statuses, credentials, streams."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from kubernetes.client.configuration import Configuration

from common.kube import connect
from common.kube.connect import Connector
from common.kube.credentials import Credentials, PullSecret
from common.kube.errors import (
    DeniedError,
    IdleStreamError,
    NotFoundError,
    ThrottledError,
    TornStreamError,
    UnavailableError,
)
from common.kube.resources import Reports
from common.kube.session import Session
from common.model.errors import PreconditionError, SourceUnavailableError
from sandbox.certificates import Certificates, make
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import cut, cut_mid_line, hang, refuse

pytestmark = pytest.mark.integration

PODS = "/api/v1/pods"
WATCH = [("watch", "true"), ("resourceVersion", "100")]


@pytest.fixture
def api() -> Iterator[FakeKubeApi]:
    """Give a server."""
    with FakeKubeApi() as fake:
        yield fake


@pytest.fixture
def session(api: FakeKubeApi) -> Iterator[Session]:
    """Give a session without credentials."""
    with contextlib.closing(api.session()) as session:
        yield session


def token_session(api: FakeKubeApi, path: Path) -> Session:
    """Return a session whose token stands in a file, as a pod's does."""

    def load(settings: Configuration) -> None:
        settings.host = api.url
        settings.api_key["BearerToken"] = f"Bearer {path.read_text()}"

    return Session(Connector(context="test", load=load))


def authority(folder: Path) -> Certificates:
    """Make a CA and what it vouches for."""
    folder.mkdir()
    return make(folder, names=("IP:127.0.0.1",))


class _Empty(BaseHTTPRequestHandler):
    """Answers every GET with an empty object."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def tls_server(identity: Certificates) -> Iterator[str]:
    """Serve with the certificate; give the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.server_certificate, identity.server_key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestRequests:
    """One request, one answer."""

    def test_bytes_go_out_and_come_in(self, session: Session, api: FakeKubeApi) -> None:
        """No model, no dict: what the caller encoded is what the server gets."""
        body = b'{"metadata":{"name":"a","namespace":"d"},"spec":{"x":"\xc3\xa4 &?"}}'
        reply = session.request("POST", PODS, query=[("fieldManager", "a b&c")], body=body)
        assert reply.status == 201
        assert reply.headers["Content-Type"] == "application/json"
        assert orjson.loads(reply.body)["spec"] == {"x": "ä &?"}
        seen = api.seen[0]
        assert (seen.body, seen.query) == (body, {"fieldManager": "a b&c"})
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["user-agent"] == "kube-sluice"

    def test_a_status_becomes_an_error_with_the_servers_words(self, session: Session) -> None:
        """The caller reads the class, the operator the words."""
        with pytest.raises(NotFoundError, match=r"GET /api/v1/pods/x: 404 .*'x' not found"):
            session.request("GET", f"{PODS}/x")

    def test_retry_after_is_told_not_slept(self, session: Session, api: FakeKubeApi) -> None:
        """urllib3 would sleep 30 s three times where nothing can interrupt it."""
        api.fail("list", refuse(503, "X", headers={"Retry-After": "30"}))
        api.fail("list", refuse(429, "X", headers={"Retry-After": "7"}))
        with pytest.raises(UnavailableError) as unavailable:
            session.request("GET", PODS)
        with pytest.raises(ThrottledError) as throttled:
            session.request("GET", PODS)
        assert (unavailable.value.retry_after_s, throttled.value.retry_after_s) == (30.0, 7.0)
        assert api.count("list") == 2

    def test_a_redirect_is_not_followed(self, session: Session, api: FakeKubeApi) -> None:
        """It would carry the token to wherever it points."""
        api.fail("list", refuse(307, "X", headers={"Location": f"{api.url}/version"}))
        with pytest.raises(UnavailableError, match="307"):
            session.request("GET", PODS)
        assert len(api.seen) == 1

    def test_a_broken_connection_is_an_unavailable_source(
        self, session: Session, api: FakeKubeApi
    ) -> None:
        """No answer, no status: the class says what to do all the same."""
        api.fail("list", cut)
        with pytest.raises(SourceUnavailableError, match="GET /api/v1/pods"):
            session.request("GET", PODS)

    def test_a_server_that_is_not_there_is_an_unavailable_source(self) -> None:
        """A restart of the API server looks like this."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        def load(settings: Configuration) -> None:
            settings.host = f"http://127.0.0.1:{port}"

        with (
            contextlib.closing(Session(Connector(context="x", load=load))) as session,
            pytest.raises(SourceUnavailableError),
        ):
            session.request("GET", PODS)

    def test_silence_ends_with_the_time_out(self, session: Session, api: FakeKubeApi) -> None:
        """A worker must not wait for a half-dead server for ever."""
        api.fail("list", hang)
        started = time.monotonic()
        with pytest.raises(SourceUnavailableError):
            session.request("GET", PODS, timeout_s=0.2)
        assert time.monotonic() - started < 5.0

    def test_no_answer_about_a_report_has_a_body_and_every_write_our_name(
        self, session: Session, api: FakeKubeApi
    ) -> None:
        """A report may be megabytes, and `kubectl get --show-managed-fields` tells who wrote it."""
        reports = Reports(session)
        body = {"kind": "SbomReport", "metadata": {"name": "a", "namespace": "d"}, "report": {}}
        meta = reports.create(body)
        version = {**body, "metadata": {**body["metadata"], "resourceVersion": str(meta.version)}}  # type: ignore[dict-item] # two shapes in one literal
        meta = reports.replace({**version, "report": {"x": 1}})
        reports.patch_metadata(meta, {"metadata": {"labels": {"k": "v"}}})
        reports.get("SbomReport", "d", "a")
        assert all("as=PartialObjectMetadata" in seen.accept for seen in api.seen)
        assert [seen.query.get("fieldManager") for seen in api.seen] == ["kube-sluice"] * 3 + [None]

    def test_threads_share_a_session(self, session: Session, api: FakeKubeApi) -> None:
        """Workers and informers of one process have one pool."""
        codes: list[int] = []

        def ask() -> None:
            codes.extend(session.request("GET", PODS).status for _ in range(20))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [200] * 160


class TestCredentials:
    """Tokens change, and 401 says so."""

    def test_a_rotated_token_is_read_again_after_a_401(
        self, api: FakeKubeApi, tmp_path: Path
    ) -> None:
        """The caller sees no failure: a 401 means that nothing was done, so repeating is safe."""
        token = tmp_path / "token"
        token.write_text("old")
        api.tokens = {"old"}
        with contextlib.closing(token_session(api, token)) as session:
            session.request("GET", PODS)
            token.write_text("new")
            api.tokens = {"new"}
            assert session.request("GET", PODS).status == 200
            with session.stream(PODS, idle_timeout_s=5) as stream:
                assert b"".join(stream)
        assert [seen.headers["authorization"] for seen in api.seen] == [
            "Bearer old",
            "Bearer old",
            "Bearer new",
            "Bearer new",
        ]

    def test_a_dead_token_is_asked_for_again_once_and_never_shown(
        self, api: FakeKubeApi, tmp_path: Path
    ) -> None:
        """A credential plugin is a process: 30 threads with a 401 must not start 30 a second."""
        token = tmp_path / "token"
        token.write_text("hunter2")
        api.tokens = {"other"}
        with contextlib.closing(token_session(api, token)) as session:
            for _ in range(3):
                with pytest.raises(DeniedError) as denied:
                    session.request("GET", PODS)
        assert (denied.value.reason, denied.value.code) == ("Unauthorized", 401)
        assert "hunter2" not in str(denied.value)
        assert len(api.seen) == 4

    def test_a_new_authority_is_read_again_when_the_server_is_not_trusted(
        self, tmp_path: Path
    ) -> None:
        """A cluster whose CA was replaced: the kubeconfig or the Pod's volume has the new one."""
        old, new = (authority(tmp_path / name) for name in ("old", "new"))
        trusted = [old.ca, new.ca]
        with tls_server(new) as url:

            def load(settings: Configuration) -> None:
                settings.host = url
                settings.ssl_ca_cert = str(trusted.pop(0))

            with contextlib.closing(Session(Connector(context="test", load=load))) as session:
                assert session.request("GET", PODS).status == 200
                assert session.request("GET", PODS).status == 200
        assert not trusted

    def test_a_server_that_stays_untrusted_is_an_unavailable_source(self, tmp_path: Path) -> None:
        """And the files are not read for every request."""
        old, new = (authority(tmp_path / name) for name in ("old", "new"))
        loads: list[str] = []
        with tls_server(new) as url:

            def load(settings: Configuration) -> None:
                settings.host = url
                settings.ssl_ca_cert = str(old.ca)
                loads.append(url)

            with contextlib.closing(Session(Connector(context="test", load=load))) as session:
                for _ in range(3):
                    with pytest.raises(SourceUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                        session.request("GET", PODS)
        assert len(loads) == 2

    def test_forbidden_is_not_repeated(self, session: Session, api: FakeKubeApi) -> None:
        """Fresh credentials do not change the rules."""
        api.fail("list", refuse(403, "Forbidden"))
        with pytest.raises(DeniedError) as denied:
            session.request("GET", PODS)
        assert denied.value.reason == "Forbidden"
        assert len(api.seen) == 1

    def test_pull_secrets_and_accounts_are_read_by_name(
        self, session: Session, api: FakeKubeApi
    ) -> None:
        """What is not there is None: workloads name secrets before they exist."""
        meta = {"namespace": "d"}
        secret = {"metadata": {**meta, "name": "reg"}, "type": "t", "data": {"k": "aHVudGVyMg=="}}
        account = {"metadata": {**meta, "name": "run"}, "imagePullSecrets": [{"name": "reg"}]}
        api.store.create("/api/v1/secrets", secret)
        api.store.create("/api/v1/serviceaccounts", account)
        credentials = Credentials(session)
        assert credentials.pull_secret("d", "reg") == PullSecret(type="t", data={"k": b"hunter2"})
        assert credentials.pull_secret("d", "none") is None
        assert credentials.service_account("d", "run") == ("reg",)
        assert credentials.service_account("d", "none") is None


class TestStreams:
    """Bodies that come bit by bit."""

    def test_it_yields_what_came_and_ends_with_the_body(
        self, session: Session, api: FakeKubeApi
    ) -> None:
        """A clean end is no error."""
        api.store.create(PODS, {"metadata": {"name": "a", "namespace": "d"}})
        pieces: list[bytes] = []
        with session.stream(PODS, query=WATCH, idle_timeout_s=5) as stream:
            for piece in stream:
                pieces.append(piece)
                api.end_watches()
        assert orjson.loads(b"".join(pieces))["type"] == "ADDED"

    def test_a_status_is_an_error_before_anything_is_read(
        self, session: Session, api: FakeKubeApi
    ) -> None:
        """The same classes as for requests."""
        api.fail("watch", refuse(429, "X", headers={"Retry-After": "3"}))
        with pytest.raises(ThrottledError) as throttled:
            session.stream(PODS, query=WATCH, idle_timeout_s=5)
        assert throttled.value.retry_after_s == 3.0

    def test_a_body_that_breaks_is_torn(self, session: Session, api: FakeKubeApi) -> None:
        """A torn body must not look like its end."""
        api.fail("watch", cut_mid_line)
        with (
            session.stream(PODS, query=WATCH, idle_timeout_s=5) as stream,
            pytest.raises(TornStreamError, match="GET /api/v1/pods"),
        ):
            list(stream)

    def test_silence_is_told_apart_from_a_break(self, session: Session, api: FakeKubeApi) -> None:
        """It is resumed without a wait."""
        api.fail("watch", hang)
        with (
            session.stream(PODS, query=WATCH, idle_timeout_s=0.2) as stream,
            pytest.raises(IdleStreamError),
        ):
            list(stream)

    def test_another_thread_can_end_it(self, session: Session, api: FakeKubeApi) -> None:
        """A stop must not wait for the next bookmark."""
        api.fail("watch", hang)
        with session.stream(PODS, query=WATCH, idle_timeout_s=30) as stream:
            timer = threading.Timer(0.05, stream.close)
            timer.start()
            started = time.monotonic()
            assert list(stream) == []
            assert time.monotonic() - started < 5.0
            timer.join()
            stream.close()

    def test_a_body_of_known_length_is_read_too(self, session: Session, api: FakeKubeApi) -> None:
        """Small lists come with a length, large ones in chunks."""
        api.store.create(PODS, {"metadata": {"name": "a", "namespace": "d", "x": "y" * 200_000}})
        with session.stream(PODS, idle_timeout_s=5) as stream:
            pieces = list(stream)
        assert len(pieces) > 1
        assert len(orjson.loads(b"".join(pieces))["items"]) == 1


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "%s/"}}]
users:
- {name: static, user: {token: t-static}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: %s
      args: ["%s"]
contexts:
- {name: one, context: {cluster: c, user: static}}
- {name: two, context: {cluster: c, user: plugin}}
"""
PLUGIN = """
import json, pathlib
runs = pathlib.Path(__file__).with_suffix(".runs")
number = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (number + 1))
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                  "status": {"token": f"t-{number}"}}))
"""


@pytest.fixture
def kubeconfig(api: FakeKubeApi, tmp_path: Path) -> Path:
    """Return a kubeconfig with a static token and a credential plugin."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    path = tmp_path / "config"
    path.write_text(KUBECONFIG % (api.url, sys.executable, plugin))
    return path


class TestKubeconfig:
    """Configuration is the official client's business; ours is to find and reload it."""

    def test_the_current_context_is_used_unless_another_is_named(
        self, api: FakeKubeApi, kubeconfig: Path
    ) -> None:
        """As kubectl does it."""
        with contextlib.closing(Session.from_kubeconfig(str(kubeconfig))) as session:
            assert (session.context, session.host) == ("one", api.url)
            session.request("GET", PODS)
        with contextlib.closing(Session.auto(str(kubeconfig), "two")) as session:
            assert session.context == "two"
            session.request("GET", PODS)
        assert [seen.headers["authorization"] for seen in api.seen] == [
            "Bearer t-static",
            "Bearer t-0",
        ]

    def test_a_plugin_runs_again_after_a_401(self, api: FakeKubeApi, kubeconfig: Path) -> None:
        """The official client would keep the dead token until its stated expiry, or for ever."""
        api.tokens = {"t-1"}
        with contextlib.closing(Session.from_kubeconfig(str(kubeconfig), "two")) as session:
            assert session.request("GET", PODS).status == 200

    def test_an_unknown_context_is_named_with_those_that_exist(self, kubeconfig: Path) -> None:
        """A typing error is the usual cause."""
        with pytest.raises(PreconditionError, match="'three'; it has one, two"):
            Session.from_kubeconfig(str(kubeconfig), "three")

    def test_a_file_without_a_current_context_serves_a_named_one(
        self, api: FakeKubeApi, kubeconfig: Path
    ) -> None:
        """Tools write such files so that nobody hits a cluster by accident."""
        kubeconfig.write_text(kubeconfig.read_text().replace("current-context: one\n", ""))
        with contextlib.closing(Session.from_kubeconfig(str(kubeconfig), "one")) as session:
            assert session.request("GET", PODS).status == 200
        with pytest.raises(PreconditionError, match="current-context"):
            Session.from_kubeconfig(str(kubeconfig))

    def test_a_missing_file_is_named_with_the_remedy(self, tmp_path: Path) -> None:
        """The first thing that a new user sees."""
        with pytest.raises(PreconditionError, match=r"/none: no such file; .*--kubeconfig"):
            Session.from_kubeconfig(str(tmp_path / "none"))

    @pytest.mark.parametrize("context", [None, "", "one"])
    def test_a_variable_that_names_a_missing_file_is_told_as_that(
        self, monkeypatch: pytest.MonkeyPatch, context: str | None
    ) -> None:
        """A typing error in KUBECONFIG looked like a pod without a service account."""
        monkeypatch.setattr(connect, "KUBE_CONFIG_DEFAULT_LOCATION", "/nonexistent/config")
        with pytest.raises(
            PreconditionError, match=r"KUBECONFIG names /nonexistent/config.*unset it"
        ):
            Session.auto("", context)

    def test_outside_a_pod_there_is_no_account(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The same remedy; no KUBECONFIG, and nothing where the client looks without it."""
        monkeypatch.setattr(connect, "KUBE_CONFIG_DEFAULT_LOCATION", "~/.kube/config")
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(PreconditionError, match=r"in-cluster: [^.]*; .*KUBECONFIG"):
            Session.auto()


def test_the_models_of_the_official_client_are_never_imported() -> None:
    """They cost 20 MB and half a second; the session needs none of them."""
    code = (
        "import sys, common.kube.cluster, common.kube.events, watcher.stream.fleet;"
        "print(sum(name.startswith('kubernetes.client.models.v') for name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "0"
