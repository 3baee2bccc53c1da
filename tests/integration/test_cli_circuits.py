"""A registry's outage as an operator sees it: status, queue and history, on a real Valkey."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.model.circuit import Fail
from common.model.image import ImageUse
from common.model.key import ImageKey, WorkloadKey
from common.model.redis_address import parse_redis_url
from common.overview.tables import Tables, tables_on
from common.queue.contract import Add, After, Hold, Outcome, Park, Retry
from common.state.circuits import Probe
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.queue_values import converged, workload

pytestmark = pytest.mark.integration

QUAY = "registry/quay.io"
IMAGE = ImageKey(digest="sha256:" + "ab" * 32, platform="linux-amd64", options="0f")
WEB = workload("web")


@pytest.fixture
def tables(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey, redis_client: Redis, names: Names
) -> Tables:
    """Give the tables of a cluster of the test's own, and point the commands at it."""
    monkeypatch.setenv("SLUICE_REDIS_URL", valkey.socket_url)
    monkeypatch.setenv("SLUICE_CLUSTER", names.cluster)
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must succeed and return its result."""
    assert main(list(words)) == 0
    return capsys.readouterr().out


def fail(tables: Tables, source: str = QUAY, *, keys: str = "abc", rest_s: float = 0.0) -> None:
    """Let a source fail for keys."""
    for key in keys:
        failure = Fail(
            key=key,
            failed_before=False,
            reason="RegistryUnavailable",
            message="no route",
            rest_s=rest_s,
        )
        tables.circuits.failed(source, failure)


def end(tables: Tables, key: WorkloadKey | ImageKey, outcome: Outcome) -> None:
    """Add a key and work it to that end."""
    tables.queue.add([Add(key=key, cause="changed")])
    pool = "scan" if isinstance(key, ImageKey) else "reconcile"
    (claim,) = tables.queue.claim(pool, "w1", limit=1, lease_s=60)
    assert claim.key == key
    assert tables.queue.complete("w1", [(claim, outcome)]) == [True]


def held(delay_s: float = 60.0) -> Hold:
    """Return a run that the registry's fault ended."""
    return Hold(delay_s=delay_s, source=QUAY, reason="RegistryUnavailable", message="no route")


def use(tables: Tables) -> None:
    """Let the workload use the image, as a look-up does; the queue is empty afterwards."""
    tables.images.lookup(
        ImageUse(workload=str(WEB), reference="quay.io/app:1", namespace="shop"), [IMAGE]
    )
    tables.queue.drop(IMAGE)


def circuits(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the sources in trouble as scripts read them."""
    found: list[dict[str, Any]] = json.loads(said(capsys, "status", "--json"))["circuits"]
    return found


def test_the_status_has_every_source_in_trouble(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """State, since when, how long still, and the last words of the fault."""
    fail(tables, rest_s=600.0)
    fail(tables, "api-server", keys="a")
    api, quay = circuits(capsys)
    assert quay.pop("since_s") >= 0
    assert 0 < quay.pop("next_s") <= 600
    assert quay == {
        "source": QUAY,
        "state": "open",
        "failures": 3,
        "reason": "RegistryUnavailable",
        "message": "no route",
        "idle": False,
    }
    assert (api["state"], api["next_s"]) == ("failing", 0.0)
    tables.circuits.succeeded(QUAY)
    tables.circuits.succeeded("api-server")
    assert circuits(capsys) == []


def test_a_probe_is_told_as_one(
    tables: Tables, redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next seconds decide."""
    fail(tables)
    text = redis_client.hget(tables.names.own("circuits"), QUAY)
    assert isinstance(text, bytes)
    record = json.loads(text)
    record["until"] = tables.clock.now_s() - 1
    redis_client.hset(tables.names.own("circuits"), QUAY, json.dumps(record))
    assert tables.circuits.enter(QUAY) == Probe()
    (quay,) = circuits(capsys)
    assert quay["state"] == "probing"


def test_the_status_names_the_source_and_who_waits_for_it(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for the registry instead of one for each of its images."""
    use(tables)
    end(tables, IMAGE, held())
    fail(tables, rest_s=600.0)
    text = said(capsys, "status")
    first = next(line for line in text.splitlines() if QUAY in line)
    assert first.startswith(f"! {QUAY} failed 3 times in a row (RegistryUnavailable)")
    assert "    quay.io/app:1 waits for it" in text
    assert "see that workers reach quay.io" in text
    assert "tried again after a failure" not in text
    (failure,) = json.loads(said(capsys, "status", "--json"))["failures"]
    assert (failure["source"], failure["class"]) == (QUAY, "")


def test_the_status_counts_the_dead_by_reason(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dead: 3` alone says nothing."""
    for name, reason in (("a", "TooLarge"), ("b", "Unauthorized"), ("c", "TooLarge")):
        park = Park(reason=reason, message="no", budget=reason, probe_after_s=60)
        end(tables, workload(name), park)
    found = json.loads(said(capsys, "status", "--json"))
    assert found["dead_reasons"] == {"TooLarge": 2, "Unauthorized": 1}


def test_a_delayed_key_is_listed_with_what_it_waits_for(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Held, backing off, waiting for a kubelet, asked for later."""
    end(tables, workload("a"), held())
    end(
        tables,
        workload("b"),
        Retry(delay_s=60, reason="DockerHubLimit", message="429", budget="RateLimited"),
    )
    end(tables, workload("c"), After(delay_s=60, reason="WaitingForKubelet"))
    tables.queue.add([Add(key=workload("d"), delay_s=60)])
    lines = said(capsys, "queue", "ls", "--state", "delayed").splitlines()[1:]
    assert [" ".join(line.split()[4:]) for line in lines] == [
        f"0 {workload('a')} held by {QUAY}: RegistryUnavailable: no route",
        f"1 (RateLimited 1) {workload('b')} backoff of RateLimited: DockerHubLimit: 429",
        f"0 {workload('c')} waits: WaitingForKubelet",
        f"0 {workload('d')} asked for later",
    ]
    listed = json.loads(said(capsys, "queue", "ls", "--state", "delayed", "--json"))
    assert [(each["source"], each["error_class"]) for each in listed] == [
        (QUAY, ""),
        ("", "RateLimited"),
        ("", ""),
        ("", ""),
    ]
    assert listed[1]["failures"] == {"RateLimited": 1}


def test_a_dead_key_is_listed_with_its_class_and_next_probe(
    tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which budget is used up, and when it is tried again by itself."""
    park = Park(
        reason="RegistryUnavailable", message="no", budget="SourceUnavailable", probe_after_s=600
    )
    end(tables, WEB, park)
    head, line = said(capsys, "queue", "dead").splitlines()
    assert head.split()[:4] == ["AGE", "PROBE", "TRIES", "CLASS"]
    assert "1 (SourceUnavailable 1)  SourceUnavailable" in line
    assert re.fullmatch(r"10m|\dm\d+s", line.split()[1])


def test_history_tells_what_became_of_the_source_that_held_a_key(
    tables: Tables, capsys: pytest.CaptureFixture[str], later: Callable[[float], None]
) -> None:
    """Why was nothing scanned between two and three o'clock? The registry was away."""
    fail(tables, "registry/docker.io", rest_s=600.0)
    fail(tables, rest_s=600.0)
    use(tables)
    end(tables, IMAGE, held())
    tables.circuits.succeeded(QUAY)
    later(61.0)
    (claim,) = tables.queue.claim("scan", "w1", limit=1, lease_s=60)
    tables.queue.complete("w1", [(claim, converged())])
    fail(tables, rest_s=600.0)
    text = said(capsys, "history", "quay.io/app:1")
    told = [line.partition("Z  ")[2] for line in text.splitlines() if "Z  " in line]
    opened = f"{QUAY} is not asked for 10m, after 3 failures in a row (RegistryUnavailable)."
    assert told[0] == opened
    assert told[-3].startswith(f"{QUAY} is at fault (RegistryUnavailable): no route.")
    assert told[-2:] == [
        f"{QUAY} answers again.",
        "Everything about it is true now.",
    ]
    assert told.count(opened) == 1, "the outage after it converged is not its story"
    assert "docker.io" not in text
    (chapter,) = json.loads(said(capsys, "history", "quay.io/app:1", "--json"))
    assert [fact["kind"] for fact in chapter["facts"]].count("circuit") == 2
    end(tables, WEB, held())
    assert "is not asked for" in said(capsys, "history", "rs/shop/web")
