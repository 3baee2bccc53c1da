"""What pages over a real Valkey refuse, how little they read and keep, and whom they disturb."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest

from common.model.image import Secret
from common.model.redis_address import parse_redis_url
from common.overview.gather import measured_in
from common.overview.tables import Tables, tables_on
from common.overview.vulnerable import Pace
from common.state import image_briefs
from common.state.connect import connect
from common.state.images import pack
from common.state.names import Names
from tests.browsing import Browse, browsing
from tests.crowded import CVE, IMAGES, MISSING, WORKLOADS, Crowd, image_key
from tests.evidence import inventory, packages
from tests.overviews import EVIL
from tests.statussite import Elements
from tests.waiting import eventually
from watcher.status import shelf as module
from watcher.status.shelf import Shelf

pytestmark = pytest.mark.integration

# --- bounds and refusals


def test_coverage_is_measured_up_to_a_limit(tables: Tables, crowd: Crowd) -> None:
    """The metric's: of more, nothing is read but names."""
    del crowd
    whole = measured_in(tables, limit=WORKLOADS)
    assert whole is not None
    assert whole.workloads + len(whole.resting) == WORKLOADS
    assert measured_in(tables, limit=WORKLOADS - 1) is None


def test_a_page_stays_small_whatever_is_asked_for(browse: Browse) -> None:
    """Nobody makes the watcher draw a page of 50,000 rows."""
    assert len(browse.json("/workloads.json?limit=99999999999999")["workloads"]) == WORKLOADS
    assert len(browse.json("/workloads.json?limit=-3&page=0")["workloads"]) == 100
    assert browse.json("/workloads.json?page=99999999999999999")["workloads"] == []
    assert browse.ask("/workloads?q=" + "x" * 3_000)[0] == 414
    assert len(browse.ask("/workloads?q=" + "x" * 1_900)[1]) < 60_000


def test_a_name_is_answered_once_the_settings_have_it(tables: Tables, crowd: Crowd) -> None:
    """An Ingress has a name that nobody but its owner knows."""
    settings = {"SLUICE_STATUS_HOSTS": "sluice.example.com"}
    with browsing(tables, crowd, settings=settings) as browse:
        assert browse.ask("/", host="sluice.example.com")[0] == 200
        status, body = browse.ask("/", host="other.example.com")
    assert (status, b"SLUICE_STATUS_HOSTS" in body) == (421, True)


@pytest.mark.parametrize(
    "path", ["/search?q={}", "/workloads?q={}&state={}", "/images?q={}", "/{}"]
)
def test_what_is_asked_for_stays_text(browse: Browse, path: str) -> None:
    """A link to a page must not run what stands in it."""
    evil = "".join(f"%{byte:02x}" for byte in EVIL.encode())
    _, body = browse.ask(path.format(evil, evil))
    assert not {"script", "img"} & set(Elements(body).tags)
    assert b"<script" not in body


def test_nothing_but_get_and_head(browse: Browse) -> None:
    """It is read-only by its port."""
    status, body = browse.ask("/workloads", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(browse.headers["Content-Length"]) > 1000
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert browse.ask("/workloads", method=method)[0] == 501


def test_a_name_that_may_be_somebody_elses_gets_no_page(browse: Browse) -> None:
    """DNS rebinding: a foreign page in the reader's browser asks us under its own name."""
    for host in ("evil.example", "evil.example:8081", "localhost.evil.example"):
        status, body = browse.ask("/status.json", host=host)
        assert (status, b"coverage" in body) == (421, False)
    assert browse.ask("/status.json", host="127.0.0.1:8081")[0] == 200


def test_pages_write_nothing(tables: Tables, crowd: Crowd) -> None:
    """Whoever browses changes no table, and starts no scan."""
    assert crowd.rows
    redis: Any = tables.client
    reads: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": redis.hgetall,
        b"list": lambda name: redis.lrange(name, 0, -1),
        b"set": redis.smembers,
        b"stream": redis.xlen,
        b"string": redis.get,
        b"zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
    }

    def state() -> dict[bytes, object]:
        names = redis.scan_iter(f"*{tables.names.cluster}*")
        return {name: (reads[redis.type(name)](name), redis.expiretime(name)) for name in names}

    before = state()
    key, one = image_key(10), crowd.rows[3]
    with browsing(tables, crowd) as browse:
        for path in (
            *("/", "/workloads", "/images", "/queue", "/history", "/search?q=a"),
            f"/vulnerability/{CVE}",
            f"/image/{key.digest}/{key.platform}/{key.options}",
            f"/workload/{one.kind}/{one.namespace}/{one.name}",
            "/workload/Pod/shop/nobody",
        ):
            browse.ask(path)
    assert state() == before


def test_garbage_in_the_tables_hides_nothing_else(tables: Tables, crowd: Crowd) -> None:
    """Somebody's hand in Redis must not take away the pages that one looks at then."""
    own = tables.names.own
    broken = crowd.images[20]
    tables.client.hset(own(f"image:{broken}"), "match", b"no zlib")
    tables.client.hset(own(f"users:{crowd.images[21]}"), "workload/Pod/a/b", b"{not json")
    tables.client.set(own(f"users:{crowd.images[22]}"), b"no hash")
    tables.client.hset(own("rows"), str(crowd.rows[0].key), b"\xff\xfe")
    with browsing(tables, crowd) as browse:
        assert len(browse.json("/images.json?limit=100")["images"]) == IMAGES
        assert len(browse.json(f"/vulnerability/{CVE}.json")["images"]) == 3
        assert browse.ask(f"/image/{broken.digest}/{broken.platform}/{broken.options}")[0] == 200
        one = crowd.rows[0]
        assert browse.ask(f"/workload/{one.kind}/{one.namespace}/{one.name}")[0] == 200


def test_a_key_that_is_due_at_infinity_hides_nothing_else(tables: Tables, crowd: Crowd) -> None:
    """A score may be infinite, and no age is."""
    assert crowd.rows
    redis: Any = tables.client
    for part in redis.scan_iter(f"*{tables.names.cluster}*", _type="zset"):
        redis.zadd(part, dict.fromkeys(redis.zrange(part, 0, -1), float("inf")))
    with browsing(tables, crowd) as browse:
        assert "of workloads have true reports" in browse.page("/").text
        for state in ("parked", "delayed", "running", "queued"):
            assert browse.ask(f"/queue?state={state}")[0] == 200
            assert browse.json(f"/queue.json?state={state}")["state"] == state


def test_while_redis_is_away_pages_say_so_at_once(names: Names, tmp_path: Any) -> None:
    """Not after as many seconds as a connection may take, for each of them."""
    address = parse_redis_url(f"unix://{tmp_path / 'nobody.sock'}")
    with (
        contextlib.closing(connect(address)) as client,
        browsing(tables_on(client, address, names.cluster), Crowd(rows=[], images=[])) as browse,
    ):
        for path in ("/images", "/queue", "/history", f"/vulnerability/{CVE}", "/workload/Pod/a/b"):
            status, body = browse.ask(path)
            assert status == 503
            assert "Redis does not answer now" in Elements(body).text
        assert browse.ask("/workloads")[0] == 503
        assert json.loads(browse.ask("/queue.json")[1])["error"]


def test_readers_wait_for_their_turn_and_not_for_ever(
    tables: Tables, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that somebody opens a hundred times takes four threads of the watcher's time."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    hanging, entered = threading.Event(), threading.Semaphore(0)

    def rest(seconds: float) -> None:
        assert seconds >= 0
        entered.release()
        hanging.wait(30)

    answers: list[int] = []
    with browsing(tables, crowd, pace=Pace(monotonic=time.monotonic, rest=rest)) as browse:

        def look() -> None:
            answers.append(Browse(browse._port).ask(f"/vulnerability/{CVE}")[0])

        first = threading.Thread(target=look)
        first.start()
        assert entered.acquire(timeout=10)
        status, body = browse.ask(f"/vulnerability/{MISSING}")
        assert status == 503
        assert "ask again in a moment" in Elements(body).text
        assert browse.ask("/queue")[0] == 200  # others are not held up
        hanging.set()
        first.join(10)
    assert answers == [200]


def test_the_first_page_leads_to_pages_that_are_there(browse: Browse) -> None:
    """Every link of every page, once around."""
    todo, seen = ["/"], set[str]()
    while todo and len(seen) < 60:
        path = todo.pop(0)
        if path in seen:
            continue
        seen.add(path)
        status, body = browse.ask(path)
        assert status == 200, path
        if not path.partition("?")[0].endswith(".json"):
            found = Elements(body).attributes
            todo += _ways(path, [value or "" for name, value in found if name == "href"])
    assert len(seen) == 60


def _ways(path: str, found: list[str]) -> list[str]:
    """Return where links lead; of each sort the first two."""
    sorts: dict[str, list[str]] = {}
    for way in found:
        if not way.startswith(("data:", "#")):
            full = urljoin(path, way)
            sorts.setdefault(re.sub(r"[0-9a-f]{3,}|\d+", "", full)[:14], []).append(full)
    return [full for ways in sorts.values() for full in ways[:2]]


def test_the_catalogue_is_read_again_when_it_is_old(tables: Tables, crowd: Crowd) -> None:
    """Ten seconds of an image list are new enough; an hour's are not."""
    clock = [100.0]
    shelf = Shelf(tables, Pace(monotonic=lambda: clock[0], rest=lambda _: None), findings=True)
    first = shelf.images()
    assert shelf.images() is first
    clock[0] += 11
    assert shelf.images() is not first
    assert len(shelf.images().images) == len(crowd.images)
    shelf.forget()
    assert eventually(lambda: len(shelf.images().images) == IMAGES)


def test_a_record_that_is_too_large_is_told_and_not_unpacked(
    tables: Tables, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's image of 100,000 packages must not fill the watcher's memory through a page."""
    monkeypatch.setattr(image_briefs, "_MOST_BYTES", 2_000)
    key = image_key(10)
    with browsing(tables, crowd) as browse:
        path = f"/image/{key.digest}/{key.platform}/{key.options}"
        document = browse.json(f"{path}.json")
        assert (document["unread"], document["inventory"], document["counts"]) == (True, None, None)
        assert "too large for this page" in browse.page(path).text
        document = browse.json(f"/vulnerability/{CVE}.json")
        assert (document["images"], document["unread"]) == ([], IMAGES - 1)  # one failed
        assert "cannot be read here" in browse.page(f"/vulnerability/{CVE}").text


def test_secrets_of_an_image_are_counted_and_not_told(tables: Tables, crowd: Crowd) -> None:
    """The page asks for no password; whoever may read the report finds them there."""
    key, each = image_key(10), crowd.rows[10]
    secret = Secret(
        target="app/.aws/credentials",
        rule_id="aws-access-key-id",
        title="AWS Access Key",
        category="AWS",
        severity="CRITICAL",
        match="AWS_ACCESS_KEY_ID=***",
    )
    known = inventory(packages(40))
    stored = pack(msgspec.structs.replace(known, secrets=(secret,)))
    tables.client.hset(tables.names.own(f"image:{key}"), "inv", stored)
    with browsing(tables, crowd) as browse:
        path = f"/image/{key.digest}/{key.platform}/{key.options}"
        assert "1 exposed secret" in browse.page(path).text
        for end in ("", ".json"):
            body = browse.ask(path + end)[1].lower()
            assert not [word for word in (b"aws", b"credentials") if word in body]
        story = browse.ask(f"/workload/{each.kind}/{each.namespace}/{each.name}.json")[1].lower()
        assert b"credentials" not in story
