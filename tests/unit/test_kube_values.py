"""Paths, offers, waits and Event bodies: the small pure parts of the door to the API server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from common.kube.credentials import PullSecret
from common.kube.events import MESSAGE_LIMIT, Event, Subject, event_body
from common.kube.negotiate import codec_of, offers
from common.kube.paths import object_path, report_path
from common.kube.resources import report_meta
from common.kube.retry_after import parse_retry_after
from common.kube.wire import ObjectMeta, Owner

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SUBJECT = Subject(api_version="apps/v1", kind="Deployment", namespace="shop", name="web", uid="u")
EVENT = Event(subject=SUBJECT, reason="ScanFailed", message="registry says 429")


def test_paths_follow_the_api() -> None:
    """Core and grouped, namespaced and not, one and all."""
    assert object_path("/api/v1", "pods") == "/api/v1/pods"
    assert object_path("/api/v1", "pods", namespace="a") == "/api/v1/namespaces/a/pods"
    assert object_path("/api/v1", "nodes", name="n") == "/api/v1/nodes/n"
    assert report_path("SbomReport", "a", "b") == (
        "/apis/aquasecurity.github.io/v1alpha1/namespaces/a/sbomreports/b"
    )


def test_metadata_falls_back_to_the_full_object_and_protobuf_to_json() -> None:
    """The last offer must be one that every server can give."""
    metadata = ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert [offer.watch for offer in offers(metadata_only=True, protobuf=True)] == [
        f"application/vnd.kubernetes.protobuf{metadata}",
        f"application/json{metadata}",
        "application/json",
    ]
    assert [offer.watch for offer in offers(metadata_only=False, protobuf=True)] == [
        "application/vnd.kubernetes.protobuf",
        "application/json",
    ]
    for offer in offers(metadata_only=True, protobuf=True)[:2]:
        assert offer.list == offer.watch.replace("Metadata;", "MetadataList;")


def test_what_we_cannot_read_in_protobuf_is_not_asked_for_in_it() -> None:
    """Bodies of custom resources, and everything where the parser is slow."""
    for metadata_only in (True, False):
        found = offers(metadata_only=metadata_only, protobuf=False)
        assert {offer.codec for offer in found} == {"json"}
        assert found[-1].list == "application/json"


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("application/json", "json"),
        ("application/json;stream=watch", "json"),
        ("application/vnd.kubernetes.protobuf;stream=watch", "protobuf"),
        ("APPLICATION/VND.KUBERNETES.PROTOBUF ; stream=watch", "protobuf"),
        ("", "asked"),
        ("text/html", "asked"),
    ],
)
def test_an_answer_is_read_as_what_it_says_that_it_is(content_type: str, codec: str) -> None:
    """A server may give JSON to whoever asks for protobuf, and need not say that it did not."""
    for asked in ("json", "protobuf"):
        assert codec_of(content_type, asked=asked) == (asked if codec == "asked" else codec)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("86400", 120.0),
        ("-5", None),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Thu, 26 Nov 2026 12:00:00 GMT", 120.0),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(
    header: str | None, wait_s: float | None
) -> None:
    """The one place where the wall clock counts must not trust it far."""
    assert parse_retry_after(header, now=NOW.timestamp()) == wait_s


def test_report_metadata_names_the_controller_or_the_first_owner() -> None:
    """Other tools leave owner references of their own."""
    plain, controller = Owner(kind="A", name="a"), Owner(kind="B", name="b", controller=True)
    both = report_meta("SbomReport", ObjectMeta(name="n", owner_references=(plain, controller)))
    first = report_meta("SbomReport", ObjectMeta(name="n", owner_references=(plain,)))
    none = report_meta("SbomReport", ObjectMeta(name="n", resource_version="12"))
    assert both.owner is not None
    assert both.owner.kind == "B"
    assert first.owner is not None
    assert first.owner.kind == "A"
    assert none.owner is None
    assert none.version == 12
    assert replace(none, resource_version="x").version == 0


def test_a_pull_secret_does_not_show_itself() -> None:
    """It passes through code that logs."""
    assert "hunter2" not in repr(PullSecret(type="t", data={"k": b"hunter2"}))


def test_the_same_words_about_the_same_object_are_the_same_event() -> None:
    """Repetitions count up one Event instead of filling the namespace."""
    assert EVENT.name == replace(EVENT).name
    others = [
        replace(EVENT, message="registry says 401"),
        replace(EVENT, reason="ScanRecovered"),
        replace(EVENT, type="Normal"),
        replace(EVENT, subject=replace(SUBJECT, uid="u2")),
        replace(EVENT, subject=replace(SUBJECT, kind="ReplicaSet")),
    ]
    assert len({EVENT.name, *(other.name for other in others)}) == 6


def test_an_event_keeps_the_limits_of_the_api_server() -> None:
    """An Event that is refused says nothing."""
    name = "a" * 235 + "-" + "b" * 17
    long = replace(EVENT, message="x" * 5000, subject=replace(SUBJECT, name=name))
    body = event_body(long, now=NOW)
    assert len(body["message"]) == MESSAGE_LIMIT
    assert len(body["metadata"]["name"]) <= 253
    assert "-." not in body["metadata"]["name"]


def test_an_event_names_its_object_and_stands_beside_it() -> None:
    """`kubectl describe` finds Events by the involved object."""
    body = event_body(EVENT, now=NOW.astimezone(timezone(timedelta(hours=9))))
    assert body["metadata"]["namespace"] == "shop"
    assert body["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "web",
        "uid": "u",
    }
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-11-25T12:00:00Z"
    assert (body["count"], body["type"]) == (1, "Warning")


def test_events_on_cluster_scoped_objects_stand_in_the_default_namespace() -> None:
    """There is no other place for them."""
    node = replace(SUBJECT, kind="Node", namespace="", api_version="v1")
    body = event_body(replace(EVENT, subject=node), now=NOW)
    assert body["metadata"]["namespace"] == "default"
    assert body["involvedObject"]["namespace"] == ""
