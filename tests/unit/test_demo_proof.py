"""The demo's judge: a proof that cannot fail proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.demo.proof import Measured, Phase, Seen, Work, document, faults

GOOD = Measured(
    workloads=2,
    containers=2,
    distinct_images=1,
    pulls_per_image={"sha256:a": 1},
    reports={"VulnerabilityReport": 2, "ExposedSecretReport": 2},
    missing=(),
    ran=2,
    unlike=(),
    unfinished=(),
    first=Phase(
        work=Work(inventories=1, matches=1, writes=4, enqueued=3), seen=Seen(report_writes=4)
    ),
    second_pass=Phase(),
    after_restart=Phase(),
    after_redis_restart=Phase(),
    after_db_update=Phase(work=Work(matches=1, writes=2), seen=Seen(report_writes=2)),
    changed_by_update=2,
)


def test_what_holds_has_no_fault() -> None:
    """The good case, so that the bad ones below differ in one thing only."""
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (replace(GOOD, missing=("shop/web/app: SbomReport",)), "has no report"),
        (replace(GOOD, unlike=("shop/web/app runs sha256:b",)), "runs sha256:b"),
        (replace(GOOD, unfinished=("shop/seed",)), "Job shop/seed did not succeed"),
        (replace(GOOD, distinct_images=2), "inventories for 2 distinct images"),
        (replace(GOOD, pulls_per_image={"sha256:a": 2}), "2 times, not once"),
        (
            replace(GOOD, first=replace(GOOD.first, seen=Seen(report_writes=5))),
            "the API server of 5",
        ),
        (replace(GOOD, reports={"VulnerabilityReport": 2}), "4 writes for 2 reports"),
        (replace(GOOD, second_pass=Phase(work=Work(enqueued=1))), "second pass caused 1 enqueued"),
        (replace(GOOD, after_restart=Phase(work=Work(writes=1))), "every process caused 1 writes"),
        (
            replace(GOOD, after_redis_restart=Phase(seen=Seen(registry_requests=1))),
            "Redis caused 1 registry requests",
        ),
        (
            replace(GOOD, after_db_update=replace(GOOD.after_db_update, work=Work(writes=2))),
            "0 matches for 1 images",
        ),
        (
            replace(
                GOOD,
                after_db_update=Phase(
                    work=Work(matches=1, writes=2),
                    seen=Seen(report_writes=2, registry_requests=3),
                ),
            ),
            "3 requests to image repositories",
        ),
        (
            replace(
                GOOD,
                after_db_update=Phase(
                    work=Work(inventories=1, matches=1, writes=2), seen=Seen(report_writes=2)
                ),
            ),
            "caused 1 inventories",
        ),
        (replace(GOOD, changed_by_update=3), "changes 3 reports, 2 were written"),
        (
            replace(
                GOOD,
                changed_by_update=0,
                after_db_update=Phase(work=Work(matches=1)),
            ),
            "changes 0 reports, 0 were written",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_broken_promise_is_named(broken: Measured, words: str) -> None:
    """Whoever reads the fault must know which law broke."""
    assert any(words in fault for fault in faults(broken)), faults(broken)


def test_the_document_has_the_names_that_scripts_hold_on_to() -> None:
    """The JSON is a contract."""
    made = document(GOOD)
    assert made["second_pass"] == {"inventories": 0, "matches": 0, "writes": 0, "enqueued": 0}
    assert made["after_db_update"] == {
        "inventories": 0,
        "registry_requests": 0,
        "matches": 1,
        "writes": 2,
    }
    assert {"workloads", "containers", "distinct_images", "inventories", "matches"} <= set(made)
