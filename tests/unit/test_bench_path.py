"""The numbers mean what they say: stages add up, wrong results are seen, rows keep their form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.model.facts import Fact, FactKind
from sandbox.demo.world import REPORTS
from tests.bench import path
from tests.bench.path_check import faults
from tests.bench.path_run import Counters, Deployed, Run
from tests.bench.path_stages import (
    STAGES,
    after_kubelet,
    percentile,
    stages,
    table,
    time_to_truth,
)

DIGEST = "sha256:a"
IMAGE = f"image/{DIGEST}/linux-amd64/c0ffee"
WORKLOAD = "workload/ReplicaSet/bench-shop/web-1"
NO_WORK = Counters(
    at=0,
    product_cpu_s=0,
    redis_cpu_s=0,
    machine_cpu_s=0,
    own_cpu_s=0,
    node_cpu_s=0,
    registry_requests=0,
    api_requests={},
)
LATER = replace(NO_WORK, at=10, machine_cpu_s=15, own_cpu_s=13)


def fact(at: float, kind: FactKind, key: str = WORKLOAD, **data: object) -> Fact:
    return Fact(kind=kind, key=key, data=data, at=at)


DEPLOYED = Deployed(
    namespace="bench-shop",
    name="web",
    digest=DIGEST,
    created_at=100.0,
    workload="web-1",
    told_at=103.8,
    reported_at=dict(zip(REPORTS, (109.0, 109.5, 110.0), strict=True)),
)
FACTS = (
    fact(100.5, "enqueued"),
    fact(100.6, "claimed"),
    fact(100.7, "waiting", reason="WaitingForKubelet", delay_s=59.0),
    fact(104.0, "enqueued"),
    fact(104.5, "claimed"),
    fact(104.5, "enqueued", IMAGE),
    fact(104.6, "waiting", on=IMAGE),
    fact(105.0, "claimed", IMAGE),
    fact(108.0, "inventoried", IMAGE, seconds=2.0),
    fact(108.0, "matched", IMAGE),
    fact(108.0, "enqueued"),
    fact(108.5, "claimed"),
    fact(109.2, "written"),
)
REPORT: dict[str, Any] = {
    "metadata": {
        "namespace": "bench-shop",
        "labels": {"trivy-operator.resource.name": "web-1"},
    },
    "report": {"artifact": {"digest": DIGEST}, "summary": {"criticalCount": 1}},
}
GOOD = Run(
    node=True, deployed=(DEPLOYED,), facts=FACTS, before=NO_WORK, after=LATER, reports=(REPORT,)
)


def test_each_stage_takes_what_the_facts_tell() -> None:
    """The wait before the kubelet's word is the kubelet's; the image's queue is the inventory's."""
    assert stages(DEPLOYED, FACTS) == pytest.approx(
        {
            "seen": 0.5,
            "kubelet": 3.3,
            "noticed": 0.2,
            "claimed": 1.0,
            "inventoried": 2.5,
            "matched": 1.0,
            "written": 1.5,
        }
    )


def test_the_stages_add_up_to_the_time_to_truth() -> None:
    """Else a stage could hide what another loses."""
    assert sum(stages(DEPLOYED, FACTS).values()) == pytest.approx(time_to_truth(DEPLOYED))
    assert time_to_truth(DEPLOYED) == 10.0


def test_an_image_that_was_known_before_costs_its_second_user_nothing() -> None:
    """Four of five Deployments find their image inventoried and matched."""
    known = (
        fact(90.0, "claimed", IMAGE),
        fact(92.0, "inventoried", IMAGE, seconds=1.5),
        fact(92.0, "matched", IMAGE),
        *(one for one in FACTS if one.key == WORKLOAD and not 104.2 < one.at < 108.2),
    )
    found = stages(DEPLOYED, known)
    assert (found["inventoried"], found["matched"]) == (0.0, 0.0)
    assert sum(found.values()) == pytest.approx(10.0)


def test_a_workload_that_was_told_at_once_waits_for_no_kubelet() -> None:
    """So it is with the stand-in, when the Pod runs before the first claim."""
    quick = tuple(one for one in FACTS if not 100.55 < one.at < 104.2)
    found = stages(DEPLOYED, quick)
    assert (found["kubelet"], found["noticed"]) == (0.0, 0.0)
    assert sum(found.values()) == pytest.approx(10.0)


def test_the_product_answers_for_what_comes_after_the_kubelets_word() -> None:
    """A slow kubelet is nobody's fault here."""
    assert after_kubelet(DEPLOYED) == pytest.approx(6.2)


def test_a_rest_without_pods_counts_as_waiting_for_the_kubelet() -> None:
    """The ReplicaSet comes before its Pod; nothing can be known then."""
    rested = (
        fact(100.2, "enqueued"),
        fact(100.3, "claimed"),
        fact(100.4, "converged", outcome="Rest:NoPods"),
        *FACTS,
    )
    assert stages(DEPLOYED, rested)["kubelet"] == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.5, 20), (0.99, 40), (1.0, 40), (0.01, 1), (0.25, 10)]
)
def test_a_percentile_is_a_value_that_occurred(share: float, wanted: float) -> None:
    """Of 40 Deployments the 99th is the slowest: no interpolation makes it look better."""
    assert percentile(range(1, 41), share) == wanted


def test_a_table_has_every_stage_of_every_deployment() -> None:
    """A stage that is left out would be looked for elsewhere."""
    found = table([DEPLOYED, DEPLOYED], FACTS)
    assert tuple(found) == STAGES
    assert {len(values) for values in found.values()} == {2}


def test_a_good_run_has_no_fault() -> None:
    """So that each fault below comes from one thing."""
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            replace(GOOD, deployed=(replace(DEPLOYED, reported_at={"SbomReport": 1.0}),)),
            "bench-shop/web has no VulnerabilityReport",
        ),
        (
            replace(GOOD, deployed=(replace(DEPLOYED, digest="sha256:b"),)),
            "a report of another image",
        ),
        (
            replace(
                GOOD,
                reports=(
                    REPORT,
                    {
                        "metadata": REPORT["metadata"],
                        "report": {**REPORT["report"], "summary": {"criticalCount": 2}},
                    },
                ),
            ),
            "2 different summaries",
        ),
        (
            replace(GOOD, facts=(*FACTS, fact(111.0, "inventoried", IMAGE, seconds=1.0))),
            "2 times inventoried for 1 distinct images",
        ),
        (
            replace(GOOD, facts=tuple(one for one in FACTS if one.kind != "matched")),
            "0 times matched for 1 distinct images",
        ),
    ],
)
def test_a_wrong_result_is_told(broken: Run, words: str) -> None:
    """A fast path to a wrong report is worth nothing: the benchmark ends with 1."""
    assert any(words in fault for fault in faults(broken))


def test_rows_have_the_form_that_outsiders_read() -> None:
    """`interface`: time to truth has no baseline and no goal of its own, so its ratio is null."""
    found = {str(row["case"]): row for row in path.rows([GOOD])}
    truth = found["time-to-truth-p50"]
    assert truth["ours"] == 10.0
    assert truth["ratio"] is None
    assert truth["spread"] == [10.0, 10.0]
    assert {f"stage-{stage}-p99" for stage in STAGES} < set(found)
    for row in found.values():
        assert {"case", "ours", "baseline", "baseline_name", "unit", "ratio", "goal"} <= set(row)


def test_of_several_runs_the_median_is_shown_with_its_spread() -> None:
    """One run on a shared machine says little."""
    runs = [
        replace(GOOD, deployed=(replace(DEPLOYED, created_at=created),))
        for created in (100.0, 99.0, 95.0)
    ]
    (row,) = [row for row in path.rows(runs) if row["case"] == "time-to-truth-p99"]
    assert row["ours"] == 11.0
    assert row["spread"] == [10.0, 15.0]
    assert row["runs"] == 3


def test_the_kubelet_alone_is_shown_where_there_is_one() -> None:
    """It tells how much of the time is nobody's but the Pods' own."""
    rows = path.alone_rows([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    assert [row["case"] for row in rows] == ["kubelet-alone-p50", "kubelet-alone-p99"]
    assert [row["ours"] for row in rows] == [3.0, 4.5]
    assert path.alone_rows([]) == []


def test_costs_are_differences_for_each_workload() -> None:
    """What the product had used before it had work is not the scan's."""
    before = replace(NO_WORK, product_cpu_s=5.0, api_requests={"get pods": 3})
    after = replace(
        before,
        at=10.0,
        product_cpu_s=6.0,
        redis_cpu_s=0.5,
        node_cpu_s=4.0,
        registry_requests=28,
        api_requests={"get pods": 5, "create events": 1},
    )
    two = replace(GOOD, deployed=(DEPLOYED, DEPLOYED), before=before, after=after)
    found = {str(row["case"]): row["ours"] for row in path.rows([two])}
    assert found["cpu-per-scan"] == 0.75
    assert found["node-cpu-per-scan"] == 2.0
    assert found["api-requests-per-scan"] == 1.5
    assert found["registry-requests"] == 28.0


def test_what_others_did_on_the_machine_is_told() -> None:
    """Seconds that were measured beside a compiler say little, and must say so."""
    found = {str(row["case"]): row["ours"] for row in path.rows([GOOD])}
    assert found["others-cpus"] == pytest.approx(0.2)


def test_without_a_node_nothing_is_said_about_what_only_a_node_can_count() -> None:
    """Zero API requests would be a lie."""
    cases = {row["case"] for row in path.rows([replace(GOOD, node=False)])}
    assert "api-requests-per-scan" not in cases
    assert "cpu-per-scan" in cases
