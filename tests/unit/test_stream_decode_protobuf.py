"""Protobuf to signals, where protobuf is special; the rest is `contract/test_stream_codecs`."""

from __future__ import annotations

import pytest

from common.kube.errors import decode_status
from common.kube.protobuf.messages import MAGIC, message_class
from common.kube.wire import ContainerSpec, Pod, Workload
from tests.fakes.kube_protobuf import encode, event, page, wrap, wrapped
from watcher.stream.decode import GarbledError
from watcher.stream.decode_protobuf import ProtobufDecoder
from watcher.stream.signals import Added, At, Marked

AT = At(1000.0, 0.5)
PODS = ProtobufDecoder("Pod")
META = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}


def added(raw: bytes, decoder: ProtobufDecoder = PODS) -> Added:
    """Return what an event with that object says."""
    signal = decoder.event(event("ADDED", wrap("Pod", raw)), AT)
    assert isinstance(signal, Added)
    return signal


def test_a_time_that_no_calendar_has_makes_an_object_strange_and_ends_nothing() -> None:
    """Seconds are 64 bits, years four digits."""
    for seconds in (2**63 - 1, 253_402_300_800, -(2**63)):
        time = message_class("Time")()
        time.seconds = seconds  # type: ignore[attr-defined] # made at run time
        text = time.SerializeToString()
        meta = b"\x0a\x03web\x1a\x04shop\x42" + bytes([len(text)]) + text
        item = added(b"\x0a" + bytes([len(meta)]) + meta).item
        assert (item.key, item.object) == ("shop/web", None)


def test_never_is_no_time_and_the_epoch_is_one() -> None:
    """The server sends a Time without seconds where there is none."""
    never = added(b"\x0a\x02\x42\x00").item.object
    epoch = added(b"\x0a\x04\x42\x02\x08\x00").item.object
    assert isinstance(never, Pod)
    assert isinstance(epoch, Pod)
    assert never.metadata.creation_timestamp is None
    assert epoch.metadata.creation_timestamp is not None
    assert epoch.metadata.creation_timestamp.timestamp() == 0


def test_absent_is_not_zero_where_that_makes_a_difference() -> None:
    """A ReplicaSet without a number has one replica, one with zero has none."""
    decoder = ProtobufDecoder("ReplicaSet")
    counts = []
    for spec in ({}, {"replicas": 0}):
        found = added(encode("ReplicaSet", {"spec": spec}), decoder).item.object
        assert isinstance(found, Workload)
        counts.append(found.spec.replicas)
    assert counts == [None, 0]


def test_an_object_without_its_envelope_is_nameless() -> None:
    """It is no object of Kubernetes, and the stream goes on."""
    signal = PODS.event(event("ADDED", encode("Pod", {"metadata": META})), AT)
    assert isinstance(signal, Added)
    assert (signal.item.key, signal.item.object) == ("", None)


def test_what_a_newer_server_adds_is_skipped() -> None:
    """In the object, in its metadata, and in the envelope."""
    unknown = b"\xba\x3e\x03abc"
    meta = b"\x0a\x03web" + unknown
    raw = unknown + b"\x0a" + bytes([len(meta)]) + meta
    signal = PODS.event(event("ADDED", wrap("Pod", raw) + unknown) + unknown, AT)
    assert isinstance(signal, Added)
    assert signal.item.key == "web"
    assert signal.item.object is not None


@pytest.mark.parametrize("frame", [b"\x0a\x05ADDED", event("", wrapped("Pod", {}))])
def test_an_event_without_a_type_or_an_object_is_garbled(frame: bytes) -> None:
    """As a line without one."""
    with pytest.raises(GarbledError):
        PODS.event(frame, AT)


def test_text_that_is_none_is_read_as_json_has_it() -> None:
    """One byte of an annotation or image, which no API server checks, hid the whole object."""
    item = added(b"\x0a\x05\x0a\x03web\x12\x0d\x52\x01\xff\x12\x08\x12\x06a\xc3:\xff\xfeb").item
    assert isinstance(item.object, Pod)
    assert (item.key, item.object.spec.node_name) == ("web", "\ufffd")
    assert item.object.spec.containers == (ContainerSpec(image="a\ufffd:\ufffd\ufffdb"),)


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_a_key_or_a_value_that_is_no_text_leaves_the_others(where: str) -> None:
    """In an event, in a page, and in a bookmark."""
    meta = {"name": "web", "resourceVersion": "5", where: {"a": "b", "XX": "cafXY"}}
    raw = encode("Pod", {"metadata": meta}).replace(b"XX", b"\xffX").replace(b"XY", b"\xe9Y")
    good = encode("Pod", {"metadata": META})
    body = page("Pod", {"items": [{"metadata": meta}, {"metadata": META}]})
    body = body.replace(b"XX", b"\xffX").replace(b"XY", b"\xe9Y")
    listed = PODS.page(body, AT).items
    assert (listed[0], listed[1]) == (added(raw).item, added(good).item)
    assert isinstance(listed[0].object, Pod)
    assert getattr(listed[0].object.metadata, where) == {"a": "b", "\ufffdX": "caf\ufffdY"}
    mark = PODS.event(event("BOOKMARK", wrap("Pod", raw)), AT)
    assert isinstance(mark, Marked)
    assert mark.resource_version == "5"


@pytest.mark.parametrize("tail", [b"", b"\x0b", b"\x99\x01ab", b"\x08" + b"\xff" * 20, b"\x55\x01"])
def test_torn_bytes_with_bad_text_end_nothing(tail: bytes) -> None:
    """What mends text must not raise anything of its own, nor read beyond the end."""
    whole = b"\x0a\x05\x0a\x03web\x12\x03\x52\x01\xff" + tail
    for length in range(len(whole)):
        added(whole[:length])
    assert added(whole[:11]).item.object is None
    assert added(whole).item.object is None or not tail


def test_what_does_not_begin_as_it_must_is_no_object() -> None:
    """Whatever follows: another format's bytes may parse as anything."""
    other = b"k9s\x00" + wrapped("Pod", {"metadata": META})[4:]
    signal = PODS.event(event("ADDED", other), AT)
    assert isinstance(signal, Added)
    assert signal.item.key == ""
    with pytest.raises(GarbledError):
        PODS.page(b"k9s\x00" + page("Pod", {})[4:], AT)


def test_a_page_of_something_else_is_garbled() -> None:
    """A status would otherwise be read as a list: its second field is text, a list's are items."""
    with pytest.raises(GarbledError):
        PODS.page(wrapped("Status", {"code": 500}), AT)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (wrapped("Status", {"code": 410, "reason": "Expired", "message": "too old"}), "too old"),
        (MAGIC + b"\xff\xff", "a status in protobuf that cannot be read"),
        (b'{"message": "in JSON"}', "in JSON"),
    ],
)
def test_a_refusal_is_read_in_the_encoding_that_it_has(body: bytes, said: str) -> None:
    """Whoever accepts protobuf alone is refused in protobuf, but for a 406."""
    assert decode_status(body).message == said


def test_a_refusal_in_protobuf_says_all_that_one_in_json_says() -> None:
    """Waits, and causes such as a namespace that is going away."""
    details = {"retryAfterSeconds": 3, "causes": [{"reason": "NamespaceTerminating"}]}
    status = decode_status(wrapped("Status", {"code": 429, "reason": "X", "details": details}))
    assert (status.code, status.reason, status.retry_after_s) == (429, "X", 3)
    assert status.causes == {"NamespaceTerminating"}
