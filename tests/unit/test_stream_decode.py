"""Lines and pages to signals."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from common.kube.wire import PartialObject, Pod
from watcher.stream.decode import Decoder, GarbledError
from watcher.stream.signals import Added, At, Marked, Odd, Refused, Removed

AT = At(1000.0, 0.5)
PODS = Decoder(Pod)
REPORTS = Decoder(PartialObject)
META = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}


def line(kind: str, found: Any) -> bytes:
    """Return an event as the server sends it."""
    return orjson.dumps({"type": kind, "object": found}) + b"\n"


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_object_that_is_there_is_added(kind: str) -> None:
    """Level-based: new and changed are the same."""
    signal = PODS.event(line(kind, {"metadata": META}), AT)
    assert isinstance(signal, Added)
    assert (signal.item.key, signal.item.uid) == ("shop/web", "u1")
    assert (signal.item.resource_version, signal.item.version) == ("7", 7)
    assert isinstance(signal.item.object, Pod)


def test_an_object_that_is_gone_is_removed() -> None:
    """A selector that stops matching looks the same."""
    assert isinstance(PODS.event(line("DELETED", {"metadata": META}), AT), Removed)


def test_bookmarks_carry_a_version_and_may_end_the_first_reading() -> None:
    """Only the annotation tells the one that ends it."""
    plain = {"metadata": {"resourceVersion": "9"}}
    annotations = {"k8s.io/initial-events-end": "true"}
    last = {"metadata": {"resourceVersion": "9", "annotations": annotations}}
    for decoder in (PODS, REPORTS):
        assert decoder.event(line("BOOKMARK", plain), AT) == Marked(
            resource_version="9", ends_initial=False, at=AT
        )
        assert decoder.event(line("BOOKMARK", last), AT) == Marked(
            resource_version="9", ends_initial=True, at=AT
        )


@pytest.mark.parametrize("decoder", [PODS, REPORTS])
def test_an_error_event_is_refused_as_its_status_says(decoder: Decoder) -> None:
    """Its object is a Status, which fits metadata-only types by accident."""
    status = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": 429,
        "reason": "TooManyRequests",
        "details": {"retryAfterSeconds": 4},
    }
    assert decoder.event(line("ERROR", status), AT) == Refused(
        code=429, reason="TooManyRequests", at=AT, retry_after_s=4
    )


def test_an_error_event_without_code_is_sorted_by_its_reason() -> None:
    """Expired must never be taken for a passing fault: it would be retried at the same version."""
    gone = PODS.event(line("ERROR", {"reason": "Expired"}), AT)
    other = PODS.event(line("ERROR", {}), AT)
    assert isinstance(gone, Refused)
    assert isinstance(other, Refused)
    assert (gone.code, other.code, other.reason) == (410, 500, "ErrorEvent")


def test_an_event_of_an_unknown_type_is_odd() -> None:
    """A newer server may know more."""
    assert PODS.event(line("RESHARDED", {"metadata": META}), AT) == Odd()
    assert PODS.event(line("RESHARDED", {"spec": 7}), AT) == Odd()


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
def test_an_object_that_does_not_fit_keeps_its_name(kind: str) -> None:
    """Trap 23, the first half: the key of a strange object can still be looked at."""
    signal = PODS.event(line(kind, {"metadata": META, "spec": {"nodeName": 5}}), AT)
    assert isinstance(signal, Added | Removed)
    assert (signal.item.key, signal.item.version) == ("shop/web", 7)
    assert signal.item.object is None


def test_an_object_whose_metadata_does_not_fit_keeps_its_name() -> None:
    """One strange label must not hide which object it is on."""
    for decoder in (PODS, REPORTS):
        signal = decoder.event(line("ADDED", {"metadata": {**META, "labels": {"a": 1}}}), AT)
        assert isinstance(signal, Added)
        assert (signal.item.key, signal.item.uid, signal.item.object) == ("shop/web", "u1", None)


@pytest.mark.parametrize("decoder", [PODS, REPORTS])
def test_an_object_nested_without_end_is_read_like_any_other(decoder: Decoder) -> None:
    """Trap 23 by malice: a tenant's custom resource, mirrored in managedFields, ends no thread."""
    deep = b'{"f:a":' * 50_000 + b"{}" + b"}" * 50_000
    found = b'{"metadata":{"managedFields":[%b],"name":"web","namespace":"shop"}}' % deep
    signal = decoder.event(b'{"type":"ADDED","object":%b}\n' % found, AT)
    page = decoder.page(b'{"metadata":{"resourceVersion":"9"},"items":[%b]}' % found, AT)
    assert isinstance(signal, Added)
    for item in (signal.item, *page.items):
        assert item.key == "shop/web"
        assert item.object is not None
    assert page.resource_version == "9"


@pytest.mark.parametrize("found", [{"metadata": {"name": 7}}, {"metadata": []}, [], "x", None, 7])
def test_an_object_without_a_readable_name_is_nameless(found: object) -> None:
    """It is counted and the stream goes on."""
    signal = PODS.event(line("ADDED", found), AT)
    assert isinstance(signal, Added)
    assert signal.item.key == ""


def test_a_bookmark_that_does_not_fit_still_moves_the_version() -> None:
    """The version is all that matters of it."""
    mark = PODS.event(line("BOOKMARK", {"metadata": META, "spec": 7}), AT)
    assert mark == Marked(resource_version="7", ends_initial=False, at=AT)


@pytest.mark.parametrize(
    "text",
    [
        b"not json\n",
        b'{"type":"ADD',
        b'{"type":"ADDED"}\n',
        b"[]\n",
        b'{"object":{}}\n',
        b'{"a":\xff}',
    ],
)
def test_a_line_that_is_no_event_is_garbled(text: bytes) -> None:
    """No API server sent it: the stream is not to be trusted further."""
    with pytest.raises(GarbledError):
        PODS.event(text, AT)


def test_a_page_holds_its_objects_version_and_token() -> None:
    """The cursor leads to the next page."""
    body = orjson.dumps(
        {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [{"metadata": META}]}
    )
    page = PODS.page(body, AT)
    assert (page.resource_version, page.cursor) == ("9", "more")
    assert [item.key for item in page.items] == ["shop/web"]
    assert PODS.page(b'{"metadata":{},"items":null}', AT).items == ()


def test_one_strange_object_in_a_page_costs_itself_alone() -> None:
    """Trap 23 for lists: 499 good objects of a page must not wait for the one that is not."""
    good = {"metadata": {**META, "name": "good"}}
    strange = {"metadata": META, "spec": {"containers": "none"}}
    body = orjson.dumps({"metadata": {"resourceVersion": "9"}, "items": [good, strange, 7]})
    items = PODS.page(body, AT).items
    assert [(item.key, item.object is None) for item in items] == [
        ("shop/good", False),
        ("shop/web", True),
        ("", True),
    ]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items":[{]', b'{"items":7}'])
def test_a_page_that_is_no_list_is_garbled(body: bytes) -> None:
    """A proxy's error page must not look like an empty cluster."""
    with pytest.raises(GarbledError):
        PODS.page(body, AT)
