"""A layer's way: its end is held back until it is right, breaks are bridged, credentials stay."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import Message

import pytest

from common.model.errors import (
    DamagedImageError,
    ImageNotFoundError,
    SluiceError,
    SourceUnavailableError,
    TransferDamagedError,
    UnauthorizedError,
)
from common.model.refs import parse_reference
from tests.fakes.web import Asked, Say, web
from worker.evidence.image.access import Access
from worker.evidence.image.parts import LayerPart
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.registry_http import Opened
from worker.scanner.layer_stream import LayerStream

CONTENT = bytes(range(256)) * 4096  # four chunks
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
LAYER = LayerPart(digest=DIGEST, size=len(CONTENT), diff_id=DIGEST)


class Broken(io.BytesIO):
    """A body that ends by an error instead of its end."""

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; raise where nothing is left."""
        piece = super().read(size)
        if not piece:
            raise self._error
        return piece


def opened(body: io.BytesIO, status: int = 200, **headers: str) -> Opened:
    """Return an answer."""
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Opened(status=status, headers=message, body=body)


Script = Callable[[tuple[int, int] | None], Opened]


@dataclass
class FakeBlobs:
    """Answers one request after another."""

    scripts: Sequence[Script]
    asked: list[tuple[int, int] | None] = field(default_factory=list)

    def open(self, digest: str, part: tuple[int, int] | None = None) -> Opened:
        """Answer as scripted."""
        assert digest == DIGEST
        self.asked.append(part)
        return self.scripts[len(self.asked) - 1](part)


def whole(_: tuple[int, int] | None) -> Opened:
    return opened(io.BytesIO(CONTENT))


def announcing(size: int | str) -> Script:
    """Return an answer of `size` bytes, as far as it says."""
    return lambda _: opened(io.BytesIO(CONTENT), Content_Length=str(size))


def rest(part: tuple[int, int] | None) -> Opened:
    assert part is not None
    return opened(io.BytesIO(CONTENT[part[0] :]), 206, Content_Range=f"bytes {part[0]}-{part[1]}/9")


def broken(size: int, error: Exception | None = None) -> Script:
    """Return an answer that ends after `size` bytes, silently or by an error."""
    body = io.BytesIO(CONTENT[:size]) if error is None else Broken(CONTENT[:size], error)
    return lambda _: opened(body)


def read(*scripts: Script, layer: LayerPart = LAYER) -> tuple[bytes, FakeBlobs]:
    """Read the layer to its end."""
    blobs = FakeBlobs(scripts)
    stream = LayerStream(blobs, [layer], limit_bytes=0)
    return b"".join(stream.read(layer, ended=lambda: False)), blobs


def failing(error: type[SluiceError], *scripts: Script, layer: LayerPart = LAYER) -> bytes:
    """Return what came before the error."""
    came = io.BytesIO()
    stream = LayerStream(FakeBlobs(scripts), [layer], limit_bytes=0)
    with pytest.raises(error):
        came.writelines(stream.read(layer, ended=lambda: False))
    return came.getvalue()


def test_a_layer_comes_whole() -> None:
    """In one request."""
    content, blobs = read(whole)
    assert content == CONTENT
    assert blobs.asked == [None]


@pytest.mark.parametrize("error", [None, OSError("reset"), TimeoutError("silent")])
def test_a_break_is_bridged(error: Exception | None) -> None:
    """The bytes that came are not fetched again."""
    content, blobs = read(broken(300_000, error), rest)
    assert content == CONTENT
    assert blobs.asked == [None, (300_000, len(CONTENT) - 1)]


def test_a_registry_that_knows_no_parts_sends_all_again() -> None:
    """The known bytes are read over; the digest covers both halves."""
    content, _ = read(broken(300_000), whole)
    assert content == CONTENT


def test_a_registry_that_always_breaks_off_is_given_up() -> None:
    """Three connections; the last piece that came is never passed on."""
    came = failing(TransferDamagedError, broken(300_000), broken(300_000), broken(300_000))
    assert len(came) < 300_000


def test_a_registry_that_falls_silent_is_unavailable_not_damaged() -> None:
    """Its circuit counts it, and no image is called damaged for it."""
    silent = [broken(0, TimeoutError("silent")) for _ in range(3)]
    failing(SourceUnavailableError, *silent)


def test_the_end_of_a_wrong_layer_is_never_passed_on() -> None:
    """Who unpacks it meets a cut, and keeps nothing of it."""
    wrong = b"x" + CONTENT[1:]
    came = failing(TransferDamagedError, lambda _: opened(io.BytesIO(wrong)))
    assert 0 < len(came) < len(CONTENT)


def test_a_length_that_the_manifest_does_not_know_is_refused_at_once() -> None:
    """Neither less nor more is the layer; nor is a number that Python would not read."""
    for size in (1, len(CONTENT) + 1, "9" * 5_000):
        assert failing(TransferDamagedError, announcing(size)) == b""


@pytest.mark.parametrize("begins", ["900000", "9" * 5_000])
def test_a_part_that_begins_elsewhere_is_refused(begins: str) -> None:
    """A gap would be found by the digest only after all of it was read."""

    def elsewhere(part: tuple[int, int] | None) -> Opened:
        assert part is not None
        return opened(io.BytesIO(b"x"), 206, Content_Range=f"bytes {begins}-900001/2")

    failing(TransferDamagedError, broken(300_000), elsewhere)


def test_a_missing_layer_is_named() -> None:
    """The image is incomplete at its source."""

    def missing(_: tuple[int, int] | None) -> Opened:
        raise ImageNotFoundError("the registry does not know it")

    failing(ImageNotFoundError, missing)


def test_a_layer_without_bytes_is_none() -> None:
    """A manifest of somebody's own making."""
    failing(DamagedImageError, whole, layer=LayerPart(digest=DIGEST, size=0, diff_id=DIGEST))


def test_nothing_is_fetched_for_who_left() -> None:
    """A run that was stopped must not drain a registry."""
    blobs = FakeBlobs([whole])
    stream = LayerStream(blobs, [LAYER], limit_bytes=0)
    assert len(b"".join(stream.read(LAYER, ended=lambda: True))) < len(CONTENT)


def access(address: str) -> Access:
    return Access(mirrored_name=f"{address}/team/app", plain=False, verify=True)


def config(address: str, password: str = "opener") -> bytes:  # noqa: S107 - made up
    pair = base64.b64encode(f"bob:{password}".encode()).decode()
    return json.dumps({"auths": {address: {"auth": pair}}}).encode()


def test_a_redirection_to_a_store_elsewhere_goes_without_the_credential() -> None:
    """Registries hand layers out from storage whose address carries its own permission."""
    with web(lambda _: Say(body=CONTENT)) as store:

        def redirecting(asked: Asked) -> Say:
            if "authorization" not in asked.headers:
                return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            return Say(status=307, headers={"Location": f"{store.url}/layer?sig=1"})

        with web(redirecting) as server:
            reference = parse_reference(f"{server.address}/team/app@{DIGEST}")
            blobs = HttpRegistry().blobs(
                reference, config(server.address), access=access(server.address)
            )
            stream = LayerStream(blobs, [LAYER], limit_bytes=0)
            assert b"".join(stream.read(LAYER, ended=lambda: False)) == CONTENT
    assert [("authorization" in asked.headers) for asked in store.asked] == [False]


def test_a_token_that_ran_out_is_asked_for_again_and_once_only() -> None:
    """Layers of a large image come for longer than a token lasts."""
    valid = ["t1"]

    def registry(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            return Say(body=json.dumps({"token": valid[0]}).encode())
        if asked.headers.get("authorization") == f"Bearer {valid[0]}":
            return Say(body=CONTENT)
        realm = f'Bearer realm="http://{asked.headers["host"]}/token",service="s"'
        return Say(status=401, headers={"WWW-Authenticate": realm})

    with web(registry) as server:
        reference = parse_reference(f"{server.address}/team/app@{DIGEST}")
        blobs = HttpRegistry().blobs(reference, None, access=access(server.address))
        for token in ("t1", "t2"):
            valid[0] = token
            with blobs.open(DIGEST).body as body:
                assert body.read() == CONTENT
        tokens = [path for path in server.paths() if "/token" in path]
        assert len(tokens) == 2


def test_a_refused_credential_is_shown_once() -> None:
    """Some registries lock an account after a few failures."""
    refusing = Say(status=401, headers={"WWW-Authenticate": "Basic"})
    with web(lambda _: refusing) as server:
        reference = parse_reference(f"{server.address}/team/app@{DIGEST}")
        for given, requests in ((config(server.address), 2), (None, 1)):
            server.asked.clear()
            blobs = HttpRegistry().blobs(reference, given, access=access(server.address))
            with pytest.raises(UnauthorizedError):
                blobs.open(DIGEST)
            assert len(server.asked) == requests
