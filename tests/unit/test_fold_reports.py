"""The index of reports: what metadata says, found by name and by owner."""

from __future__ import annotations

import tracemalloc

from common.reports.stamp import StampArtifact
from tests import builders as b
from tests.folding import folded
from watcher.fold.delta import ReportGone, ReportSeen
from watcher.fold.reportfacts import ReportFact, read_report
from watcher.fold.reports import Reports
from watcher.stream.change import Change, Op

KIND = "VulnerabilityReport"
WEB = b.key("ReplicaSet", "web")


def _fact(*modifiers: b.Modifier, name: str = "r", kind: str = KIND) -> ReportFact:
    return read_report(kind, b.report(kind, name, *modifiers).metadata, copied=("team",))


def _put(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.report(KIND, "r", *modifiers), kind=KIND)


def test_a_report_is_found_by_name_and_by_its_owners_name() -> None:
    """The sweep asks by name, the watcher by owner: both without a search."""
    index = Reports()
    index.put(_fact(b.about("ReplicaSet", "web")))
    found = index.get(KIND, b.NAMESPACE, "r")
    assert found is not None
    assert index.shown(f"{KIND}/{b.NAMESPACE}/r") == found
    assert index.of(WEB) == (found,)
    assert index.of(b.key("ReplicaSet", "other")) == ()


def test_reports_map_by_kind_namespace_and_name() -> None:
    """Trap 11. A zombie's report carries a dead uid; its deletion must lead to the living."""
    index = Reports()
    index.put(_fact(b.about("ReplicaSet", "web", uid="dead")))
    assert [one.owner.uid for one in index.of(WEB) if one.owner] == ["dead"]
    gone = index.remove(KIND, b.NAMESPACE, "r")
    assert gone is not None
    assert gone.workload == WEB
    assert index.of(WEB) == ()


def test_a_report_without_an_owner_reference_is_found_by_its_labels() -> None:
    """Somebody removed the reference: the report is still about its workload."""
    index = Reports()
    named = {"trivy-operator.resource.kind": "ReplicaSet", "trivy-operator.resource.name": "web"}
    index.put(_fact(b.labelled(named)))
    assert len(index.of(WEB)) == 1
    long = {"trivy-operator.resource.kind": "ReplicaSet"}
    by_annotation = _fact(
        b.labelled(long), b.annotated({"trivy-operator.resource.name": "web"}), name="s"
    )
    assert by_annotation.workload == WEB
    assert _fact(b.labelled(long)).workload is None


def test_a_report_that_changes_owner_leaves_the_old_ones_list() -> None:
    """A rewritten report must not be swept under two workloads."""
    index = Reports()
    index.put(_fact(b.about("ReplicaSet", "web")))
    index.put(_fact(b.about("ReplicaSet", "new"), b.versioned(2)))
    assert index.of(WEB) == ()
    assert len(index.of(b.key("ReplicaSet", "new"))) == 1
    assert len(index) == 1


def test_the_stamp_tells_hash_epoch_image_and_counts() -> None:
    """Metrics are served from it, and no body is read."""
    artifact = StampArtifact(registry="r.example", repository="app", tag="1", digest=b.digest("a"))
    summary = {"criticalCount": 3, "highCount": 2, "mediumCount": 1, "lowCount": 0}
    fact = _fact(
        b.stamped("ab" * 16, epoch=5, summary=summary, artifact=artifact),
        b.labelled({"team": "shop", "other": "x"}),
    )
    assert (fact.gist.content_hash, fact.gist.epoch) == ("ab" * 16, 5)
    assert fact.gist.counts == (3, 2, 1, 0, 0)
    assert fact.gist.artifact == artifact
    assert fact.gist.labels == (("team", "shop"),)


def test_a_summary_of_something_else_has_no_counts() -> None:
    """An SBOM counts components."""
    assert _fact(b.stamped(summary={"componentsCount": 4})).gist.counts == ()


def test_a_foreign_report_has_no_stamp() -> None:
    """trivy-operator's own carry no annotation of ours."""
    fact = _fact()
    assert not fact.stamped
    assert not fact.edited
    assert fact.gist.counts == ()


def test_a_generation_that_is_not_the_stamped_one_means_edited() -> None:
    """Any change of a body raises it; our own write stamped what it would give."""
    assert not _fact(b.stamped(generation=3), b.generation(3)).edited
    assert _fact(b.stamped(generation=3), b.generation(4)).edited


def test_what_many_reports_say_alike_is_kept_once() -> None:
    """A thousand workloads run one image: 275,000 reports must fit into a hundred megabytes."""
    index = Reports()
    stamp = b.stamped("ab" * 16, artifact=StampArtifact(registry="r", repository="app", tag="1"))
    for name in ("one", "two"):
        index.put(_fact(b.about("ReplicaSet", name), stamp, name=f"replicaset-{name}-app"))
    first, second = index
    assert first.gist is second.gist


def test_reports_of_one_workload_share_their_owner_and_a_containers_reports_their_name() -> None:
    """Each has been read from JSON of its own; what is kept twice is paid twice."""
    index = Reports()
    for kind in ("VulnerabilityReport", "ExposedSecretReport"):
        index.put(_fact(b.about("ReplicaSet", "web"), kind=kind))
    first, second = index.of(WEB)
    assert first.owner is second.owner
    assert first.name is second.name


def test_a_report_that_was_given_away_is_its_new_owners_alone() -> None:
    """The others about the container stay where they are."""
    index = Reports()
    for kind in ("VulnerabilityReport", "ExposedSecretReport"):
        index.put(_fact(b.about("ReplicaSet", "web"), kind=kind))
    index.put(_fact(b.about("ReplicaSet", "other")))
    other = b.key("ReplicaSet", "other")
    assert [one.kind for one in index.of(WEB)] == ["ExposedSecretReport"]
    assert [one.kind for one in index.of(other)] == ["VulnerabilityReport"]
    assert len(index) == 2
    index.put(_fact(b.about("ReplicaSet", "web")))
    assert len(index.of(WEB)) == 2
    assert index.of(other) == ()


def test_a_report_of_which_nothing_that_matters_changed_is_not_told_again() -> None:
    """After a re-list everything is said again: 275,000 reports, none of them news."""
    cluster = folded(_put(b.about("ReplicaSet", "web"), b.versioned(7)))
    noise = b.labelled({"team": "shop"})
    assert cluster.apply([_put(b.about("ReplicaSet", "web"), b.versioned(8), noise)]) == []


def test_reports_of_several_kinds_share_a_name() -> None:
    """The vulnerability, secret and SBOM report of a container are called the same."""
    index = Reports()
    for kind in ("VulnerabilityReport", "ExposedSecretReport", "SbomReport"):
        index.put(_fact(b.about("ReplicaSet", "web"), kind=kind))
    assert len(index) == 3
    assert {one.kind for one in index.of(WEB)} == {one.kind for one in index}
    index.remove("SbomReport", b.NAMESPACE, "r")
    assert len(index.of(WEB)) == 2


def test_seen_and_gone_reports_are_told() -> None:
    """Deletions carry no object: what was known of the report tells whose it was."""
    cluster = folded()
    put = _put(b.about("ReplicaSet", "web"))
    (seen,) = cluster.apply([put])
    assert isinstance(seen, ReportSeen)
    (gone,) = cluster.apply([b.delete(b.report(KIND, "r"), kind=KIND)])
    assert gone == ReportGone(report=seen.report)
    assert cluster.apply([b.delete(b.report(KIND, "r"), kind=KIND)]) == []


def test_one_more_report_about_an_owner_that_has_thousands_copies_none_of_them() -> None:
    """4,000 reports that name one owner, which anybody may write, took 2 s of the fold."""
    many = 5_000  # between two sizes of a dict: none grows while we look

    def change(number: int) -> Change:
        made = b.report(KIND, f"r{number}", b.about("ReplicaSet", "web"))
        return b.upsert(made, kind=KIND)

    cluster = folded(*(change(number) for number in range(many)))
    one = change(many)
    gone = Change(resource=one.resource, op=Op.DELETE, key=one.key)
    for step in (one, gone):
        tracemalloc.start()
        try:
            cluster.apply([step])
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 8 * many, "a tuple of all would take 8 bytes each"
