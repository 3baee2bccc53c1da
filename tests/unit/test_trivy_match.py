"""Matches over Twirp: patient, reused connections, and never the wrong label."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from common.model.errors import (
    LayerCacheMissingError,
    SluiceError,
    SourceUnavailableError,
    TransientError,
)
from common.model.image import Inventory, Layers, Match, Os
from tests.fakes.web import Asked, Say, Script, Web, web
from worker.evidence.image import twirp
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.match_process import free_port

INVENTORY = Inventory(
    scanner_version="0.76.0",
    artifact_id="sha256:a",
    blob_ids=("sha256:b", "sha256:c"),
    target="r.example/a@sha256:0",
    os=Os(),
    covered=True,
    has_packages=True,
)
FOUND = {"vulnerability_id": "CVE-1", "pkg_name": "a", "installed_version": "1"}


def version(text: str) -> Say:
    """Return what `/version` says."""
    return Say(
        body=json.dumps({"Version": "0.76.0", "VulnerabilityDB": {"UpdatedAt": text}}).encode()
    )


def scan(*names: str) -> Say:
    """Return an answer with one finding per name."""
    found = [FOUND | {"vulnerability_id": name} for name in names]
    return Say(body=json.dumps({"results": [{"vulnerabilities": found}]}).encode())


def fault(status: int, code: str, msg: str) -> Say:
    """Return a Twirp error."""
    return Say(status=status, body=json.dumps({"code": code, "msg": msg}).encode())


def steady(answer: Say, *, database: str = "v1") -> Script:
    """Return a server with one database."""
    return lambda asked: version(database) if asked.path == "/version" else answer


@contextmanager
def matcher_on(script: Script, *, token: str | None = None) -> Iterator[tuple[TwirpMatcher, Web]]:
    """Give a matcher on a scripted server."""
    with web(script) as server, closing(TwirpMatcher(server.url, token=token)) as matcher:
        yield matcher, server


def test_a_match_sends_the_recorded_keys() -> None:
    """Exactly what Trivy's own client would send for the image."""
    with matcher_on(steady(scan("CVE-1")), token="t0ken") as (matcher, server):  # noqa: S106 - made up
        match = matcher.match(INVENTORY)
    assert [found.vulnerability_id for found in match.findings] == ["CVE-1"]
    assert match.db_version == "v1"
    asked = server.asked[1]
    assert (asked.method, asked.path) == ("POST", "/twirp/trivy.scanner.v1.Scanner/Scan")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["trivy-token"] == "t0ken"
    body = json.loads(asked.body)
    assert body["target"] == "r.example/a@sha256:0"
    assert body["artifact_id"] == "sha256:a"
    assert body["blob_ids"] == ["sha256:b", "sha256:c"]
    assert body["options"]["scanners"] == ["vuln"]
    assert body["options"]["pkg_types"] == ["os", "library"]


def test_matches_reuse_one_connection() -> None:
    """A new one per call would cost as much as the match."""
    with matcher_on(steady(scan())) as (matcher, server):
        for _ in range(5):
            matcher.match(INVENTORY)
    assert len({asked.connection for asked in server.asked}) == 1


def test_an_answer_is_labelled_with_the_database_that_gave_it() -> None:
    """A swap between look and answer: the label is the answer's, or the call is repeated."""
    scans: list[str] = []

    def script(asked: Asked) -> Say:
        if asked.path == "/version":
            return version("v2" if scans else "v1")
        scans.append("CVE-NEW" if scans else "CVE-OLD")  # the swap happens during the first
        return scan(scans[-1])

    with matcher_on(script) as (matcher, _):
        match = matcher.match(INVENTORY)
    assert (match.db_version, [f.vulnerability_id for f in match.findings]) == ("v2", ["CVE-NEW"])
    assert scans == ["CVE-OLD", "CVE-NEW"]


def test_a_database_that_changes_all_the_time_is_given_up_on() -> None:
    """No loop for ever, and no guess."""
    versions = iter(range(1000))

    def script(asked: Asked) -> Say:
        return version(f"v{next(versions)}") if asked.path == "/version" else scan()

    with matcher_on(script) as (matcher, _), pytest.raises(TransientError) as caught:
        matcher.match(INVENTORY)
    assert caught.value.reason == "DatabaseChanging"


@pytest.mark.parametrize("gap", [Say(hang_up=True), Say(cut=True, body=b'{"results": []}')])
def test_a_connection_that_breaks_is_tried_again(gap: Say) -> None:
    """A server that is being replaced closes what it has."""
    broken = iter([True, True, False, False, False, False])

    def script(asked: Asked) -> Say:
        return gap if next(broken) else steady(scan("CVE-1"))(asked)

    with matcher_on(script) as (matcher, _):
        assert len(matcher.match(INVENTORY).findings) == 1


def test_a_match_waits_for_a_server_that_restarts() -> None:
    """0.1 s without a server is a database swap, not an outage."""
    port = free_port("127.0.0.1", 0)
    found: list[int] = []
    with closing(TwirpMatcher(f"http://127.0.0.1:{port}")) as matcher:
        waiting = threading.Thread(
            target=lambda: found.append(len(matcher.match(INVENTORY).findings))
        )
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        with web(steady(scan("CVE-1")), port=port):
            waiting.join(20)
            matcher.close()
    assert found == [1]


def test_a_server_that_stays_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its circuit opens; the image is innocent."""
    monkeypatch.setattr(twirp, "RESTART_WAIT_S", 0.2)
    address = f"http://127.0.0.1:{free_port('127.0.0.1', 0)}"
    with (
        closing(TwirpMatcher(address)) as matcher,
        pytest.raises(SourceUnavailableError) as caught,
    ):
        matcher.match(INVENTORY)
    assert caught.value.reason == "MatchServerUnavailable"


def test_the_server_may_move() -> None:
    """A new matcher announces a new address; old connections are of no use."""
    with web(steady(scan("CVE-1"))) as first, web(steady(scan(), database="v2")) as second:
        where = [first.url]
        with closing(TwirpMatcher(lambda: where[0])) as matcher:
            assert matcher.match(INVENTORY).db_version == "v1"
            where[0] = second.url
            assert matcher.match(INVENTORY).db_version == "v2"
        assert len(first.asked) == 3
        assert len(second.asked) == 3


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (
            fault(
                500, "internal", "failed scan, x: failed to apply layers: layer cache missing: y"
            ),
            LayerCacheMissingError,
            "LayerCacheMissing",
        ),
        (
            fault(401, "unauthenticated", "invalid token"),
            SourceUnavailableError,
            "MatchServerRefused",
        ),
        (fault(503, "unavailable", "busy"), SourceUnavailableError, "MatchServerUnavailable"),
        (Say(status=502, body=b"<html>"), SourceUnavailableError, "MatchServerUnavailable"),
        (fault(404, "bad_route", "no handler"), SourceUnavailableError, "MatchServerUnavailable"),
        (fault(500, "internal", "failed to detect"), TransientError, "MatchFailed"),
        (fault(400, "malformed", "the json request"), TransientError, "MatchFailed"),
    ],
)
def test_a_refusal_has_its_class(answer: Say, error: type[SluiceError], reason: str) -> None:
    """One image that cannot be matched must not stop the others."""
    with matcher_on(steady(answer)) as (matcher, _), pytest.raises(error) as caught:
        matcher.match(INVENTORY)
    assert (type(caught.value), caught.value.reason) == (error, reason)


@pytest.mark.parametrize(
    "answer",
    [Say(body=b'{"Version": "0.76.0"}'), Say(body=b"hello"), Say(body=b'{"VulnerabilityDB": {}}')],
)
def test_a_server_without_a_database_is_unavailable(answer: Say) -> None:
    """No findings from it would mean nothing."""

    def script(asked: Asked) -> Say:
        return answer if asked.path == "/version" else scan()

    with matcher_on(script) as (matcher, _), pytest.raises(SourceUnavailableError):
        matcher.match(INVENTORY)


def test_many_threads_match_at_once() -> None:
    """One matcher serves a whole worker."""
    with matcher_on(steady(scan("CVE-1"))) as (matcher, server):
        threads = [
            threading.Thread(target=lambda: [matcher.match(INVENTORY) for _ in range(5)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(server.asked) == 8 * 5 * 3
    assert len({asked.connection for asked in server.asked}) <= 8


def images(number: int) -> list[Layers]:
    """Return what is asked about that many images."""
    return [
        Layers(artifact_id=f"sha256:{one}", blob_ids=("sha256:b",), target=f"r.example/{one}")
        for one in range(number)
    ]


def by_image(asked: Asked) -> Say:
    """Answer each image with a finding of its own name."""
    if asked.path == "/version":
        return version("v1")
    return scan(json.loads(asked.body)["artifact_id"])


def test_many_images_cost_two_looks_at_the_version() -> None:
    """A database update asks about thousands: three calls for each would be most of the work."""
    with matcher_on(by_image) as (matcher, server):
        found = matcher.match_many(images(20))
    assert all(isinstance(one, Match) for one in found)
    names = [one.findings[0].vulnerability_id for one in found if isinstance(one, Match)]
    assert names == [f"sha256:{number}" for number in range(20)]
    assert [asked.path for asked in server.asked].count("/version") == 2
    assert len(server.asked) == 22


def test_a_swap_in_the_middle_repeats_them_all() -> None:
    """Nobody could say which database gave which answer."""
    scans: list[str] = []

    def script(asked: Asked) -> Say:
        if asked.path == "/version":
            return version("v2" if len(scans) >= 3 else "v1")
        scans.append("CVE")
        return scan("CVE-NEW" if len(scans) > 3 else "CVE-OLD")

    with matcher_on(script) as (matcher, _):
        found = matcher.match_many(images(4))
    assert {one.db_version for one in found if isinstance(one, Match)} == {"v2"}
    names = {one.findings[0].vulnerability_id for one in found if isinstance(one, Match)}
    assert names == {"CVE-NEW"}


def test_what_is_wrong_with_one_image_is_told_of_that_one() -> None:
    """The others have their answers."""

    def script(asked: Asked) -> Say:
        if b"sha256:1" in asked.body:
            return fault(500, "internal", "layer cache missing: x")
        return by_image(asked)

    with matcher_on(script) as (matcher, _):
        found = matcher.match_many(images(3))
    assert [type(one) for one in found] == [Match, LayerCacheMissingError, Match]


def test_a_server_that_leaves_in_the_middle_is_away_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them would wait for its restart."""
    monkeypatch.setattr(twirp, "RESTART_WAIT_S", 0.2)
    looks: list[str] = []

    def script(asked: Asked) -> Say:
        looks.append(asked.path)
        return version("v1") if len(looks) == 1 else Say(hang_up=True)

    with matcher_on(script) as (matcher, _), pytest.raises(SourceUnavailableError):
        matcher.match_many(images(200))
    assert sum(path != "/version" for path in looks) < 100


def test_an_image_that_the_server_cannot_answer_for_is_its_own_fault() -> None:
    """A server that lives, and an answer that nobody can read."""

    def script(asked: Asked) -> Say:
        return Say(body=b"odd") if b"sha256:0" in asked.body else by_image(asked)

    with matcher_on(script) as (matcher, _):
        found = matcher.match_many(images(9))
    assert [getattr(one, "reason", "") for one in found] == ["MatchServerUnreadable", *[""] * 8]
