"""The only writer: what it writes, and above all what it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.model.errors import ConflictError, TooLargeError
from common.model.workload import Container, WorkloadRow
from common.reports.assemble import Draft, LabelPolicy, draft
from common.reports.body import ReportBody
from common.reports.catalog import VULNERABILITY_REPORT
from common.reports.labels import TRUNCATED_ANNOTATION
from common.reports.stamp import STAMP_ANNOTATION, Stamp, parse
from tests.fakes.report_store import FakeReportStore
from worker.write import Writer

KEY = (VULNERABILITY_REPORT, "shop", "replicaset-web-1-app")


def row(uid: str = "u1", *, kind: str = "ReplicaSet", name: str = "web-1") -> WorkloadRow:
    return WorkloadRow(
        kind=kind,
        namespace="shop",
        name=name,
        uid=uid,
        api_version="apps/v1",
        created_at=0,
        containers=(Container(name="app", role="container", image="web:1"),),
    )


def made(
    owner: WorkloadRow | None = None, *, title: str = "bad", container: str = "app", count: int = 1
) -> Draft:
    finding = {"vulnerabilityID": "CVE-1", "severity": "HIGH", "title": title, "links": []}
    body = ReportBody(
        kind=VULNERABILITY_REPORT,
        report={"vulnerabilities": [finding] * count, "summary": {"highCount": count}},
    )
    return draft(owner or row(), container, body, policy=LabelPolicy())


def stamp(of: Draft, epoch: int = 1) -> Stamp:
    return Stamp(content_hash=of.content_hash, epoch=epoch, generation=0)


class Clock:
    """Another second at every look, as updateTimestamp would have it."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> str:
        self.seconds += 1
        return f"2026-01-01T00:00:{self.seconds:02d}Z"


@pytest.fixture
def store() -> FakeReportStore:
    return FakeReportStore()


def writer(store: FakeReportStore, living: frozenset[str] = frozenset()) -> Writer:
    return Writer(store, lives=lambda *owner: owner[3] in living, now=Clock())


def apply(store: FakeReportStore, of: Draft, *, fresh: bool = False, epoch: int = 1) -> str:
    return writer(store).apply(of, stamp(of, epoch), mine=lambda: True, expect_absent=fresh).how


def stored_stamp(store: FakeReportStore) -> Stamp:
    found = parse(store.objects[KEY]["metadata"]["annotations"])
    assert found is not None
    return found


def test_a_new_workloads_report_costs_one_request(store: FakeReportStore) -> None:
    """The peer asks 16 times; nothing has to be read before the first write."""
    assert apply(store, made(), fresh=True) == "created"
    assert store.calls == ["create"]


def test_an_equal_report_is_not_written(store: FakeReportStore) -> None:
    """Law 4: the second pass writes nothing, although updateTimestamp would differ."""
    apply(store, made())
    before = store.writes
    assert apply(store, made()) == "kept"
    assert store.writes == before


def test_a_changed_body_is_replaced_and_its_generation_predicted(store: FakeReportStore) -> None:
    """The stamp must name the generation that the same write gives."""
    apply(store, made())
    assert apply(store, made(title="worse")) == "replaced"
    assert stored_stamp(store).generation == 2
    assert store.objects[KEY]["metadata"]["generation"] == 2


def test_an_edited_body_is_rewritten_although_its_annotations_agree(
    store: FakeReportStore,
) -> None:
    """Trap 12. Someone edits `.report` and leaves the annotations."""
    apply(store, made())
    store.edit(*KEY, lambda report: report.update(vulnerabilities=[]))
    assert apply(store, made()) == "replaced"
    assert store.objects[KEY]["report"]["vulnerabilities"]
    assert stored_stamp(store).generation == store.objects[KEY]["metadata"]["generation"]


def test_a_wrong_prediction_is_corrected_on_the_stamp(store: FakeReportStore) -> None:
    """Law 1: else the next pass would take our own write for somebody's edit, for ever."""
    draft_ = made()
    frozen = Writer(store, lives=lambda *_: False, now=lambda: "2026-01-01T00:00:00Z")
    frozen.apply(draft_, stamp(draft_), mine=lambda: True, expect_absent=True)
    stored = store.objects[KEY]["metadata"]
    stored["annotations"][STAMP_ANNOTATION] = "lost"
    assert (
        frozen.apply(draft_, stamp(draft_), mine=lambda: True, expect_absent=False).how
        == "replaced"
    )
    assert stored_stamp(store).generation == store.objects[KEY]["metadata"]["generation"] == 1


def test_a_label_that_changes_costs_a_patch_of_metadata(store: FakeReportStore) -> None:
    """A body is up to a megabyte, a label a few bytes."""
    apply(store, made())
    owner = msgspec.structs.replace(row(), labels={"team": "blue"})
    assert apply(store, made(owner)) == "stamped"
    assert store.calls[-1] == "patch"
    assert store.objects[KEY]["metadata"]["labels"]["team"] == "blue"
    assert apply(store, made(owner)) == "kept"


def test_foreign_labels_and_annotations_stay(store: FakeReportStore) -> None:
    """Other tools mark reports too."""
    apply(store, made())
    store.objects[KEY]["metadata"]["annotations"]["their/note"] = "keep"
    apply(store, made(title="worse"))
    assert store.objects[KEY]["metadata"]["annotations"]["their/note"] == "keep"
    assert apply(store, made(title="worse")) == "kept"


def test_another_owner_is_replaced_not_merged(store: FakeReportStore) -> None:
    """Trap 10. A second `controller: true` would be refused with 422 for ever."""
    apply(store, made(row("operator-uid")))
    assert apply(store, made(row("u1"))) == "stamped"
    owners = store.objects[KEY]["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == ["u1"]


def test_a_report_of_a_dead_uid_is_taken_over(store: FakeReportStore) -> None:
    """Trap 11. A zombie wrote for a workload that was re-created under the same name."""
    apply(store, made(row("dead")))
    apply(store, made(row("alive"), title="other"))
    assert store.objects[KEY]["metadata"]["ownerReferences"][0]["uid"] == "alive"


def test_the_later_owner_takes_a_name_of_its_own(store: FakeReportStore) -> None:
    """Trap 7. Pod web/db-app and pod web-db/app are both `pod-web-db-app`."""
    first = made(row("a", kind="Pod", name="web"), container="db-app")
    second = made(row("b", kind="Pod", name="web-db"), container="app", title="other")
    assert first.name == second.name
    both = writer(store, living=frozenset({"a", "b"}))
    both.apply(first, stamp(first), mine=lambda: True, expect_absent=True)
    for expect_absent in (True, False):
        written = both.apply(second, stamp(second), mine=lambda: True, expect_absent=expect_absent)
    assert written.how == "kept"
    assert both.apply(first, stamp(first), mine=lambda: True, expect_absent=False).how == "kept"
    assert written.shown != first.shown
    assert len(store.objects) == 2


def test_a_newer_epochs_report_is_left_alone(store: FakeReportStore) -> None:
    """Workers of two versions must not rewrite each other's reports."""
    apply(store, made(title="new"), epoch=2)
    assert apply(store, made(title="old"), epoch=1) == "left"
    assert store.writes == 1


def test_an_epoch_that_ours_can_never_reach_protects_no_report(store: FakeReportStore) -> None:
    """Anybody may write such a stamp; the report would be left alone for ever."""
    apply(store, made(title="theirs"), epoch=2**40 + 1)
    assert apply(store, made(title="ours"), epoch=1) == "replaced"


def test_a_write_that_lost_a_race_reads_again_and_decides_again(store: FakeReportStore) -> None:
    """Trap 8. A worker that slept past its lease meets a newer version, never overwrites it."""
    apply(store, made())
    hits = iter([True])

    def somebody_writes() -> None:
        if next(hits, False):
            store.edit(*KEY, lambda report: report.update(vulnerabilities=[]))

    store.before_write = somebody_writes
    assert apply(store, made(title="worse")) == "replaced"
    assert store.calls.count("replace") == 2


def test_a_run_whose_key_is_anothers_by_now_writes_nothing(store: FakeReportStore) -> None:
    """Trap 8. It slept past its lease between gathering and writing: what it has is old."""
    first, second = made(title="old"), made(title="new")
    with pytest.raises(ConflictError, match="another run has its key"):
        writer(store).apply(first, stamp(first), mine=lambda: False, expect_absent=True)
    assert store.writes == 0
    apply(store, second)
    for old in (first, made(msgspec.structs.replace(row(), labels={"a": "b"}), title="new")):
        with pytest.raises(ConflictError, match="another run has its key"):
            writer(store).apply(old, stamp(old), mine=lambda: False, expect_absent=False)
    with pytest.raises(ConflictError, match="another run has its key"):
        writer(store).remove("/".join(KEY), owner_uid="u1", mine=lambda: False)
    assert store.writes == 1


def test_a_run_that_loses_its_key_between_read_and_write_does_not_try_again(
    store: FakeReportStore,
) -> None:
    """Trap 8. The version that it read is gone; to read again would only arm the old content."""
    apply(store, made(title="first"))
    slept = False

    def other_run() -> None:
        nonlocal slept
        if not slept:
            slept = True
            apply(store, made(title="newest"))

    store.before_write = other_run
    old = made(title="old")
    with pytest.raises(ConflictError, match="another run has its key"):
        writer(store).apply(old, stamp(old), mine=lambda: not slept, expect_absent=False)
    assert stored_stamp(store).content_hash == made(title="newest").content_hash


def test_a_run_asks_whose_its_key_is_after_its_last_read(store: FakeReportStore) -> None:
    """Asked before it, an answer proves nothing: the other run may write in between."""
    apply(store, made(title="first"))
    store.calls.clear()
    asked: list[list[str]] = []

    def mine() -> bool:
        asked.append(list(store.calls))
        return True

    changed = made(title="next")
    writer(store).apply(changed, stamp(changed), mine=mine, expect_absent=False)
    writer(store).apply(changed, stamp(changed), mine=mine, expect_absent=False)  # nothing to write
    assert asked == [["get"]]


def test_three_lost_races_are_a_conflict(store: FakeReportStore) -> None:
    """A fight with another writer needs a later run and a name, not a loop."""
    apply(store, made())
    store.before_write = lambda: store.edit(*KEY, lambda report: report.update(x=1))
    with pytest.raises(ConflictError, match="second operator"):
        apply(store, made(title="worse"))


def test_a_refusal_for_size_is_answered_with_less_and_said_on_the_report() -> None:
    """A report that can never be stored is the peer's most reported pain."""
    small = FakeReportStore(limit_bytes=20_000)
    large = made(title="t" * 400, count=100)
    written = writer(small).apply(large, stamp(large), mine=lambda: True, expect_absent=True)
    assert written.truncated
    stored = small.objects[KEY]
    assert stored["metadata"]["annotations"][TRUNCATED_ANNOTATION] == ",".join(written.truncated)
    assert stored["report"]["summary"] == {"highCount": 100}
    assert (
        writer(small).apply(large, stamp(large), mine=lambda: True, expect_absent=False).how
        == "kept"
    )


def test_what_was_left_out_stays_said_when_only_metadata_changes() -> None:
    """The mark belongs to the stored body."""
    small = FakeReportStore(limit_bytes=20_000)
    large = made(title="t" * 400, count=100)
    writer(small).apply(large, stamp(large), mine=lambda: True, expect_absent=True)
    labelled = made(
        msgspec.structs.replace(row(), labels={"team": "blue"}), title="t" * 400, count=100
    )
    assert (
        writer(small).apply(labelled, stamp(labelled), mine=lambda: True, expect_absent=False).how
        == "stamped"
    )
    assert TRUNCATED_ANNOTATION in small.objects[KEY]["metadata"]["annotations"]


def test_a_report_that_fits_nowhere_is_a_terminal_error() -> None:
    """It must be visible, and not loop."""
    with pytest.raises(TooLargeError):
        apply(FakeReportStore(limit_bytes=10), made())


def test_only_the_owners_reports_are_removed(store: FakeReportStore) -> None:
    """A name that another workload took over meanwhile is not ours to delete."""
    apply(store, made())
    shown = "/".join(KEY)
    assert not writer(store).remove(shown, owner_uid="somebody-else", mine=lambda: True)
    assert writer(store).remove(shown, owner_uid="u1", mine=lambda: True)
    assert not writer(store).remove(shown, owner_uid="u1", mine=lambda: True)


def test_an_unreadable_stamp_means_a_rewrite(store: FakeReportStore) -> None:
    """Reports that trivy-operator left are taken over once."""
    apply(store, made())
    annotations: dict[str, Any] = store.objects[KEY]["metadata"]["annotations"]
    del annotations[STAMP_ANNOTATION]
    assert apply(store, made()) == "replaced"
    assert apply(store, made()) == "kept"
