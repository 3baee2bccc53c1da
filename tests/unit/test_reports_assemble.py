"""The full object, and how it meets what is stored already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from common.model.image import Os
from common.reports.assemble import (
    Draft,
    LabelPolicy,
    assemble,
    draft,
    metadata_patch,
    stamp_of,
)
from common.reports.body import ReportBody
from common.reports.naming import collision_name
from common.reports.stamp import Stamp, StampArtifact, StampInput, parse, render
from tests.fakes.report_builders import DIGEST, NOW, body, context, image_key, record, row
from worker.project import sbom, vulnerability

_POLICY = LabelPolicy(additional={"team": "a"}, report_ttl="24h0m0s")


@dataclass(frozen=True, kw_only=True)
class _Stored:
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    resource_version: str = "41"


def _draft(content: ReportBody | None = None) -> Draft:
    return draft(row(), "app", content or body(), policy=_POLICY)


def _stamp(wanted: Draft, generation: int = 1) -> Stamp:
    return Stamp(content_hash=wanted.content_hash, epoch=1, generation=generation)


def _metadata(wanted: Draft, existing: _Stored | None = None) -> Any:
    return assemble(wanted, _stamp(wanted), now=NOW, existing=existing)["metadata"]


def test_a_new_report_is_a_whole_object() -> None:
    """What is posted to the API server, key by key."""
    wanted = _draft()
    assert assemble(wanted, _stamp(wanted), now=NOW) == {
        "apiVersion": "aquasecurity.github.io/v1alpha1",
        "kind": "VulnerabilityReport",
        "metadata": {
            "name": "replicaset-web-6799fc88d8-app",
            "namespace": "shop",
            "labels": wanted.labels,
            "annotations": {
                "trivy-operator.aquasecurity.github.io/report-ttl": "24h0m0s",
                "kube-sluice/content-hash": f"v1:{wanted.content_hash}",
                "kube-sluice/stamp": '{"epoch":1,"generation":1,"v":1}',
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-6799fc88d8",
                    "uid": row().uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "report": {"updateTimestamp": NOW, "summary": {"criticalCount": 1}},
    }


def test_the_draft_is_shown_as_facts_name_it() -> None:
    """`settled.reports` and `history` name reports this way."""
    assert _draft().shown == "VulnerabilityReport/shop/replicaset-web-6799fc88d8-app"


def test_a_sidestepped_report_differs_in_its_name_alone() -> None:
    """Trap 7. The later owner takes a name of its own; its labels still lead to it."""
    wanted = _draft()
    aside = wanted.sidestep()
    assert aside.name == collision_name("ReplicaSet", row().uid, "app")
    assert (aside.labels, aside.body, aside.content_hash) == (
        wanted.labels,
        wanted.body,
        wanted.content_hash,
    )


def test_a_replacing_write_states_what_it_is_based_on() -> None:
    """Without the version a slow worker would overwrite newer data."""
    assert _metadata(_draft(), _Stored(resource_version="17"))["resourceVersion"] == "17"
    assert "resourceVersion" not in _metadata(_draft())


def test_foreign_labels_and_annotations_stay() -> None:
    """GitOps tools and users put their own on reports; they are nobody's business."""
    stored = _Stored(
        labels={"argocd.argoproj.io/instance": "shop"}, annotations={"note": "known, ticket 12"}
    )
    metadata = _metadata(_draft(), stored)
    assert metadata["labels"]["argocd.argoproj.io/instance"] == "shop"
    assert metadata["annotations"]["note"] == "known, ticket 12"


def test_our_labels_and_annotations_are_overwritten() -> None:
    """A drifted label would hide the report from whoever selects by it."""
    stored = _Stored(
        labels={"trivy-operator.container.name": "edited", "team": "edited"},
        annotations={"kube-sluice/content-hash": "v1:edited"},
    )
    wanted = _draft()
    metadata = _metadata(wanted, stored)
    assert metadata["labels"] == wanted.labels
    assert metadata["annotations"]["kube-sluice/content-hash"] == f"v1:{wanted.content_hash}"


def test_our_stale_annotations_go() -> None:
    """A report that is complete and covered now must not say the opposite for ever."""
    stored = _Stored(
        labels={"trivy-operator.resource.name-hash": "456"},
        annotations={
            "kube-sluice/truncated": "text",
            "kube-sluice/not-covered": "true",
            "trivy-operator.resource.name": "old",
        },
    )
    metadata = _metadata(_draft(), stored)
    assert "kube-sluice/truncated" not in metadata["annotations"]
    assert "kube-sluice/not-covered" not in metadata["annotations"]
    assert "trivy-operator.resource.name" not in metadata["annotations"]
    assert "trivy-operator.resource.name-hash" not in metadata["labels"]


def test_the_owner_is_replaced_and_never_merged() -> None:
    """Trap 10. A report left by another controller: a second `controller: true` is a 422 for ever.

    Nothing of the stored owners can reach the write, for `Existing` does not even carry them.
    """
    patched: Any = metadata_patch(_draft(), _stamp(_draft()), existing=_Stored())["metadata"]
    for metadata in (_metadata(_draft(), _Stored()), patched):
        assert [owner["uid"] for owner in metadata["ownerReferences"]] == [row().uid]
        assert [owner["controller"] for owner in metadata["ownerReferences"]] == [True]


def test_a_patch_of_metadata_leaves_the_body_alone() -> None:
    """A metadata patch keeps the generation, so the stamp's prediction stays true."""
    patch = metadata_patch(_draft(), _stamp(_draft()), existing=_Stored())
    assert set(patch) == {"metadata"}


def test_a_patch_states_what_it_is_based_on() -> None:
    """A worker cut off past its lease must not stamp what somebody else wrote."""
    patch: Any = metadata_patch(_draft(), _stamp(_draft()), existing=_Stored())
    assert patch["metadata"]["resourceVersion"] == "41"


def test_a_patch_takes_away_our_stale_names_and_no_others() -> None:
    """In a merge patch only a null takes away."""
    stored = _Stored(
        labels={"foreign": "x", "trivy-operator.resource.name-hash": "456"},
        annotations={"note": "x", "kube-sluice/truncated": "text"},
    )
    patch: Any = metadata_patch(_draft(), _stamp(_draft()), existing=stored)
    labels, annotations = patch["metadata"]["labels"], patch["metadata"]["annotations"]
    assert labels["trivy-operator.resource.name-hash"] is None
    assert annotations["kube-sluice/truncated"] is None
    assert "foreign" not in labels
    assert "note" not in annotations


def test_a_patch_and_a_replacement_lead_to_the_same_metadata() -> None:
    """Whichever write is chosen, the next pass must find nothing to do."""
    stored = _Stored(
        labels={"foreign": "x", "trivy-operator.resource.name-hash": "456", "team": "old"},
        annotations={"note": "x", "kube-sluice/truncated": "text"},
    )
    wanted = _draft()
    replaced = _metadata(wanted, stored)
    patch: Any = metadata_patch(wanted, _stamp(wanted), existing=stored)
    for name in ("labels", "annotations"):
        merged = {**getattr(stored, name), **patch["metadata"][name]}
        assert {key: value for key, value in merged.items() if value is not None} == replaced[name]


def test_the_time_of_writing_is_not_part_of_the_hash() -> None:
    """Trap 32. After a flush everything is built again: equal content must compare equal."""
    wanted = _draft()
    early = assemble(wanted, _stamp(wanted), now="2026-01-01T00:00:00Z")
    late = assemble(wanted, _stamp(wanted), now="2026-12-31T00:00:00Z")
    assert early["report"] != late["report"]
    assert early["metadata"] == late["metadata"]
    assert "updateTimestamp" not in wanted.body.report


def test_an_sbom_carries_the_time_inside_its_document_too() -> None:
    """CycloneDX has a timestamp of its own, and trivy-operator writes it."""
    content = ReportBody(
        kind="SbomReport",
        report={"components": {"metadata": {"component": {}}, "components": []}},
    )
    wanted = _draft(content)
    report: Any = assemble(wanted, _stamp(wanted), now=NOW)["report"]
    assert report["components"]["metadata"] == {"timestamp": NOW, "component": {}}
    assert content.report == {"components": {"metadata": {"component": {}}, "components": []}}


def test_the_stamp_tells_what_metrics_show() -> None:
    """The exporter serves findings from metadata; no body is read for it."""
    content = vulnerability.project([(image_key(), record(covered=False))], context())
    wanted = _draft(content)
    stamp = stamp_of(
        wanted, epoch=5, generation=2, inputs=[image_key()], db_version="2026-11-25T00:00:00Z"
    )
    assert stamp == Stamp(
        content_hash=wanted.content_hash,
        epoch=5,
        generation=2,
        inputs=(StampInput(digest=DIGEST, platform="linux-amd64", options="0f0f0f0f"),),
        summary={
            "criticalCount": 0,
            "highCount": 0,
            "mediumCount": 0,
            "lowCount": 0,
            "unknownCount": 0,
            "noneCount": 0,
        },
        artifact=StampArtifact(
            registry="127.0.0.1:5055", repository="demo/alpine-app", tag="1.0", digest=DIGEST
        ),
        os=Os(family="alpine", name="3.18.2", eosl=True),
        covered=False,
        db_version="2026-11-25T00:00:00Z",
    )
    assert parse(render(stamp)) == stamp


def test_the_stamp_of_an_sbom_counts_components() -> None:
    """There is no operating system in an SBOM report; its summary counts other things."""
    document: dict[str, object] = {"specVersion": "1.7", "components": [{"bom-ref": "a"}]}
    content = sbom.project([(image_key(), record(sbom=document))], context())
    assert content is not None
    stamp = stamp_of(_draft(content), epoch=1, generation=1, inputs=[], db_version="")
    assert stamp.summary == {"componentsCount": 2, "dependenciesCount": 0}
    assert stamp.os == Os()


@pytest.mark.parametrize("kind", ["VulnerabilityReport", "ExposedSecretReport", "SbomReport"])
def test_the_hash_tells_kinds_apart(kind: str) -> None:
    """Two kinds of one container have one name; their hashes stand in one table."""
    hashes = {
        draft(row(), "app", body(one), policy=_POLICY).content_hash
        for one in ("VulnerabilityReport", "ExposedSecretReport", "SbomReport")
    }
    assert len(hashes) == 3
    assert draft(row(), "app", body(kind), policy=_POLICY).content_hash in hashes


def test_a_label_that_changes_does_not_change_the_hash() -> None:
    """It costs a metadata patch; a hash over labels would cost a write of the body."""
    other = draft(row(labels={"team": "b"}), "app", body(), policy=LabelPolicy())
    assert other.content_hash == _draft().content_hash
    assert other.labels != _draft().labels
