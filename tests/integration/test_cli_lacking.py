"""Which workloads lack reports, and why: the status over a real Valkey, in every state of a key."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from common.model.image import ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.model.redis_address import parse_redis_url
from common.model.workload import Fingerprint, WorkloadRow, fingerprint
from common.overview.gather import gather
from common.overview.tables import Tables, tables_on
from common.overview.trouble import Promises
from common.queue.contract import Add, After, Hold, Lane, Outcome, Park, Settled, Waiting
from common.queue.standing import Stand
from common.state.fence import FenceTable
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.cli_values import row

pytestmark = pytest.mark.integration

IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")
HELD = Hold(delay_s=60, source="api-server", reason="ApiUnavailable", message="503")
PARKED = Park(reason="TooLarge", message="too large", probe_after_s=3600)


@pytest.fixture
def tables(valkey: Valkey, redis_client: Redis, names: Names) -> Tables:
    """Give the tables of a cluster of the test's own."""
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


def add(tables: Tables, *rows: WorkloadRow) -> None:
    """Store rows and queue their keys, as the watcher does."""
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add([Add(key=each.key, row=each) for each in rows], fence=fence)


def work(tables: Tables, outcome: Outcome, pool: str = "reconcile") -> None:
    """Work the next key of a pool to that end."""
    (claim,) = tables.queue.claim(pool, "w1", limit=1, lease_s=60)
    assert tables.queue.complete("w1", [(claim, outcome)]) == [True]


def converged(each: WorkloadRow) -> Settled:
    """Return the end of a run that made all reports."""
    return Settled(fingerprint=fingerprint(each), epoch=0, outcome="Converged")


def lacking(tables: Tables) -> dict[str, str]:
    """Return why each workload lacks reports, as people read it."""
    found = gather(tables, Promises(sweep_interval_s=3600))
    covered = found.document["coverage"]
    assert covered["workloads"] - covered["true"] == len(found.lacking)
    return {shown.rpartition("/")[2]: why for shown, why in found.lacking.items()}


def groups(tables: Tables) -> list[dict[str, Any]]:
    """Return the groups as scripts read them."""
    found: list[dict[str, Any]] = gather(tables, Promises(sweep_interval_s=3600)).document[
        "lacking"
    ]
    return found


def test_every_state_of_a_key_explains_what_its_workload_lacks(tables: Tables) -> None:
    """Parked, held, delayed and dropped workloads were in no list at all."""
    ends: dict[str, Outcome] = {
        "parked": PARKED,
        "held": HELD,
        "young": After(delay_s=60, reason="WaitingForKubelet"),
        "true": converged(row("true")),
    }
    for name, outcome in ends.items():
        add(tables, row(name))
        work(tables, outcome)
    add(tables, row("dropped"), row("running"), row("queued"))
    assert tables.queue.drop(row("dropped").key)
    tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    assert lacking(tables) == {
        "parked": "parked: TooLarge",
        "held": "held by api-server",
        "dropped": "in no queue until the next sweep",
        "young": "delayed: WaitingForKubelet",
        "running": "running",
        "queued": "queued",
    }


def test_a_workload_that_waits_for_its_image_is_not_lost_until_the_image_is(
    tables: Tables,
) -> None:
    """It stands in no queue while another pool scans the image; nobody has to queue it."""
    web, old = row("web"), row("old", current=False)
    add(tables, web, old)
    tables.images.lookup(ImageUse(workload=str(web.key), reference="a", namespace="shop"), [IMAGE])
    work(tables, Waiting(on=str(IMAGE)))
    tables.images.await_settled(web.key, old.key)
    work(tables, Waiting(on=str(web.key)))
    assert lacking(tables) == {"web": "waiting for its image", "old": "waiting for its successor"}
    assert tables.queue.drop(IMAGE)
    assert lacking(tables)["web"] == "in no queue until the next sweep"


def test_a_report_that_cannot_be_written_again_is_missed(tables: Tables) -> None:
    """Its last run converged, and that is no answer to what happened since."""
    add(tables, row("web"))
    work(tables, converged(row("web")))
    assert lacking(tables) == {}
    tables.queue.add([Add(key=row("web").key, cause="ReportDeleted")])
    assert lacking(tables) == {}
    work(tables, HELD)
    assert groups(tables) == [
        {
            "why": "held",
            "reason": "api-server",
            "workloads": 1,
            "examples": ["ReplicaSet/shop/web"],
        }
    ]


def test_what_changes_during_a_look_is_not_told_as_lost(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm that is over before one has read it teaches to ignore alarms."""
    web = row("web")
    add(tables, web)
    work(tables, converged(web))
    stale = {web.key: Fingerprint("before its last change")}
    read = tables.rows.fingerprints
    answers = iter([stale])
    monkeypatch.setattr(tables.rows, "fingerprints", lambda keys: next(answers, None) or read(keys))
    assert lacking(tables) == {}


def test_foreign_entries_in_the_queue_stop_no_look(
    tables: Tables, redis_client: Redis, names: Names
) -> None:
    """Whoever looks does so because something is wrong already."""
    add(tables, row("web"))
    redis_client.rpush(names.rq("queue", "reconcile", 0), "no job of ours", b"\xff\xfe")
    redis_client.zadd(names.rq("scheduled", "scan", 0), {names.job_prefix + "_zz": 1})
    redis_client.sadd(names.own(f"waiters:{row('web').key}"), "no key", b"\xff")
    add(tables, row("lost"))
    tables.queue.drop(row("lost").key)
    assert tables.standings.all() == {row("web").key: Stand(state="queued")}
    assert tables.standings.waiters([row("web").key]) == {}
    assert lacking(tables) == {"web": "queued", "lost": "in no queue until the next sweep"}


def test_a_promoted_key_is_told_once_and_as_what_it_is(tables: Tables) -> None:
    """A promotion leaves an entry behind in the lane that the key came from."""
    key = WorkloadKey(kind="Pod", namespace="shop", name="web")
    tables.queue.add([Add(key=key, lane=Lane.BULK)])
    assert tables.standings.all() == {key: Stand(state="queued")}
    tables.queue.add([Add(key=key)])
    tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    assert tables.standings.all() == {key: Stand(state="running")}
