"""The ledger told in sentences: every kind of fact, whole ones and odd ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli.subject import Image, read_wish
from common.model.facts import FACT_KINDS, Fact
from common.overview.story import sentence, told
from watcher.decide.affected import ROW_CHANGED

DIGEST = "sha256:" + "ab" * 32
SHORT = "sha256:" + "ab" * 6
IMAGE = f"image/{DIGEST}/linux-amd64/0f0f"

SENTENCES: list[tuple[str, dict[str, Any], str]] = [
    (
        "enqueued",
        {"lane": "fresh", "how": "new", "cause": "image changed"},
        "Queued, to run at once: image changed.",
    ),
    ("enqueued", {"lane": "bulk", "how": "new", "cause": ""},
     "Queued, to run behind other bulk work."),
    ("enqueued", {"lane": "fresh", "how": "woken", "cause": IMAGE},
     f"Woken: {SHORT} (linux/amd64)."),
    ("enqueued", {"lane": "fresh", "how": "repaired", "cause": "sweep"},
     "Queued again, because its entry had been lost from the queue: sweep."),
    ("enqueued", {"how": "brand-new-verb"}, "Queued (brand-new-verb)."),
    ("enqueued", {"how": "promoted", "cause": "RowChanged"},
     "Moved forward, to run at once: the workload changed."),
    ("enqueued", {"lane": "bulk", "cause": "ReportMissing"},
     "Queued, to run behind other bulk work: a report of it is missing."),
    ("enqueued", {"cause": "WordOfTomorrow"}, "Queued, to run at once: WordOfTomorrow."),
    ("deduplicated", {}, "Changed again while it was queued: one run covers both."),
    ("claimed", {"worker": "w1", "attempt": 1}, "Taken by w1."),
    ("claimed", {"worker": "w1", "attempt": 3}, "Taken by w1, attempt 3."),
    (
        "converged",
        {"outcome": "Converged", "written": 1, "unchanged": 2, "seconds": 0.123},
        "Everything about it is true now: 1 report written, 2 unchanged, 0.12 s.",
    ),
    ("converged", {"outcome": "Partial:ImageNotFound"},
     "Reports are true except for what failed (ImageNotFound)."),
    ("converged", {"outcome": "Rest:Skipped"}, "Nothing to do (Skipped)."),
    ("converged", {"outcome": "Gone"}, "It is gone: cleaned up."),
    ("waiting", {"on": IMAGE}, f"Waits for image {SHORT} (linux/amd64)."),
    (
        "waiting",
        {"on": IMAGE, "reason": "LayerCacheMissing"},
        f"Left to image {SHORT} (linux/amd64) (LayerCacheMissing).",
    ),
    ("waiting", {"reason": "NoImageYet", "delay_s": 60}, "Waits 1m (NoImageYet)."),
    (
        "retried",
        {"reason": "RateLimited", "message": "429 from docker.io.", "attempt": 2, "delay_s": 90},
        "Failed (RateLimited): 429 from docker.io. Attempt 2; next try in 1m30s.",
    ),
    (
        "parked",
        {"reason": "Unauthorized", "message": "401", "attempts": 1},
        (
            "Parked after 1 attempt (Unauthorized): 401. "
            "It comes back by itself; `sluice rescan` brings it back now."
        ),
    ),
    (
        "held",
        {
            "source": "registry/ghcr.io",
            "reason": "RegistryUnavailable",
            "message": "no answer",
            "delay_s": 20,
        },
        (
            "registry/ghcr.io is at fault (RegistryUnavailable): no answer. "
            "Asked again in 20s; no attempt is counted."
        ),
    ),
    (
        "circuit",
        {"source": "api-server", "state": "open", "reason": "R", "failures": 3, "wait_s": 2},
        "api-server is not asked for 2s, after 3 failures in a row (R).",
    ),
    (
        "circuit",
        {"source": "api-server", "state": "probing", "reason": "R", "failures": 3, "wait_s": 0},
        "api-server is asked by one key, to see whether it answers again.",
    ),
    ("circuit", {"source": "api-server", "state": "closed"}, "api-server answers again."),
    (
        "released",
        {"why": "dropped by an operator"},
        "Taken out of the queue by an operator; the next sweep queues it again if it is needed.",
    ),
    ("released", {"why": "lease ended"}, "Given back to the queue (lease ended)."),
    (
        "inventoried",
        {"seconds": 3.21, "reference": "nginx:1", "secrets": 1, "covered": True},
        "Inventory of nginx:1 taken in 3.2 s: 1 secret.",
    ),
    ("inventoried", {"covered": False},
     "Inventory taken; Trivy knows no package database for it."),
    (
        "matched",
        {"db_version": "2026-11-25T06:00:00Z", "findings": 2, "changed": True},
        "2 findings, changed, by database 2026-11-25T06:00:00Z.",
    ),
    (
        "written",
        {"report": "SbomReport/shop/x", "how": "created", "bytes": 12},
        "SbomReport/shop/x created (12 bytes).",
    ),
    (
        "written",
        {"report": "SbomReport/shop/x", "how": "deleted", "bytes": 0},
        "SbomReport/shop/x deleted.",
    ),
    ("refused", {"what": "completion"},
     "A completion was refused: somebody else owns it by now."),
    (
        "swept",
        {"workloads": 40, "reports": 120, "enqueued": 0, "seconds": 0.26},
        "Sweep: 40 workloads and 120 reports compared in 0.3 s, 0 keys queued.",
    ),
    ("relisted", {"resource": "pods", "reason": "Expired"}, "Listed pods anew (Expired)."),
    ("undecodable", {"resource": "pods", "name": "shop/web"},
     "pods shop/web could not be read; passed over."),
    (
        "database",
        {"version": "B", "previous": "A"},
        "Vulnerability database B is in use, before A.",
    ),
    ("database", {"version": "B", "previous": ""}, "Vulnerability database B is in use."),
    ("started", {"component": "worker", "version": "1.0"}, "worker 1.0 started."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data", "expected"), SENTENCES)
def test_each_fact_is_told_as_a_sentence(kind: Any, data: dict[str, Any], expected: str) -> None:
    """`history` is read by people who never saw a fact."""
    assert sentence(Fact(kind=kind, data=data)) == expected


def test_every_kind_of_fact_has_its_sentence() -> None:
    """A kind that is added without one would break `history` on the first such fact."""
    assert {kind for kind, _, _ in SENTENCES} == set(FACT_KINDS)


def test_every_word_of_the_watcher_is_told_in_words() -> None:
    """CamelCase is for metrics; a new cause that is forgotten here shows in a story as itself."""
    causes = {"NeverSettled", "EpochChanged", "Undecodable", ROW_CHANGED, "ReportDeleted"}
    causes |= {f"Report{problem}" for problem in ("Missing", "Changed", "Edited", "NoStamp")}
    for cause in causes:
        line = sentence(Fact(kind="enqueued", data={"cause": cause}))
        assert cause not in line


def test_a_shortened_digest_can_be_asked_for() -> None:
    """What a story names must be something that `history` takes."""
    assert read_wish(SHORT) == Image(text=SHORT)


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.sampled_from(FACT_KINDS),
    st.dictionaries(
        st.sampled_from(sorted({name for _, data, _ in SENTENCES for name in data})), values
    ),
    st.floats(0, 4e9),
)
def test_odd_data_is_told_as_far_as_it_goes(kind: Any, data: dict[str, Any], at: float) -> None:
    """Facts of a newer version must not hide those of this one."""
    line = told(Fact(kind=kind, data=data, at=at))
    assert line.rstrip().endswith(".")


def test_a_line_begins_with_the_time_in_utc() -> None:
    """Two clusters' stories are laid side by side."""
    fact = Fact(kind="deduplicated", at=1_795_600_862.5)
    assert told(fact).startswith("2026-11-25 ")
    assert told(fact)[19] == "Z"


def test_what_changed_during_a_run_is_told_after_its_end_as_another_run() -> None:
    """Below "everything is true now" a "changed while it runs" contradicts it."""
    told = sentence(Fact(kind="enqueued", data={"how": "dirty", "cause": "changed while it ran"}))
    assert told == "Runs once more, for what changed during the run that just ended."
    now = sentence(Fact(kind="enqueued", data={"how": "dirty", "cause": "pod changed"}))
    assert now.startswith("Changed while it runs")
