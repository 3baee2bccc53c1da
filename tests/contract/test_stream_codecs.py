"""What every decoder of events and pages must do, whatever the encoding."""

from __future__ import annotations

import pytest

from common.kube.wire import PartialObject, Pod
from tests.codecs import PODS, REPORTS, SPEAKERS, Speaker
from watcher.stream.catalog import ROWS, Row
from watcher.stream.codec import splitter_for
from watcher.stream.decode import GarbledError
from watcher.stream.signals import Added, At, Marked, Odd, Refused, Removed

AT = At(1000.0, 0.5)
META = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}


@pytest.fixture(params=SPEAKERS, ids=lambda each: each.codec)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    """Give each encoding in turn."""
    found: Speaker = request.param
    return found


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_object_that_is_there_is_added(speaker: Speaker, kind: str) -> None:
    """Level-based: new and changed are the same."""
    signal = speaker.decoder(PODS).event(speaker.event(kind, PODS, {"metadata": META}), AT)
    assert isinstance(signal, Added)
    assert (signal.item.key, signal.item.uid) == ("shop/web", "u1")
    assert (signal.item.resource_version, signal.item.version) == ("7", 7)
    assert isinstance(signal.item.object, Pod)


def test_an_object_that_is_gone_is_removed(speaker: Speaker) -> None:
    """A selector that stops matching looks the same."""
    event = speaker.event("DELETED", PODS, {"metadata": META})
    signal = speaker.decoder(PODS).event(event, AT)
    assert isinstance(signal, Removed)
    assert signal.item.key == "shop/web"


@pytest.mark.parametrize("row", [PODS, REPORTS], ids=lambda row: row.resource)
def test_bookmarks_carry_a_version_and_may_end_the_first_reading(
    speaker: Speaker, row: Row
) -> None:
    """Only the annotation tells the one that ends it."""
    annotations = {"k8s.io/initial-events-end": "true"}
    for extra, ends in (({}, False), ({"annotations": annotations}, True)):
        mark = {"metadata": {"resourceVersion": "9", **extra}}
        signal = speaker.decoder(row).event(speaker.event("BOOKMARK", row, mark), AT)
        assert signal == Marked(resource_version="9", ends_initial=ends, at=AT)


@pytest.mark.parametrize("row", [PODS, REPORTS], ids=lambda row: row.resource)
def test_an_error_event_is_refused_as_its_status_says(speaker: Speaker, row: Row) -> None:
    """Its object is a Status, which fits metadata-only types by accident."""
    status = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": 429,
        "reason": "TooManyRequests",
        "details": {"retryAfterSeconds": 4},
    }
    assert speaker.decoder(row).event(speaker.error(status), AT) == Refused(
        code=429, reason="TooManyRequests", at=AT, retry_after_s=4
    )


def test_an_error_event_without_code_is_sorted_by_its_reason(speaker: Speaker) -> None:
    """Expired must never be taken for a passing fault: it would be retried at the same version."""
    gone = speaker.decoder(PODS).event(speaker.error({"reason": "Expired"}), AT)
    other = speaker.decoder(PODS).event(speaker.error({}), AT)
    assert isinstance(gone, Refused)
    assert isinstance(other, Refused)
    assert (gone.code, other.code, other.reason) == (410, 500, "ErrorEvent")
    assert other.retry_after_s is None


def test_an_event_of_an_unknown_type_is_odd(speaker: Speaker) -> None:
    """A newer server may know more."""
    decoder = speaker.decoder(PODS)
    assert decoder.event(speaker.event("RESHARDED", PODS, {"metadata": META}), AT) == Odd()
    assert decoder.event(speaker.misfit("RESHARDED", META), AT) == Odd()


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
def test_an_object_that_does_not_fit_keeps_its_name(speaker: Speaker, kind: str) -> None:
    """Trap 23, the first half: the key of a strange object can still be looked at."""
    signal = speaker.decoder(PODS).event(speaker.misfit(kind, META), AT)
    assert isinstance(signal, Added | Removed)
    assert (signal.item.key, signal.item.uid, signal.item.version) == ("shop/web", "u1", 7)
    assert signal.item.object is None


def test_what_is_not_read_of_an_object_cannot_make_it_misfit(speaker: Speaker) -> None:
    """Of a report metadata is read, and its body may be as strange as it likes."""
    signal = speaker.decoder(REPORTS).event(speaker.misfit("ADDED", META), AT)
    assert isinstance(signal, Added)
    assert isinstance(signal.item.object, PartialObject)


@pytest.mark.parametrize("row", [PODS, REPORTS], ids=lambda row: row.resource)
def test_an_object_whose_metadata_does_not_fit_keeps_its_name(speaker: Speaker, row: Row) -> None:
    """One strange label must not hide which object it is on."""
    signal = speaker.decoder(row).event(speaker.mislabelled("ADDED", row, META), AT)
    assert isinstance(signal, Added)
    assert (signal.item.key, signal.item.uid, signal.item.object) == ("shop/web", "u1", None)


def test_an_object_without_a_readable_name_is_nameless(speaker: Speaker) -> None:
    """It is counted and the stream goes on."""
    signal = speaker.decoder(PODS).event(speaker.nameless("ADDED"), AT)
    assert isinstance(signal, Added)
    assert (signal.item.key, signal.item.object) == ("", None)


def test_a_bookmark_that_does_not_fit_still_moves_the_version(speaker: Speaker) -> None:
    """The version is all that matters of it."""
    for event in (speaker.misfit("BOOKMARK", META), speaker.mislabelled("BOOKMARK", PODS, META)):
        mark = speaker.decoder(PODS).event(event, AT)
        assert mark == Marked(resource_version="7", ends_initial=False, at=AT)
    mark = speaker.decoder(PODS).event(speaker.nameless("BOOKMARK"), AT)
    assert mark == Marked(resource_version="", ends_initial=False, at=AT)


def test_an_event_that_is_torn_is_garbled(speaker: Speaker) -> None:
    """The bytes before the tear are no object: the stream is to be read again from there."""
    whole = speaker.event("ADDED", PODS, {"metadata": META}).rstrip(b"\n")
    for size in range(1, len(whole)):
        with pytest.raises(GarbledError):
            speaker.decoder(PODS).event(whole[:size], AT)


@pytest.mark.parametrize("text", [b"", b"not an event", b"<html>", b"\xff" * 40, b"\x00" * 9])
def test_bytes_that_are_no_event_are_garbled(speaker: Speaker, text: bytes) -> None:
    """No API server sent them: the stream is not to be trusted further."""
    with pytest.raises(GarbledError):
        speaker.decoder(PODS).event(text, AT)
    with pytest.raises(GarbledError):
        speaker.decoder(PODS).page(text, AT)


def test_each_encoding_is_garbled_to_the_reader_of_the_other(speaker: Speaker) -> None:
    """A server that answers in another encoding than it says must not look like an empty one."""
    (other,) = (each for each in SPEAKERS if each is not speaker)
    with pytest.raises(GarbledError):
        speaker.decoder(PODS).event(other.event("ADDED", PODS, {"metadata": META}), AT)
    with pytest.raises(GarbledError):
        speaker.decoder(PODS).page(other.page(PODS, {}, {"metadata": META}), AT)


def test_a_page_holds_its_objects_version_and_token(speaker: Speaker) -> None:
    """The cursor leads to the next page."""
    meta = {"resourceVersion": "9", "continue": "more"}
    page = speaker.decoder(PODS).page(speaker.page(PODS, meta, {"metadata": META}), AT)
    assert (page.resource_version, page.cursor) == ("9", "more")
    assert [item.key for item in page.items] == ["shop/web"]
    assert speaker.decoder(PODS).page(speaker.page(PODS, {}), AT).items == ()


def test_one_strange_object_in_a_page_costs_itself_alone(speaker: Speaker) -> None:
    """Trap 23 for lists: 499 good objects of a page must not wait for the one that is not."""
    good = {"metadata": {**META, "name": "good"}}
    page = speaker.decoder(PODS).page(speaker.mixed_page({"resourceVersion": "9"}, good, META), AT)
    assert page.resource_version == "9"
    assert [(item.key, item.object is None) for item in page.items] == [
        ("shop/good", False),
        ("shop/web", True),
        ("", True),
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.resource)
def test_every_resource_has_a_reader_that_gives_its_type(speaker: Speaker, row: Row) -> None:
    """The folds match on the type."""
    signal = speaker.decoder(row).event(speaker.event("ADDED", row, {"metadata": META}), AT)
    assert isinstance(signal, Added)
    assert type(signal.item.object) is row.type


def test_a_body_is_cut_into_its_events(speaker: Speaker) -> None:
    """Whatever the encoding, a splitter hands on what the decoder reads."""
    events = [speaker.event("ADDED", PODS, {"metadata": META}), speaker.error({"code": 410})]
    splitter = splitter_for(speaker.codec)
    body = speaker.stream(*events)
    cut = [event for byte in body for event in splitter.feed(bytes([byte]))]
    assert [each.rstrip(b"\n") for each in cut] == [each.rstrip(b"\n") for each in events]
    assert splitter.unfinished_bytes == 0
    assert list(splitter.feed(body[:5])) == []
    assert splitter.unfinished_bytes == 5
