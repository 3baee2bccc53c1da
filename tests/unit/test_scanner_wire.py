"""Worker and scanner understand each other, and survive when they do not."""

from __future__ import annotations

import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kube.errors import ThrottledError
from common.model import errors
from common.model.errors import (
    ApiThrottledError,
    RateLimitedError,
    ScannerDiedError,
    SluiceError,
    TransientError,
)
from common.model.image import Inventory, Os
from worker.evidence.image.access import Access
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.wire import (
    Done,
    Failed,
    Job,
    decode_answer,
    decode_job,
    failed,
    raised,
    receive_frame,
    send_frame,
)

JOB = Job(
    reference="r.example/a@sha256:0",
    access=Access(mirrored_name="r.example/a", plain=True, verify=False),
    platform="linux-amd64",
    options=ScanOptions(),
    server_url="http://127.0.0.1:1",
    deadline_s=1.5,
    docker_config=b'{"auths": {}}',
)
INVENTORY = Inventory(
    scanner_version="0.76.0",
    artifact_id="a",
    blob_ids=("b",),
    target="t",
    os=Os(),
    covered=True,
    has_packages=True,
    sbom={"components": [{"name": "x"}]},
)
CLASSES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SluiceError)
]


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    return ours, theirs


def test_jobs_and_answers_arrive_as_they_were_sent() -> None:
    """Bytes, tuples and numbers included."""
    ours, theirs = pair()
    with ours, theirs:
        send_frame(ours, JOB)
        assert decode_job(receive_frame(theirs, 10_000)) == JOB
        for answer in (Done(inventory=INVENTORY, seconds=1.25), failed(TransientError("x"))):
            send_frame(theirs, answer)
            assert decode_answer(receive_frame(ours, 10_000)) == answer


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: str(cls.__name__))
def test_every_domain_error_keeps_its_class_and_reason(cls: type[SluiceError]) -> None:
    """The class decides about retries; a class of the tree that got lost would decide wrongly."""
    sent = cls("it failed", reason="Special")
    received = raised(decode_failed(msgspec.json.encode(failed(sent))))
    assert type(received) is cls
    assert (str(received), received.reason) == ("it failed", "Special")


def decode_failed(body: bytes) -> Failed:
    """Return a failure that travelled."""
    answer = decode_answer(body)
    assert isinstance(answer, Failed)
    return answer


def test_a_wait_that_a_registry_asked_for_travels() -> None:
    """Otherwise Retry-After would end at the socket."""
    received = raised(failed(RateLimitedError("slow down", retry_after_s=42.0)))
    assert isinstance(received, RateLimitedError)
    assert received.retry_after_s == 42.0


def test_an_adapters_own_class_travels_as_the_class_of_the_tree() -> None:
    """The other side knows the tree only."""
    sent = ThrottledError("slow down")
    assert type(raised(failed(sent))) is ApiThrottledError


def test_a_class_of_a_newer_release_is_transient() -> None:
    """During a rollout worker and scanner may differ."""
    received = raised(Failed(error="BrandNewError", reason="BrandNew", message="x"))
    assert (type(received), received.reason) == (TransientError, "BrandNew")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"type": "job/v9"}', b'{"type": "done"}'])
def test_an_answer_of_another_release_says_so(body: bytes) -> None:
    """The remedy is one release for both."""
    with pytest.raises(ScannerDiedError, match="one release"):
        decode_answer(body)


def test_a_closed_connection_is_an_end_of_file() -> None:
    """Half a frame is none."""
    ours, theirs = pair()
    with ours:
        with theirs:
            theirs.sendall(b"\0\0\0\x09half")
        with pytest.raises(EOFError):
            receive_frame(ours, 100)


def test_a_frame_beyond_the_limit_is_not_read() -> None:
    """Four bytes must not be able to ask for four gigabytes."""
    ours, theirs = pair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(EOFError, match="limit is 100"):
            receive_frame(ours, 100)


@given(st.binary(max_size=2000))
def test_a_frame_is_received_whatever_its_bytes(body: bytes) -> None:
    """Length first, so that nothing in the body can end it early."""
    ours, theirs = pair()
    with ours, theirs:
        theirs.sendall(len(body).to_bytes(4, "big") + body)
        assert receive_frame(ours, 2000) == body
