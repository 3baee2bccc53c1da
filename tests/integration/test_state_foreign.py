"""What others write into our tables by hand, or a newer version left: it must end nobody."""

from __future__ import annotations

import pytest
import structlog
from redis import Redis

from common.queue.contract import Add
from common.queue.workqueue import WorkQueue
from common.state.circuits import troubles_of
from common.state.control import Control
from common.state.database import DatabaseTable
from common.state.fence import FenceTable
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.rows import RowTable
from common.state.seen import SeenTable
from common.state.settled import SettledTable
from tests.queue_values import row, workload

pytestmark = pytest.mark.integration

WEB = workload("web")
NO_KEYS = (
    b"\xff",
    b"",
    b"workload/Deployment/shop/x",
    b"workload/Pod/shop",
    b"image/x/y/z",
    b"new/1",
)
NO_BODIES = (
    *(b"\xff", b"", b"5.5", b"x {}", b"5.5 []", b"5.5 {", b'5.5 {"fingerprint":"\xff"}'),
    b"5.5 " + b"[" * 100_000,
    b'5.5 {"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
)


def test_a_version_that_is_none_counts_as_not_seen(redis_client: Redis, names: Names) -> None:
    """The next leader reads it with its first breath, and ended; again at every start."""
    for stream, version in (
        *((b"pods", b"7"), (b"jobs", b"x"), (b"nodes", b"\xff")),
        *((b"cronjobs", b"9" * 5000), (b"\xff", b"1.5")),
    ):
        redis_client.hset(names.own("seen"), stream, version)
    assert SeenTable(redis_client, names).read() == {"pods": 7}


def test_what_is_no_table_of_versions_at_all_is_replaced(redis_client: Redis, names: Names) -> None:
    """It is a hint that each leader makes anew: no reason to end, at every start."""
    table, fence = SeenTable(redis_client, names), FenceTable(redis_client, names).take()
    for whole in (True, False):
        redis_client.delete(names.own("seen"))
        redis_client.set(names.own("seen"), "x")
        assert table.read() == {}
        table.record({"pods": 7}, whole=whole, fence=fence)
        assert table.read() == {"pods": 7}


def test_keys_that_are_none_are_passed_over_and_told_once(
    redis_client: Redis, names: Names, queue: WorkQueue
) -> None:
    """A rollback from a newer version leaves such keys; the sweep reads all of them."""
    queue.add([Add(key=WEB, row=row(WEB))], fence=FenceTable(redis_client, names).take())
    for key in NO_KEYS:
        redis_client.hset(names.own("want"), key, b"f")
        redis_client.hset(
            names.own("settled"), key, b'5.5 {"fingerprint":"f","epoch":2,"outcome":"x"}'
        )
        redis_client.zadd(names.own("images"), {key: 1.0})
    rows, settled = RowTable(redis_client, names), SettledTable(redis_client, names)
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            assert list(rows.keys()) == [WEB]
            assert list(settled.all()) == []
    assert [line["table"] for line in lines] == ["rows", "settled"]
    images = ImageTable(redis_client, names).keys()
    assert images == []


@pytest.mark.parametrize("body", NO_BODIES, ids=lambda body: repr(body[:24]))
def test_a_body_that_is_none_counts_as_absent(
    redis_client: Redis, names: Names, queue: WorkQueue, body: bytes
) -> None:
    """Whoever reads it finds nothing settled, no row, no database: each is made again."""
    queue.add([Add(key=WEB, row=row(WEB))], fence=FenceTable(redis_client, names).take())
    for table in ("settled", "rows"):
        redis_client.hset(names.own(table), str(WEB), body)
    redis_client.hset(names.own("database"), "row", body)
    rows, settled = RowTable(redis_client, names), SettledTable(redis_client, names)
    assert settled.get_many([WEB]) == {}
    assert list(settled.all()) == []
    assert rows.get(WEB) is None
    assert list(rows.all()) == []
    redis_client.hset(names.own("want"), str(WEB), b"\xff")
    assert list(rows.fingerprints([WEB])) == [WEB]
    assert DatabaseTable(redis_client, names).current() is None
    assert troubles_of({b"\xff": body}, 0.0) == []


@pytest.mark.parametrize("number", [b"x", b"\xff", b"-1", b"9" * 5000])
def test_a_request_that_is_no_number_asks_for_nothing(
    redis_client: Redis, names: Names, number: bytes
) -> None:
    """The watcher looks at it every second."""
    redis_client.hset(names.own("control"), mapping={"requested": number, "swept": number})
    control = Control(redis_client, names)
    assert (control.sweep_requested(), control.swept()) == (0, 0)


def test_entries_of_the_ledger_that_are_no_facts_hide_none(
    redis_client: Redis, names: Names
) -> None:
    """Without our fields, in no text, or at no time of the calendar."""
    ledger = Ledger(redis_client, names)
    stream = names.own("ledger")
    redis_client.xadd(stream, {"x": "y"})
    redis_client.xadd(stream, {"kind": b"\xff", "key": b"\xff", "data": b"\xff"})
    redis_client.xadd(stream, {"kind": "swept", "key": "k", "data": "{}"})
    redis_client.xadd(stream, {"kind": "swept", "key": "k", "data": "{}"}, id=f"{2**63}-1")
    assert [fact.kind for fact in ledger.history("k", 10)] == ["swept"]
    assert [fact.kind for _, fact in ledger.tail(10)] == ["swept"]
