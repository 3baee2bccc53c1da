"""JSON to signals, where JSON is special; the rest is `contract/test_stream_codecs`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from common.kube.wire import PartialObject, Pod
from watcher.stream.decode import Decoder, GarbledError
from watcher.stream.signals import Added, At, Odd

AT = At(1000.0, 0.5)
PODS = Decoder(Pod)
REPORTS = Decoder(PartialObject)


def line(kind: str, found: Any) -> bytes:
    """Return an event as the server sends it."""
    return orjson.dumps({"type": kind, "object": found}) + b"\n"


def test_an_event_of_an_unknown_type_is_odd_whatever_it_holds() -> None:
    """A newer server may know more."""
    assert PODS.event(line("RESHARDED", {"spec": 7}), AT) == Odd()


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


def test_an_object_that_does_not_fit_and_is_nested_without_end_is_one_strange_object() -> None:
    """It ended the informer's thread; to open the stream again would bring it again."""
    deep = b"[" * 60_000 + b"]" * 60_000
    found = b'{"metadata":{"name":"web","labels":{"a":1}},"x":%b}' % deep
    signal = PODS.event(b'{"type":"ADDED","object":%b}\n' % found, AT)
    page = PODS.page(b'{"metadata":{"resourceVersion":"9"},"items":[%b]}' % found, AT)
    assert isinstance(signal, Added)
    assert [(item.key, item.object) for item in (signal.item, *page.items)] == [("web", None)] * 2


@pytest.mark.parametrize("found", [{"metadata": {"name": 7}}, {"metadata": []}, [], "x", None, 7])
def test_an_object_without_a_readable_name_is_nameless(found: object) -> None:
    """It is counted and the stream goes on."""
    signal = PODS.event(line("ADDED", found), AT)
    assert isinstance(signal, Added)
    assert signal.item.key == ""


@pytest.mark.parametrize(
    "text",
    [
        b"not json\n",
        b'{"type":"ADD',
        b'{"type":"ADDED"}\n',
        b"[]\n",
        b'{"object":{}}\n',
        b'{"a":\xff}',
        b'{"type":"ADDED","object":{"metadata":{"name":"a\xff","resourceVersion":"5"}}}\n',
        b'{"type":"\xff","object":{}}\n',
        b'{"type":"ERROR","object":{"message":"\xff"}}\n',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_garbled(text: bytes) -> None:
    """No API server sent it: the stream is not to be trusted further."""
    with pytest.raises(GarbledError):
        PODS.event(text, AT)


def test_a_page_without_items_is_empty() -> None:
    """Go writes null for a list that has none."""
    assert PODS.page(b'{"metadata":{},"items":null}', AT).items == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"items":[{]',
        b'{"items":7}',
        b'{"items":[{"metadata":{"name":"\xff"}}]}',
        b'{"metadata":{"continue":"\xff"},"items":[]}',
    ],
)
def test_a_page_that_is_no_list_is_garbled(body: bytes) -> None:
    """A proxy's error page must not look like an empty cluster."""
    with pytest.raises(GarbledError):
        PODS.page(body, AT)
