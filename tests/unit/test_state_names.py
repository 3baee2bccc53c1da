"""Redis names: one place, no collisions, nothing without a bound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.model.key import ClusterKey, ImageKey, WorkloadKey
from common.state.names import POOLS, TABLE, Names
from common.state.scripts import source
from tests.queue_values import image, workload

NAMES = Names("c1")
JOB_ID = re.compile(r"[A-Za-z0-9_-]+")  # rq 3.0's own pattern
LUA = Path(__file__).parents[2] / "common" / "queue" / "lua"
PARTS = (
    "adding",
    "claiming",
    "claims",
    "fencing",
    "records",
    "same",
    "tidy",
)  # what scripts may need besides the prologue
SCRIPTS = sorted(path for path in LUA.glob("*.lua") if path.stem not in ("lib", *PARTS))
_DEFINED = re.compile(r"^local function (\w+)", re.MULTILINE)


@pytest.mark.parametrize(
    "key",
    [
        workload("web-5d4f.8c_7b:9d"),
        WorkloadKey(kind="Pod", namespace="a", name="x" * 253),
        image(7),
        ImageKey(digest=f"sha256:{5:064x}", platform="linux-arm64-v8", options="o_1.2"),
        ClusterKey(what="compliance__x"),
    ],
    ids=["odd", "long", "image", "platform", "cluster"],
)
def test_a_job_id_is_rqs_alphabet_and_gives_the_key_back(key: WorkloadKey) -> None:
    """Rq refuses other ids, and an operator copies an id to find the object."""
    job = NAMES.job_id(key)
    assert JOB_ID.fullmatch(job)
    assert NAMES.key_of(job) == key


def test_a_job_id_reads_like_its_key() -> None:
    """`rq info` and rq-dashboard show it."""
    assert NAMES.job_id(workload("web")) == "c1__workload__ReplicaSet__shop__web"


def test_another_clusters_job_is_not_ours() -> None:
    """Clusters share one Redis; c1 is a prefix of c12, but not of its jobs."""
    with pytest.raises(ValueError, match="not of cluster c1"):
        NAMES.key_of(Names("c12").job_id(workload()))


@pytest.mark.parametrize("cluster", ["", "A", "a_b", "-a", "a-", "a" * 64, "a.b", "a*"])
def test_a_cluster_name_is_a_dns_label(cluster: str) -> None:
    """Anything else could reach into another cluster's names, or into a SCAN pattern."""
    with pytest.raises(ValueError, match="cluster name"):
        Names(cluster)


def test_queues_are_named_by_cluster_pool_and_lane() -> None:
    """Dashboards and alerts are set up on these names."""
    queues = [NAMES.queue(pool, lane) for pool in POOLS for lane in (0, 1)]
    assert queues == [
        "c1-reconcile",
        "c1-reconcile-bulk",
        "c1-scan",
        "c1-scan-bulk",
        "c1-rematch",
        "c1-rematch-bulk",
    ]


def test_every_script_gets_the_same_block_of_keys() -> None:
    """lib.lua counts on the order; a name that moves would corrupt another table."""
    keys = NAMES.fixed_keys()
    assert len(keys) == len(set(keys)) == 46
    assert keys[0:4] == [
        "rq:queue:c1-reconcile",
        "rq:wip:c1-reconcile",
        "rq:scheduled:c1-reconcile",
        "rq:failed:c1-reconcile",
    ]
    prologue = (LUA / "lib.lua").read_text()
    numbered = dict(re.findall(r"(\w+) = KEYS\[(\d+)\]", prologue))
    for name, number in numbered.items():
        assert keys[int(number) - 1].rpartition(":")[2] == name
    assert len(numbered) == 16


@pytest.mark.parametrize("script", sorted(LUA.glob("*.lua")), ids=lambda path: path.stem)
def test_every_script_says_what_it_takes_and_gives(script: Path) -> None:
    """Style 22: the header is the only documentation that a script has."""
    text = script.read_text()
    head = text[: text.index("\nlocal")] if script.stem == "lib" else text
    assert head.startswith("-- ")
    assert "ARGV[" in head or script.stem in PARTS
    assert script.stem in ("lib", *PARTS) or "-- Result" in head
    assert "KEYS[" not in text or script.stem == "lib"  # names come from the prologue
    assert len(text.splitlines()) < 270


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_names_the_files_that_it_needs_and_no_others(script: Path) -> None:
    """A missing one fails on the day when its branch runs; one too many costs every call."""
    body = script.read_text()
    sent = source(script.stem)
    for part in PARTS:
        text = (LUA / f"{part}.lua").read_text()
        others = sent.replace(text, "")  # other parts may use it too
        used = [name for name in _DEFINED.findall(text) if re.search(rf"\b{name}\(", others)]
        assert (text in sent) == bool(used), f"{script.stem} uses {used} of {part}.lua"
    assert sent.index((LUA / "lib.lua").read_text()) < sent.index(body)


def test_every_name_has_an_owner_and_a_bound() -> None:
    """Law 10: every table is bounded, and docs/limits.md tells how."""
    listed = " ".join(row.name for row in TABLE)
    for key in NAMES.fixed_keys():
        if key.startswith("sluice:"):
            word = key.split(":")[2]
            assert re.search(rf":{word}\b", listed), key
    assert all(row.owner and row.holds and row.bound for row in TABLE)
