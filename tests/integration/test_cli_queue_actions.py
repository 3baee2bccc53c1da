"""`sluice queue` acts on keys and says what is true, on a real Valkey."""

from __future__ import annotations

import pytest
from redis import Redis

from common.cli.main import main
from common.model.facts import Fact
from common.model.image import ImageUse
from common.model.key import ImageKey, match_key
from common.model.redis_address import parse_redis_url
from common.model.workload import WorkloadRow
from common.overview.tables import Tables, tables_on
from common.queue.contract import Add
from common.state.fence import FenceTable
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.cli_values import row

pytestmark = pytest.mark.integration

IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")
WEB = row("web-1")


@pytest.fixture
def tables(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey, redis_client: Redis, names: Names
) -> Tables:
    """Give the tables of a cluster of the test's own, and point the commands at it."""
    monkeypatch.setenv("SLUICE_REDIS_URL", valkey.socket_url)
    monkeypatch.setenv("SLUICE_CLUSTER", names.cluster)
    monkeypatch.setenv("SLUICE_SWEEP_INTERVAL_S", "7200")
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


def add(tables: Tables, *rows: WorkloadRow) -> None:
    """Store rows and queue their keys, as the watcher does."""
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add([Add(key=each.key, row=each) for each in rows], fence=fence)


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """Run a command and return what it says beside its result, which it must not have."""
    assert main(list(words)) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_dropped_workload_is_told_with_what_brings_it_back_and_when(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands in no list until then, and nobody knew for how long."""
    add(tables, WEB)
    assert said(capsys, "queue", "drop", str(WEB.key)) == (
        "dropped; the next sweep, within 2h or so, queues it again if its reports need it "
        "(until then `sluice status` counts it as lacking); "
        "`sluice rescan ReplicaSet/shop/web-1` queues it now\n"
    )
    tables.ledger.append([Fact(kind="swept")])
    said(capsys, "queue", "requeue", str(WEB.key))
    told = said(capsys, "queue", "drop", str(WEB.key))
    assert told.startswith("dropped; the next sweep, in about 2h, ") or "in about 1h59m" in told
    assert main(["status"]) == 0
    assert "nobody works on it before the next sweep" in capsys.readouterr().out


def test_a_sweep_that_should_have_been_is_told_as_due(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time in the past is no promise."""
    tables.ledger.append([Fact(kind="swept")])
    add(tables, WEB)
    monkeypatch.setattr(
        "common.state.clock.RedisClock.now_s", lambda _: tables.ledger.tail(1)[0][1].at + 7_200
    )
    assert "the next sweep, which is due, queues" in said(capsys, "queue", "drop", str(WEB.key))


def test_a_dropped_image_comes_back_with_its_workloads(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweep asks for workloads, never for images."""
    add(tables, WEB)
    tables.images.lookup(ImageUse(workload=str(WEB.key), reference="a", namespace="shop"), [IMAGE])
    told = said(capsys, "queue", "drop", str(IMAGE))
    assert "when a workload that uses it runs again" in told
    assert f"sluice rescan {IMAGE.digest}" in told
    assert "is in no queue" in said(capsys, "queue", "drop", str(IMAGE), status=1)


def test_a_dropped_match_comes_back_with_the_next_database(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """No workload asks for it: its image has been matched once."""
    key = match_key(IMAGE)
    tables.images.lookup(ImageUse(workload=str(WEB.key), reference="a", namespace="shop"), [IMAGE])
    assert said(capsys, "queue", "requeue", str(key)) == "queued\n"
    assert f"match/{IMAGE.digest}" in "".join(str(entry.key) for entry in tables.queue.ls("queued"))
    told = said(capsys, "queue", "drop", str(key))
    assert "comes back with the next vulnerability database" in told
    assert f"sluice rescan {IMAGE.digest}" in told
    assert "is in no queue" in said(capsys, "queue", "drop", str(key), status=1)


@pytest.mark.parametrize(
    "text", ["workload/Pod/shop/tyop", f"image/sha256:{'00' * 32}/linux-amd64/0f", "cluster/x"]
)
def test_a_drop_of_what_nobody_knows_says_so(
    tables: Tables, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """`not in the queue, or running` left open whether the name was right."""
    add(tables, WEB)
    assert said(capsys, "queue", "drop", text, status=1) == (
        f"no such key is known: {text}; `sluice queue ls` lists the keys of the queue\n"
    )


def test_a_drop_of_what_rests_or_runs_says_which(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are refused, for reasons that lead to different next steps."""
    add(tables, WEB)
    tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    assert "is running, so it was not dropped" in said(
        capsys, "queue", "drop", str(WEB.key), status=1
    )
    tables.queue.leave("w1")
    assert said(capsys, "queue", "drop", str(WEB.key))
    assert "is in no queue, so nothing was dropped" in said(
        capsys, "queue", "drop", str(WEB.key), status=1
    )


def test_a_requeue_of_what_is_not_in_the_cluster_says_so(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """`queued` alone looks as if the name had been right."""
    add(tables, WEB)
    told = said(capsys, "queue", "requeue", "workload/Pod/shop/tyop")
    assert told == "queued; Pod/shop/tyop is not in the cluster, so it cleans up\n"
    assert "is not in the cluster" in said(capsys, "queue", "requeue", str(IMAGE))
    tables.queue.drop(WEB.key)
    assert said(capsys, "queue", "requeue", str(WEB.key)) == "queued\n"
    assert said(capsys, "queue", "requeue", str(WEB.key)) == "it was about to run anyway\n"


def test_pause_and_resume_say_what_was_so_already(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """`resumed` on a queue that runs sends people away from what really holds their keys."""
    add(tables, WEB)
    assert said(capsys, "queue", "resume") == "the queue was not paused: keys are taken\n"
    assert said(capsys, "queue", "pause").startswith("paused: ")
    assert tables.queue.claim("reconcile", "w1", limit=1, lease_s=60) == []
    assert said(capsys, "queue", "pause").startswith("it was paused already")
    assert said(capsys, "queue", "resume") == "resumed\n"
    assert len(tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)) == 1


@pytest.mark.parametrize(
    "words", [["rescan", "--all"], ["queue", "requeue", str(WEB.key)]], ids=" ".join
)
def test_what_queues_into_a_paused_queue_says_that_nothing_runs(
    tables: Tables, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """The operator of today may not know what the one of yesterday did."""
    add(tables, WEB)
    assert "paused" not in said(capsys, *words)
    tables.queue.pause()
    assert "the queue is paused, so nothing runs: `sluice queue resume`" in said(capsys, *words)
