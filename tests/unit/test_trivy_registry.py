"""References are resolved as registries want to be asked, and nothing is given away on the way."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from common.model.errors import (
    ImageNotFoundError,
    RateLimitedError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    UnauthorizedError,
)
from common.model.refs import parse_reference
from tests.fakes.web import Asked, Say, Script, Web, web
from worker.evidence.image import registry_connection
from worker.evidence.image.access import Accesses
from worker.evidence.image.match_process import free_port
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.registry_http import is_local, may_be_plain

DIGEST = "sha256:" + "ab" * 32
FOUND = Say(headers={"Docker-Content-Digest": DIGEST})
MANIFEST = b'{"schemaVersion": 2}'
MANIFEST_DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
DATE = "Wed, 25 Nov 2026 06:00:00 GMT"


def config(server: Web, user: str = "bob", password: str = "builder") -> bytes:  # noqa: S107 - made up
    """Return a docker config for the server."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {server.address: {"auth": pair}}}).encode()


def resolve(server: Web, docker_config: bytes | None = None, *, rest: str = "team/app:1.0") -> str:
    """Ask the server what a reference means."""
    reference = parse_reference(f"{server.address}/{rest}")
    return HttpRegistry().resolve(
        reference, docker_config, access=Accesses(insecure=False).of(reference)
    )


def test_a_tag_is_resolved_by_one_head() -> None:
    """HEAD is no pull where pulls are counted."""
    with web(lambda _: FOUND) as server:
        assert resolve(server) == DIGEST
    assert server.paths() == ["HEAD /v2/team/app/manifests/1.0"]
    accepted = server.asked[0].headers["accept"]
    assert "application/vnd.oci.image.index.v1+json" in accepted
    assert "application/vnd.docker.distribution.manifest.v2+json" in accepted


def test_a_digest_is_asked_for_too() -> None:
    """The answer proves that these credentials may pull it."""
    with web(lambda _: Say()) as server:
        assert resolve(server, rest=f"team/app@{DIGEST}") == DIGEST
    assert server.paths() == [f"HEAD /v2/team/app/manifests/{DIGEST}"]


@pytest.mark.parametrize(
    "head", [Say(status=405), Say(status=501), Say(), Say(headers={"Docker-Content-Digest": "x"})]
)
def test_where_head_does_not_tell_the_manifest_does(head: Say) -> None:
    """Old registries and odd proxies; the digest is that of the bytes."""
    with web(lambda asked: head if asked.method == "HEAD" else Say(body=MANIFEST)) as server:
        assert resolve(server) == MANIFEST_DIGEST
    assert [asked.method for asked in server.asked] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (401, UnauthorizedError, "Unauthorized"),
        (403, UnauthorizedError, "Unauthorized"),
        (404, ImageNotFoundError, "ImageNotFound"),
        (429, RateLimitedError, "RateLimited"),
        (500, SourceUnavailableError, "RegistryUnavailable"),
        (503, SourceUnavailableError, "RegistryUnavailable"),
        (418, TerminalError, "RegistryRefused"),
    ],
)
def test_every_refusal_has_its_class(status: int, error: type[SluiceError], reason: str) -> None:
    """The class decides about retries, probes and circuits."""
    with web(lambda _: Say(status=status)) as server, pytest.raises(error) as caught:
        resolve(server)
    assert (type(caught.value), caught.value.reason) == (error, reason)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1795586460"}, 3600.0),
        ({"Retry-After": "Wed, 25 Nov 2026 06:01:30 GMT", "Date": DATE}, 90.0),
        ({"Retry-After": "Wed, 25 Nov 2026 05:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_registry_asks_for_is_told(
    headers: Mapping[str, str], wait_s: float | None
) -> None:
    """Seconds, a date by its own clock, or a Unix time as Docker Hub has sent."""
    with (
        web(lambda _: Say(status=429, headers=headers)) as server,
        pytest.raises(RateLimitedError) as caught,
    ):
        resolve(server)
    assert caught.value.retry_after_s == wait_s


def test_basic_authentication_answers_a_challenge_only() -> None:
    """A password is sent to who asks for it, and once."""
    wanted = "Basic " + base64.b64encode(b"bob:builder").decode()

    def script(asked: Asked) -> Say:
        if asked.headers.get("authorization") == wanted:
            return FOUND
        return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    with web(script) as server:
        assert resolve(server, config(server)) == DIGEST
        assert "authorization" not in server.asked[0].headers
        assert len(server.asked) == 2
        with pytest.raises(UnauthorizedError):
            resolve(server)
        with pytest.raises(UnauthorizedError):
            resolve(server, config(server, password="wrong"))  # noqa: S106 - made up


def bearer(server: Callable[[], Web], *, token_status: int = 200) -> Script:
    """Return a registry with a token service of its own."""

    def script(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            return Say(status=token_status, body=b'{"token": "good"}')
        if asked.headers.get("authorization") == "Bearer good":
            return FOUND
        realm = f'Bearer realm="{server().url}/token",service="s",scope="repository:team/app:pull"'
        return Say(status=401, headers={"WWW-Authenticate": realm})

    return script


def test_bearer_tokens_are_fetched_and_sent() -> None:
    """Docker Hub and most others; anonymous pulls need one too."""
    running: list[Web] = []
    with web(bearer(lambda: running[0])) as server:
        running.append(server)
        assert resolve(server) == DIGEST
        assert resolve(server, config(server)) == DIGEST
    assert server.paths()[:3] == [
        "HEAD /v2/team/app/manifests/1.0",
        "GET /token?service=s&scope=repository%3Ateam%2Fapp%3Apull",
        "HEAD /v2/team/app/manifests/1.0",
    ]
    assert "authorization" not in server.asked[1].headers
    basic = "Basic " + base64.b64encode(b"bob:builder").decode()
    assert server.asked[4].headers["authorization"] == basic
    assert server.asked[5].headers["authorization"] == "Bearer good"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, UnauthorizedError), (429, RateLimitedError), (502, SourceUnavailableError)],
)
def test_a_token_service_refuses_in_the_registrys_name(
    status: int, error: type[SluiceError]
) -> None:
    """Wrong passwords show up there."""
    running: list[Web] = []
    with web(bearer(lambda: running[0], token_status=status)) as server:
        running.append(server)
        with pytest.raises(error):
            resolve(server, config(server))


@pytest.mark.parametrize(
    "realm", ["http://[bad", "http://127.0.0.1:1/\xe9", "http://127.0.0.1:x/", "http://a b/"]
)
def test_a_token_service_without_an_address_is_a_refusal(realm: str) -> None:
    """Whoever runs a registry writes it, and must not end a run that others wait for."""
    challenge = Say(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})
    with (
        web(lambda _: challenge) as server,
        pytest.raises((UnauthorizedError, SourceUnavailableError)),
    ):
        resolve(server)


@pytest.mark.parametrize(
    "token",
    [
        b'{"token": "a\\r\\nHost: b"}',
        b'{"token": "\\u20ac"}',
        b'{"token": "\xff"}',
        b'{"more": ' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_a_token_is_none(token: bytes) -> None:
    """It would stand in a header of ours, or end the run."""
    running: list[Web] = []

    def script(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            return Say(body=token)
        realm = f'Bearer realm="{running[0].url}/token"'
        return Say(status=401, headers={"WWW-Authenticate": realm})

    with web(script) as server:
        running.append(server)
        with pytest.raises(UnauthorizedError):
            resolve(server)
    assert len(server.asked) == 2


def test_a_redirection_leads_to_no_other_protocol() -> None:
    """Python's opener would speak FTP to whatever a registry names."""
    moved = Say(status=307, headers={"Location": "ftp://127.0.0.1:1/x"})
    with web(lambda _: moved) as server, pytest.raises(TerminalError, match="answers 307"):
        resolve(server)


@pytest.mark.parametrize("place", ["http://[bad", "http://127.0.0.1:x/", "ftp://127.0.0.1/"])
def test_a_redirection_to_no_address_is_no_answer(place: str) -> None:
    """Or a refusal: a domain error in any case."""
    moved = Say(status=307, headers={"Location": place})
    with (
        web(lambda _: moved) as server,
        pytest.raises((SourceUnavailableError, TerminalError)),
    ):
        resolve(server)


def test_a_length_without_end_is_none() -> None:
    """Python reads no number of more than 4,300 digits."""
    long = Say(body=MANIFEST, headers={"Content-Length": "9" * 5_000})
    with (
        web(lambda asked: Say(status=405) if asked.method == "HEAD" else long) as server,
        pytest.raises(SourceUnavailableError),  # more was announced than came
    ):
        resolve(server)


def test_a_redirection_is_followed_without_the_credential() -> None:
    """registry.k8s.io sends its clients to mirrors; a password must not go along."""
    with web(lambda _: FOUND) as mirror:

        def script(asked: Asked) -> Say:
            if "authorization" not in asked.headers:
                return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Say(status=307, headers={"Location": f"{mirror.url}{asked.path}"})

        with web(script) as server:
            assert resolve(server, config(server)) == DIGEST
    assert mirror.paths() == ["HEAD /v2/team/app/manifests/1.0"]
    assert "authorization" not in mirror.asked[0].headers


def test_who_a_registry_leads_to_gets_no_credential_by_asking_for_it() -> None:
    """Blobs lie in stores of others: one that challenges named a place of its own for passwords."""
    running: list[Web] = []

    def store(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            return Say(body=b'{"token": "t"}')
        realm = f'Bearer realm="{running[0].url}/token"'
        return Say(status=401, headers={"WWW-Authenticate": realm})

    with web(store) as other:
        running.append(other)
        moved = {"Location": f"{other.url}/blob"}
        with web(lambda _: Say(status=307, headers=moved)) as server:
            reference = parse_reference(f"{server.address}/team/app:1.0")
            blobs = HttpRegistry().blobs(
                reference, config(server), access=Accesses(insecure=False).of(reference)
            )
            for ask in (lambda: blobs.open(DIGEST), lambda: resolve(server, config(server))):
                with pytest.raises(UnauthorizedError):
                    ask()
    assert [asked.path for asked in other.asked] == ["/blob", "/blob"]
    assert all("authorization" not in asked.headers for asked in other.asked)


def test_a_token_that_ran_out_is_asked_for_again() -> None:
    """Some last for a minute: manifest and configuration need not fall into the same one."""
    running: list[Web] = []
    valid: list[str] = []

    def script(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            valid.append(f"t{len(valid)}")
            return Say(body=json.dumps({"token": valid[-1]}).encode())
        if valid and asked.headers.get("authorization") == f"Bearer {valid[-1]}":
            valid.append("")  # good for one answer
            return Say(body=documents[asked.path.rpartition("/")[2]])
        realm = f'Bearer realm="{running[0].url}/token"'
        return Say(status=401, headers={"WWW-Authenticate": realm})

    body = b'{"rootfs": {"diff_ids": []}}'
    name = f"sha256:{hashlib.sha256(body).hexdigest()}"
    image = json.dumps({"config": {"digest": name}, "layers": []}).encode()
    digest = f"sha256:{hashlib.sha256(image).hexdigest()}"
    documents = {digest: image, name: body}
    with web(script) as server:
        running.append(server)
        reference = parse_reference(f"{server.address}/team/app:1.0")
        seen = HttpRegistry().manifest(
            reference,
            digest,
            config=None,
            platform="linux-amd64",
            access=Accesses(insecure=False).of(reference),
        )
    assert seen.config_digest == name


def test_a_registry_that_trickles_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends a byte from time to time held a worker for as long as it liked."""
    monkeypatch.setattr(registry_connection, "_DOCUMENT_S", 0.5)
    with trickling() as address:
        reference = parse_reference(f"{address}/team/app:1.0")
        with pytest.raises(SourceUnavailableError, match="TimeoutError"):
            HttpRegistry().resolve(reference, access=Accesses(insecure=False).of(reference))


def test_a_layer_that_trickles_comes_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a whole one sees his deadline never: four such images stopped a scanner."""
    monkeypatch.setattr(registry_connection, "_PIECE_S", 0.1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with trickling(head) as address:
        reference = parse_reference(f"{address}/team/app:1.0")
        blobs = HttpRegistry().blobs(reference, access=Accesses(insecure=False).of(reference))
        with blobs.open(DIGEST).body as body:
            assert 0 < len(body.read(100_000)) < 100_000
            assert body.read(1) == b"H"


@contextmanager
def trickling(head: bytes = b"") -> Iterator[str]:
    """Give the address of a server that sends without end, slowly, after this."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.sendall(head)
                while not ended.wait(0.05):
                    client.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_credential_of_another_registry_is_never_sent() -> None:
    """A config may hold several."""
    entries = {"other.example": {"auth": base64.b64encode(b"eve:x").decode()}}
    other = json.dumps({"auths": entries}).encode()
    challenge = Say(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with web(lambda _: challenge) as server, pytest.raises(UnauthorizedError):
        resolve(server, other)
    assert all("authorization" not in asked.headers for asked in server.asked)


def test_a_refusal_that_breaks_off_is_still_a_refusal() -> None:
    """Its status came; half a page of HTML behind it must not crash the worker."""
    cut = Say(status=503, body=b"<html>", cut=True)

    def script(asked: Asked) -> Say:
        return Say(status=405) if asked.method == "HEAD" else cut

    with web(script) as server, pytest.raises(SourceUnavailableError, match="answers 503"):
        resolve(server)


@pytest.mark.parametrize("say", [Say(hang_up=True), Say(cut=True, body=MANIFEST)])
def test_a_broken_answer_is_an_unavailable_registry(say: Say) -> None:
    """Half a manifest must not become a digest."""

    def script(asked: Asked) -> Say:
        return Say(status=405) if asked.method == "HEAD" and say.cut else say

    with web(script) as server, pytest.raises(SourceUnavailableError) as caught:
        resolve(server)
    assert caught.value.reason == "RegistryUnavailable"


def test_nobody_listening_is_an_unavailable_registry() -> None:
    """The message names the host, and no stack of causes."""
    reference = parse_reference(f"127.0.0.1:{free_port('127.0.0.1', 0)}/a:1")
    with pytest.raises(SourceUnavailableError, match="does not answer: ConnectionRefusedError"):
        HttpRegistry().resolve(reference, access=Accesses(insecure=False).of(reference))


def test_an_endless_manifest_is_refused() -> None:
    """Memory is ours; four megabytes are what registries accept."""
    body = b"x" * (4 * 1024 * 1024 + 1)
    with (
        web(lambda asked: Say(status=405) if asked.method == "HEAD" else Say(body=body)) as server,
        pytest.raises(TerminalError) as caught,
    ):
        resolve(server)
    assert caught.value.reason == "ManifestTooLarge"


@pytest.mark.parametrize(
    ("registry", "local"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("registry.local:5000", True),
        ("127.0.0.1.evil.test", False),
        ("localhost.evil.test", False),
        ("r.example", False),
        ("index.docker.io", False),
    ],
)
def test_plain_http_needs_permission_unless_the_registry_is_here(
    registry: str, *, local: bool
) -> None:
    """The same rule as in Trivy's library; a look-alike name must not lower the guard."""
    assert is_local(registry) is local


@pytest.mark.parametrize(
    ("registry", "plain"),
    [
        ("10.1.2.3:5000", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.7.7:80", True),
        ("127.0.0.1:5000", True),
        ("127.0.0.2:5000", False),
        ("8.8.8.8", False),
        ("10.evil.test", False),
    ],
)
def test_private_networks_may_be_plain_as_for_trivy(registry: str, *, plain: bool) -> None:
    """Or an image there is pulled, and never resolved."""
    assert may_be_plain(registry) is plain


@pytest.mark.parametrize("status", [401, 403])
def test_who_has_no_credential_is_told_so(status: int) -> None:
    """Nobody looks for a pull secret that was refused where none was found."""
    with (
        web(lambda _: Say(status=status)) as server,
        pytest.raises(UnauthorizedError, match="there are none; no pull secret"),
    ):
        resolve(server)
