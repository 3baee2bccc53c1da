"""The status page over a real Valkey, as a browser and a script ask for it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.model.image import ImageUse
from common.model.key import ImageKey
from common.model.redis_address import parse_redis_url
from common.model.workload import WorkloadRow, fingerprint
from common.ops.probes import ProbeServer
from common.overview.tables import Tables, tables_on
from common.overview.vulnerable import Pace
from common.queue.contract import Add, Outcome, Park, Settled
from common.settings.parse import parse
from common.state.connect import connect
from common.state.database import DatabaseRow
from common.state.fence import FenceTable
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.cli_values import row
from tests.overviews import EVIL
from tests.statussite import Elements
from watcher.site import overview_of, status_site

pytestmark = pytest.mark.integration

IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")
# Of another instant in the page's look than in the command's.
_MOVING = {"age_s", "checked_age_s", "due_in_s", "last_event_age_s", "oldest_age_s"}

Get = Callable[[str], tuple[int, str]]


@pytest.fixture
def tables(redis_client: Redis, valkey: Valkey, names: Names) -> Tables:
    """Give the tables of a cluster of the test's own."""
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


@contextlib.contextmanager
def serving(tables: Tables) -> Iterator[Get]:
    """Serve the page as the watcher does; give what asks for it."""
    pace = Pace(monotonic=time.monotonic, rest=threading.Event().wait)
    with (
        status_site(parse({}), tables, pace, reports=lambda _: ()) as site,
        ProbeServer("127.0.0.1", 0, site) as server,
    ):
        yield lambda path: ask(f"http://127.0.0.1:{server.port}{path}")


def ask(url: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 # loopback HTTP
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def add(tables: Tables, *rows: WorkloadRow) -> None:
    """Store rows and queue their keys, as the watcher does."""
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add(
        [Add(key=each.key, row=each, cause="RowChanged") for each in rows], fence=fence
    )


def work(tables: Tables, pool: str, outcome: Outcome) -> None:
    """Work the next key of a pool to that end."""
    (claim,) = tables.queue.claim(pool, "w1", limit=1, lease_s=60)
    assert tables.queue.complete("w1", [(claim, outcome)]) == [True]


def trouble(tables: Tables) -> None:
    """Leave one true, one partial and one queued workload, and a parked image of an evil name."""
    tables.database.publish(DatabaseRow(version="2026-11-25T06:00:00Z", server_url="http://x:1"))
    web, db, tool = row("web-1"), row("db-1"), row("tool-1")
    add(tables, web, db, tool)
    work(tables, "reconcile", _settled(web, "Converged"))
    work(tables, "reconcile", _settled(db, "Partial:ImageNotFound"))
    use = ImageUse(workload=str(db.key), reference=f"app:{EVIL}", namespace="shop")
    tables.images.lookup(use, [IMAGE])
    work(tables, "scan", Park(reason="ImageNotFound", message=EVIL, probe_after_s=7_200))


def _settled(each: WorkloadRow, outcome: str) -> Settled:
    return Settled(fingerprint=fingerprint(each), epoch=0, outcome=outcome)


def still(value: Any) -> Any:
    """Return a document without what passes with time."""
    match value:
        case dict():
            return {
                name: value is not None if name in _MOVING else still(value)
                for name, value in value.items()
            }
        case list():
            return [still(each) for each in value]
        case _:
            return value


def test_the_json_is_what_the_command_prints(
    tables: Tables,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two numbers for one thing, and nobody trusts either."""
    trouble(tables)
    monkeypatch.setenv("SLUICE_REDIS_URL", valkey.socket_url)
    monkeypatch.setenv("SLUICE_CLUSTER", tables.names.cluster)
    assert main(["status", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    with serving(tables) as get:
        status, body = get("/status.json")
    served = json.loads(body)
    assert status == 200
    assert served.pop("snapshot")["fault"] is None
    assert served["coverage"] == {"workloads": 3, "true": 1, "share": 0.3333}
    assert (served["dead"], served["failing"]) == (1, {"ImageNotFound": 1})
    assert still(served) == still(printed)


def test_the_page_tells_what_is_wrong_and_what_happened(tables: Tables) -> None:
    """From the tables to the browser, foreign names included."""
    trouble(tables)
    with serving(tables) as get:
        status, body = get("/")
    assert status == 200
    text = Elements(body.encode()).text
    assert "33.3% of workloads have true reports 1 of 3 workloads" in text
    assert "ReplicaSet/shop/db-1 ImageNotFound" in text
    assert "1 in 2h" in text
    assert "Everything about it is true now." in text
    assert "Parked after 1 attempt (ImageNotFound)" in text
    assert "app:&lt;script&gt;" in body
    assert "<script" not in body
    assert "<img" not in body


def test_the_page_lists_more_parked_keys_than_the_command_explains(tables: Tables) -> None:
    """Twenty fit on a terminal; on a page somebody looks for their own workload."""
    trouble(tables)
    many = [row(f"p-{number}") for number in range(25)]
    add(tables, *many)
    park = Park(reason="TooLarge", message="too large", probe_after_s=7_200)
    while claims := tables.queue.claim("reconcile", "w1", limit=50, lease_s=60):
        tables.queue.complete("w1", [(claim, park) for claim in claims])
    found = overview_of(parse({}), tables)()
    assert len(found.document["failures"]) == 20
    # Also the image, the workload that its end woke, and the one that was queued.
    assert len(found.parked) == found.document["dead"] == 25 + 3
    assert len(tables.queue.dead(limit=1)) == 1  # one of both pools' first ones
    with serving(tables) as get:
        assert "15 of 28" in Elements(get("/")[1].encode()).text
        text = Elements(get("/queue?state=parked")[1].encode()).text
    assert all(f"{each.key.shown} parked fresh TooLarge" in text for each in many)


def test_a_cluster_without_anything_has_a_page(tables: Tables) -> None:
    """The first thing that a new user opens."""
    with serving(tables) as get:
        status, body = get("/")
    assert status == 200
    assert "No workloads yet" in body
    assert "Nothing on record." in body


def test_without_redis_the_page_says_so(names: Names, tmp_path: Path) -> None:
    """And answers at once, for everybody who reloads it meanwhile."""
    address = parse_redis_url(f"unix://{tmp_path / 'nobody.sock'}")
    with (
        contextlib.closing(connect(address)) as client,
        serving(tables_on(client, address, names.cluster)) as get,
    ):
        status, body = get("/")
        assert (status, "Redis is away." in body) == (503, True)
        status, body = get("/status.json")
        assert status == 503
        assert json.loads(body)["snapshot"]["fault"].startswith("Redis: ConnectionError")


def test_the_page_writes_nothing(tables: Tables) -> None:
    """It is read-only: whoever opens it changes no table."""
    trouble(tables)
    pattern = f"*{tables.names.cluster}*"
    before = {name: tables.client.dump(name) for name in tables.client.scan_iter(pattern)}
    with serving(tables) as get:
        assert get("/")[0] == 200
    after = {name: tables.client.dump(name) for name in tables.client.scan_iter(pattern)}
    assert after == before
