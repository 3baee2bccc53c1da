"""The proxy between Trivy and the match server: sees the keys, keeps the token, bridges a gap."""

from __future__ import annotations

import contextlib
import http.client
import threading
from pathlib import Path

import pytest

from common.model.errors import TransientError
from tests.fakes.web import Asked, Say, web
from worker.evidence.image import recorder as recorder_module
from worker.evidence.image.match_process import free_port
from worker.evidence.image.recorder import Recorder

SCAN = "/twirp/trivy.scanner.v1.Scanner/Scan"
BODY = (Path(__file__).parents[1] / "golden/trivy/scan_request.bin").read_bytes()
PROTOBUF = {"Content-Type": "application/protobuf", "Trivy-Token": "forged", "X-Other": "1"}


def call(
    url: str, method: str, path: str, body: bytes = b"", *, times: int = 1
) -> list[tuple[int, bytes, str]]:
    """Make calls on one connection; return status, content and content type of each."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    found = []
    try:
        for _ in range(times):
            connection.request(method, path, body or None, PROTOBUF)
            reply = connection.getresponse()
            found.append((reply.status, reply.read(), reply.headers.get("Content-Type", "")))
    finally:
        connection.close()
    return found


def echo(asked: Asked) -> Say:
    """Answer with what was sent."""
    return Say(body=asked.body, headers={"Content-Type": "application/protobuf"})


def test_calls_pass_unchanged_and_the_keys_are_kept() -> None:
    """Trivy must not notice, and the recording is what later matches live on."""
    with web(echo) as server, Recorder(server.url) as recorder:
        (answer,) = call(recorder.url, "POST", SCAN, BODY)
        assert answer == (200, BODY, "application/protobuf")
        recording = recorder.recording()
    assert len(recording.blob_ids) == 4
    assert server.asked[0].headers["content-type"] == "application/protobuf"


def test_the_token_is_added_here_and_nobody_elses_passes() -> None:
    """The process that reads foreign images never holds it."""
    with web(echo) as server, Recorder(server.url, token="t0ken") as recorder:  # noqa: S106 - made up
        call(recorder.url, "GET", "/version")
    assert server.asked[0].headers["trivy-token"] == "t0ken"
    assert "x-other" not in server.asked[0].headers


def test_calls_of_one_run_share_a_connection() -> None:
    """A run makes a call per layer."""
    with web(echo) as server, Recorder(server.url) as recorder:
        call(recorder.url, "POST", "/twirp/trivy.cache.v1.Cache/PutBlob", b"x", times=4)
    assert len({asked.connection for asked in server.asked}) == 1


def test_errors_of_the_server_pass_too() -> None:
    """Trivy words them, and we know its words."""
    with (
        web(lambda _: Say(status=401, body=b'{"code":"unauthenticated"}')) as server,
        Recorder(server.url) as recorder,
    ):
        assert call(recorder.url, "POST", SCAN, BODY)[0][0] == 401


def test_a_run_that_never_asked_has_no_recording() -> None:
    """An inventory without keys could never be matched."""
    with (
        web(echo) as server,
        Recorder(server.url) as recorder,
        pytest.raises(TransientError) as caught,
    ):
        recorder.recording()
    assert caught.value.reason == "NothingRecorded"


def test_a_request_that_cannot_be_read_is_said_so() -> None:
    """The next Trivy may change its protocol; storing nothing would hide that."""
    with web(echo) as server, Recorder(server.url) as recorder:
        call(recorder.url, "POST", SCAN, b"\xff\xff")
        with pytest.raises(TransientError) as caught:
            recorder.recording()
    assert caught.value.reason == "ScanRequestUnreadable"


def test_a_restart_of_the_server_is_bridged() -> None:
    """Trivy's client would fail the whole inventory within milliseconds."""
    port = free_port("127.0.0.1", 0)
    answers: list[int] = []
    with Recorder(f"http://127.0.0.1:{port}") as recorder:
        waiting = threading.Thread(
            target=lambda: answers.append(call(recorder.url, "POST", SCAN, BODY)[0][0])
        )
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        with web(echo, port=port):
            waiting.join(20)
            assert answers == [200]


def test_a_server_that_stays_away_is_told_in_trivys_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A permanent Twirp error: Trivy would repeat an `unavailable` for half a minute."""
    monkeypatch.setattr(recorder_module, "RESTART_WAIT_S", 0.2)
    with Recorder(f"http://127.0.0.1:{free_port('127.0.0.1', 0)}") as recorder:
        status, content, _ = call(recorder.url, "POST", SCAN, BODY)[0]
    assert status == 500
    assert b'"internal"' in content


def test_a_server_that_hangs_does_not_hold_the_job() -> None:
    """The run was killed at its deadline; its recorder must go with it."""
    reached, release = threading.Event(), threading.Event()

    def hang(_: Asked) -> Say:
        reached.set()
        release.wait(30)
        return Say()

    def ask(url: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            call(url, "GET", "/version")

    with web(hang) as server:
        with Recorder(server.url) as recorder:
            waiting = threading.Thread(target=ask, args=(recorder.url,))
            waiting.start()
            assert reached.wait(10)
        waiting.join(10)
        assert not waiting.is_alive()
        release.set()


@pytest.mark.parametrize("size", ["-1", str(1 << 40)])
def test_a_body_beyond_reason_is_refused(size: str) -> None:
    """The proxy reads bodies into memory."""
    with web(echo) as server, Recorder(server.url) as recorder:
        connection = http.client.HTTPConnection(recorder.url.removeprefix("http://"), timeout=30)
        try:
            connection.putrequest("POST", SCAN)
            connection.putheader("Content-Length", size)
            connection.endheaders()
            assert connection.getresponse().status == 413
        finally:
            connection.close()
    assert server.asked == []
