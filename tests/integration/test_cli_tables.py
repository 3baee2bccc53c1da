"""The commands that look at the tables and act on them, on a real Valkey."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.model.facts import Fact
from common.model.image import Failure, ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.model.redis_address import parse_redis_url
from common.model.workload import WorkloadRow, fingerprint
from common.overview.tables import Tables, tables_on
from common.queue.contract import Add, After, ImageUpdate, Lane, Park, Settled
from common.state.database import DatabaseRow, FailedLook
from common.state.database_check import DatabaseCheck
from common.state.fence import FenceTable
from common.state.leader import LeaderTable
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.cli_values import row

pytestmark = pytest.mark.integration

DIGEST = "sha256:" + "ab" * 32
IMAGE = ImageKey(digest=DIGEST, platform="linux-amd64", options="0f")


@pytest.fixture
def tables(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey, redis_client: Redis, names: Names
) -> Tables:
    """Give the tables of a cluster of the test's own, and point the commands at it."""
    monkeypatch.setenv("SLUICE_REDIS_URL", valkey.socket_url)
    monkeypatch.setenv("SLUICE_CLUSTER", names.cluster)
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


def add_rows(tables: Tables, *rows: WorkloadRow) -> None:
    """Store rows and queue their keys, as the watcher does."""
    fence = FenceTable(tables.client, tables.names).take()
    tables.queue.add(
        [Add(key=each.key, row=each, cause="PodChanged") for each in rows], fence=fence
    )


def converge(tables: Tables, each: WorkloadRow) -> None:
    """Work the queue's next reconcile key to its end."""
    (claim,) = tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    assert claim.key == each.key
    facts = [Fact(kind="written", key=str(each.key), data={"report": "R/shop/r", "how": "created"})]
    outcome = Settled(fingerprint=fingerprint(each), epoch=0, outcome="Converged")
    assert tables.queue.complete("w1", [(claim, outcome)], facts) == [True]


def use_image(tables: Tables, each: WorkloadRow) -> None:
    """Let a workload look its image up, which queues the image."""
    use = ImageUse(workload=str(each.key), reference="app:1", namespace="shop")
    tables.images.lookup(use, [IMAGE])


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must succeed and return its result."""
    assert main(list(words)) == 0
    return capsys.readouterr().out


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the status as scripts read it."""
    found = json.loads(said(capsys, "status", "--json"))
    assert isinstance(found, dict)
    return found


def test_the_status_of_an_empty_cluster_has_every_key(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script may not have to guess which keys appear later."""
    found = status(capsys)
    assert found["coverage"] == {"workloads": 0, "true": 0, "share": 1.0}
    assert found["queue"]["reconcile"]["fresh"] == {"queued": 0, "oldest_age_s": 0.0}
    assert (found["running"], found["delayed"], found["dead"]) == (0, 0, 0)
    assert found["circuits"] == []
    assert found["database"] == {
        "version": None,
        "age_s": None,
        "checked_age_s": None,
        "failed": None,
    }
    assert (found["lacking"], found["failing"], found["failures"]) == ([], {}, [])
    assert [each["said"].partition(":")[0] for each in found["problems"]] == [
        f"the key space '{tables.names.cluster}' is empty"
    ]
    assert found["empty"]
    assert found["last_event_age_s"] is None
    assert found["workers"] == []


def test_the_status_follows_what_happens(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Queued, covered, alive: each number from the table that owns it."""
    web, db = row("web-1"), row("db-1")
    add_rows(tables, web, db)
    before = status(capsys)
    assert before["queue"]["reconcile"]["fresh"]["queued"] == 2
    assert before["coverage"] == {"workloads": 2, "true": 0, "share": 0.0}
    converge(tables, web)
    tables.database.publish(DatabaseRow(version="2026-11-25T06:00:00Z", server_url="http://x:1"))
    after = status(capsys)
    assert after["coverage"] == {"workloads": 2, "true": 1, "share": 0.5}
    assert after["workers"] == ["w1"]
    assert after["database"]["age_s"] is not None
    assert 0 <= after["last_event_age_s"] < 60


def test_the_status_waits_until_everything_runs(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `helm test` does, right after an install: the last part to come ends the wait."""

    def arrive() -> None:
        fence = FenceTable(tables.client, tables.names).take()
        tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
        LeaderTable(tables.client, tables.names, me="host").alive(fence=fence)
        tables.database.publish(DatabaseRow(version="2026-11-25T06:00:00Z", server_url="http://x"))

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(main, ["status", "--wait", "60"])
        assert not wait([waiting], timeout=1.5).done  # more than one look
        arrive()
        assert waiting.result(60) == 0
    assert "1 alive" in capsys.readouterr().out


def test_the_status_that_waited_in_vain_says_what_is_not_there(
    tables: Tables, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit status 1, so that Helm says that the test failed; without a wait it is a look."""
    add_rows(tables, row("web-1"))
    assert main(["status", "--wait", "1"]) == 1
    out = capsys.readouterr().out
    for said_ in ("no watcher is alive", "no worker is alive", "no vulnerability database"):
        assert said_ in out
    assert main(["status"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("SLUICE_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["status", "--wait", "1"]) == 3
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_the_status_reads_as_text_too(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    """People do not read JSON."""
    add_rows(tables, row("web-1"))
    tables.queue.pause()
    text = said(capsys, "status")
    assert "0 of 1 workloads (0%)" in text
    assert text.startswith("! the queue is paused")
    assert "\nreconcile  1      0" in text
    assert "  sluice queue resume\n" in text


def test_a_deployments_story_is_that_of_its_replicaset_and_its_image(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why is there no report? The answer often lies with the image."""
    web = row("web-1")
    add_rows(tables, web, row("web-0", current=False))
    converge(tables, web)
    use_image(tables, web)
    text = said(capsys, "history", "Deployment/shop/web")
    lines = text.splitlines()
    assert lines[0] == "ReplicaSet/shop/web-1"
    told = [line.partition("Z  ")[2] for line in lines if "Z  " in line]
    assert told == [
        "Queued, to run at once: PodChanged.",
        "Taken by w1.",
        "R/shop/r created.",
        "Everything about it is true now.",
        f"Queued, to run at once: used by {web.key.shown}.",
    ]
    assert f"{DIGEST} (linux/amd64)" in text
    assert "web-0" not in text


def test_an_image_that_was_never_resolved_is_found_by_its_reference(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first thing one types after a typing error in a manifest."""
    web = row("web-1")
    add_rows(tables, web)
    (claim,) = tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    park = Park(reason="ImageNotFound", message="app:1: not there", probe_after_s=60)
    tables.queue.complete("w1", [(claim, park)])
    text = said(capsys, "history", "docker.io/library/app:1")
    assert text.startswith("ReplicaSet/shop/web-1\n")
    assert "(ImageNotFound): app:1: not there." in text
    assert main(["rescan", "app:1"]) == 0
    assert tables.queue.ls("queued")[0].key == web.key


def test_a_story_is_told_to_scripts_as_facts(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentences may change; the facts have names."""
    add_rows(tables, row("web-1"))
    (chapter,) = json.loads(said(capsys, "history", "rs/shop/web-1", "--json", "--limit", "1"))
    assert chapter["key"] == "workload/ReplicaSet/shop/web-1"
    (fact,) = chapter["facts"]
    assert fact["kind"] == "enqueued"
    assert fact["at"] > 0


def test_history_knows_a_report_by_the_names_that_kubectl_shows(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wonders about a report has its name before him."""
    web = row("web-1")
    add_rows(tables, web)
    (claim,) = tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    reports = {"VulnerabilityReport/shop/replicaset-web-1-app": "hash"}
    outcome = Settled(fingerprint=fingerprint(web), epoch=0, outcome="Converged", reports=reports)
    assert tables.queue.complete("w1", [(claim, outcome)]) == [True]
    for kind in ("VulnerabilityReport", "vulns", "vulnerabilityreport.aquasecurity.github.io"):
        text = said(capsys, "history", f"{kind}/shop/replicaset-web-1-app")
        assert text.startswith("ReplicaSet/shop/web-1\n")
        assert "Everything about it is true now" in text
    assert main(["history", "vulns/shop/other"]) == 1


def test_history_of_an_image_that_is_left_out_says_so(
    tables: Tables, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Nothing is known` sent people away from their own setting."""
    add_rows(tables, row("web-1"))
    monkeypatch.setenv("SLUICE_EXCLUDE_IMAGES", "registry.example.com/tools/*")
    text = said(capsys, "history", "registry.example.com/tools/shell:1")
    assert "SLUICE_EXCLUDE_IMAGES leaves registry.example.com/tools/* out" in text
    (told,) = json.loads(said(capsys, "history", "registry.example.com/tools/shell:1", "--json"))
    assert told["excluded_by"] == "registry.example.com/tools/*"
    assert main(["history", "registry.example.com/app:1"]) == 1


def test_a_story_of_nothing_is_a_failure_with_a_hint(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty answer looks like `all is well`."""
    assert main(["history", "Pod/shop/nobody"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing is known about 'Pod/shop/nobody'" in err


def test_parked_keys_are_listed_with_reason_and_next_probe(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dead` is where an operator looks first."""
    web = row("web-1")
    add_rows(tables, web)
    use_image(tables, web)
    (claim,) = tables.queue.claim("scan", "w1", limit=1, lease_s=60)
    failure = Failure(reason="Unauthorized", message="401 from registry", at=0)
    park = Park(
        reason="Unauthorized",
        message="401 from registry",
        probe_after_s=600,
        image=ImageUpdate(failure=failure),
    )
    tables.queue.complete("w1", [(claim, park)])
    text = said(capsys, "queue", "dead")
    assert str(IMAGE) in text
    assert "Unauthorized: 401 from registry" in text
    (entry,) = json.loads(said(capsys, "queue", "dead", "--json"))
    assert entry["key"] == str(IMAGE)
    assert entry["state"] == "parked"
    found = status(capsys)
    assert found["dead"] == found["pools"]["scan"]["dead"] == 1
    (failing,) = found["failures"]
    assert (failing["reference"], failing["users"]) == ("app:1", 1)
    assert 0 < failing["due_in_s"] <= 600
    text = said(capsys, "status")
    assert "! 1 key is parked: Unauthorized\n    app:1: 401 from registry (1 attempt" in text
    assert "  sluice history app:1" in text


def test_a_key_that_waits_is_no_failure(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    """A new pod waits for its kubelet for a minute; that is how it should be."""
    add_rows(tables, row("web-1"))
    (claim,) = tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    tables.queue.complete("w1", [(claim, After(delay_s=60, reason="ImageWait"))])
    found = status(capsys)
    assert (found["delayed"], found["failures"]) == (1, [])


def test_the_queue_lists_all_states_or_one(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """What runs is as interesting as what waits."""
    add_rows(tables, row("web-1"), row("web-2"))
    tables.queue.claim("reconcile", "w1", limit=1, lease_s=60)
    assert len(json.loads(said(capsys, "queue", "ls", "--json"))) == 2
    (running,) = json.loads(said(capsys, "queue", "ls", "--json", "--state", "running"))
    assert running["worker"] == "w1"
    assert len(json.loads(said(capsys, "queue", "ls", "--json", "--limit", "1"))) == 1


def test_an_empty_list_says_so_beside_the_result(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """A head without rows leaves one wondering whether the command looked at the right Redis."""
    assert tables.queue.ls("queued", 1) == []
    assert main(["queue", "dead"]) == 0
    assert capsys.readouterr().err == "no key is parked\n"
    assert main(["queue", "ls"]) == 0
    assert capsys.readouterr().err == "no key is queued or running or delayed or parked\n"
    assert main(["queue", "ls", "--json"]) == 0
    assert capsys.readouterr() == ("[]\n", "")


def test_a_rescan_of_everything_in_an_empty_cluster_asks_for_the_watcher(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the watcher that brings workloads."""
    assert tables.images.keys() == []
    assert main(["rescan", "--all"]) == 1
    assert "is the watcher running?" in capsys.readouterr().err


def test_a_rescan_brings_a_parked_image_back_at_once(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 18. The slow probe revives it; `sluice rescan` at once."""
    web = row("web-1")
    add_rows(tables, web)
    converge(tables, web)
    use_image(tables, web)
    (claim,) = tables.queue.claim("scan", "w1", limit=1, lease_s=60)
    tables.queue.complete(
        "w1", [(claim, Park(reason="Unauthorized", message="401", probe_after_s=3600))]
    )
    assert tables.queue.claim("scan", "w1", limit=1, lease_s=60) == []
    said(capsys, "rescan", "Deployment/shop/web")
    assert [each.key for each in tables.queue.claim("scan", "w1", limit=9, lease_s=60)] == [IMAGE]
    again = tables.queue.claim("reconcile", "w1", limit=9, lease_s=60)
    assert web.key in [each.key for each in again]


def test_a_rescan_of_everything_is_bulk_and_spread(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand workloads at once would be the herd that the design forbids."""
    rows = [row(f"web-{number}") for number in range(4)]
    add_rows(tables, *rows)
    for each in rows:
        converge(tables, each)
    said(capsys, "rescan", "--all", "--over", "1h")
    found = json.loads(said(capsys, "queue", "ls", "--json"))
    assert {entry["lane"] for entry in found} == {Lane.BULK.label}
    assert sorted(entry["state"] for entry in found) == ["delayed"] * 3 + ["queued"]


def test_a_rescan_of_nothing_is_a_failure(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """`queued` would be a lie."""
    assert main(["rescan", "nginx:9"]) == 1
    assert "nothing is known about 'nginx:9'" in capsys.readouterr().err


def test_the_database_in_use_is_shown(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    """Version, age, and when somebody looked last."""
    assert main(["database"]) == 1
    assert "no matcher" in capsys.readouterr().err
    tables.database.publish(
        DatabaseRow(
            version="2026-11-25T06:00:00Z",
            server_url="http://127.0.0.1:4954",
            trivy_version="0.76.0",
            checked_at=tables.clock.now_s(),
        )
    )
    found = json.loads(said(capsys, "database", "status", "--json"))
    assert found["version"] == "2026-11-25T06:00:00Z"
    assert found["trivy"] == "0.76.0"
    assert found["checked_age_s"] < 60
    assert "served by  http://127.0.0.1:4954" in said(capsys, "database")


def test_a_check_waits_for_the_matchers_look(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is about the database after the look, not before it."""
    tables.ledger.append([Fact(kind="started")])
    requests = DatabaseCheck(tables.client, tables.names)
    over = threading.Event()

    def matcher() -> None:
        while not over.wait(0.02):
            number = requests.requested()
            if number > requests.answered():
                now_s = tables.clock.now_s()
                tables.database.publish(
                    DatabaseRow(version="2026-11-25T12:00:00Z", server_url="u", checked_at=now_s)
                )
                requests.answer(number)

    thread = threading.Thread(target=matcher)
    thread.start()
    try:
        assert main(["database", "check", "--json"]) == 0
        assert main(["database", "check", "--json"]) == 0
    finally:
        over.set()
        thread.join()
    out, err = capsys.readouterr()
    assert "2026-11-25T12:00:00Z" in out
    assert err.splitlines() == ["a newer database is in use", "no newer database"]


def test_a_look_that_failed_is_not_told_as_no_newer_database(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry was away: whether there is a newer one, nobody knows."""
    tables.database.publish(DatabaseRow(version="2026-11-25T06:00:00Z", server_url="u"))
    requests = DatabaseCheck(tables.client, tables.names)
    requests.answer(9)  # the matcher answers every request, whatever came of its look
    tables.database.note_look(FailedLook(reason="RateLimited", message="slow down", at=1.0))
    assert main(["database", "check", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "could not reach or read the database: RateLimited, slow down" in err
    assert main(["database"]) == 0
    assert "RateLimited, slow down" in capsys.readouterr().err
    tables.database.note_look(None)
    assert main(["database"]) == 0
    assert "slow down" not in capsys.readouterr().err


def test_a_check_without_a_matcher_names_what_is_missing(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must not wait for ever for a process that nobody started."""
    tables.ledger.append([Fact(kind="started")])
    assert main(["database", "check", "--timeout-s", "0.1"]) == 1
    assert "worker of pool `match`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["database", "check", "--timeout-s", "0.1"],
        ["queue", "pause"],
        ["queue", "resume"],
        ["queue", "requeue", "workload/Pod/shop/web"],
        ["queue", "drop", "workload/Pod/shop/web"],
    ],
    ids=" ".join,
)
def test_what_writes_leaves_nothing_in_a_key_space_that_nobody_uses(
    tables: Tables, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A typing error in SLUICE_CLUSTER was told as done, and its keys stayed for ever."""
    assert main(words) == 3
    assert "check SLUICE_CLUSTER" in capsys.readouterr().err
    assert list(tables.client.scan_iter(f"*{tables.names.cluster}*")) == []


def test_a_key_space_in_use_is_not_called_empty(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """A watcher that has just started has no workload yet, and wants no remedy."""
    tables.ledger.append([Fact(kind="started")])
    found = status(capsys)
    assert not found["empty"]
    assert "is empty" not in str(found["problems"])
    said(capsys, "queue", "pause")


def test_workers_whose_lease_ended_are_not_alive(
    tables: Tables, redis_client: Redis, names: Names
) -> None:
    """A killed worker is missed within its lease, not within rq's seven minutes."""
    tables.queue.claim("reconcile", "fresh", limit=1, lease_s=60)
    redis_client.zadd(names.own("leases"), {"stale": tables.clock.now_s() - 1})
    assert tables.workers.alive() == ("fresh",)


def test_a_workload_of_another_cluster_is_not_seen(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clusters share one Redis."""
    add_rows(tables, row("web-1"))
    monkeypatch.setenv("SLUICE_CLUSTER", "another-one")
    assert main(["history", str(WorkloadKey(kind="ReplicaSet", namespace="shop", name="web-1"))])
    assert status(capsys)["coverage"]["workloads"] == 0


def test_what_a_table_warns_of_does_not_stand_in_the_result(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a rollback `status --json` was a log line and then JSON, which no script could read."""
    add_rows(tables, row("web-1"))
    tables.client.hset(tables.names.own("want"), "kind-of-tomorrow/a/b", "x")
    assert main(["status", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["coverage"]["workloads"] == 1
    assert "kind-of-tomorrow/a/b" in err
