"""The stamp's two annotations: what is written, and what bad ones are taken for."""

from __future__ import annotations

import json

import pytest

from common.model.image import Os
from common.reports.stamp import (
    CONTENT_HASH_ANNOTATION,
    STAMP_ANNOTATION,
    Stamp,
    StampArtifact,
    StampInput,
    is_newer,
    parse,
    render,
)
from tests.fakes.report_builders import DIGEST, image_key

_HASH = "0123456789abcdef" * 2


def _stamp() -> Stamp:
    return Stamp(
        content_hash=_HASH,
        epoch=7,
        generation=3,
        inputs=(StampInput.of(image_key()),),
        summary={"criticalCount": 6, "highCount": 4},
        artifact=StampArtifact(
            registry="index.docker.io", repository="library/nginx", tag="1.27", digest=DIGEST
        ),
        os=Os(family="alpine", name="3.18.2", eosl=True),
        covered=False,
        db_version="2026-11-25T00:00:00Z",
    )


def test_a_stamp_is_read_as_it_was_written() -> None:
    """Comparing never fetches a body: the stamp is all that is known."""
    assert parse(render(_stamp())) == _stamp()


def test_the_wire_form_is_version_one() -> None:
    """Other versions and other tools read these two annotations; their form is a contract."""
    rendered = render(_stamp())
    assert set(rendered) == {"kube-sluice/content-hash", "kube-sluice/stamp"}
    assert rendered["kube-sluice/content-hash"] == f"v1:{_HASH}"
    assert json.loads(rendered["kube-sluice/stamp"]) == {
        "v": 1,
        "epoch": 7,
        "generation": 3,
        "inputs": [{"digest": DIGEST, "platform": "linux-amd64", "options": "0f0f0f0f"}],
        "summary": {"criticalCount": 6, "highCount": 4},
        "artifact": {
            "registry": "index.docker.io",
            "repository": "library/nginx",
            "tag": "1.27",
            "digest": DIGEST,
        },
        "os": {"family": "alpine", "name": "3.18.2", "eosl": True},
        "covered": False,
        "db": "2026-11-25T00:00:00Z",
    }


def test_an_epoch_that_no_stamp_may_raise_ours_to_is_never_a_later_one() -> None:
    """Such a report would be left alone for ever: ours never reaches it."""
    assert [is_newer(epoch, 7) for epoch in (6, 7, 8, 2**40, 2**40 + 1)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_wire_form_is_compact_and_leaves_defaults_out() -> None:
    """Every report carries it, and the API server keeps it in memory once per watcher."""
    text = render(Stamp(content_hash=_HASH, epoch=1, generation=1))[STAMP_ANNOTATION]
    assert text == '{"epoch":1,"generation":1,"v":1}'
    assert len(render(_stamp())[STAMP_ANNOTATION]) < 512


def test_equal_stamps_have_equal_annotations() -> None:
    """A patch is sent when an annotation differs: the order of a map must not matter."""
    other = Stamp(
        content_hash=_HASH, epoch=1, generation=1, summary={"highCount": 4, "criticalCount": 6}
    )
    same = Stamp(
        content_hash=_HASH, epoch=1, generation=1, summary={"criticalCount": 6, "highCount": 4}
    )
    assert render(other) == render(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"v1"',
        "{}",
        '{"v":1,"epoch":1}',
        '{"v":1,"generation":1}',
        '{"v":1,"epoch":"1","generation":1}',
        '{"v":1,"epoch":1,"generation":1,"summary":{"criticalCount":"6"}}',
        '{"v":1,"epoch":1,"generation":1,"inputs":[{}]}',
        '{"v":1,"epoch":1,"generation":1} trailing',
        "\ud800",
        '{"v":1,"epoch":1,"generation":1,"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"v":1,"epoch":-1,"generation":1}',
        *(f'{{"v":1,"epoch":{epoch},"generation":1}}' for epoch in (2**41 + 1, 2**63, 2**64)),
        '{"v":1,"epoch":' + "9" * 5000 + ',"generation":1}',
        f'{{"v":1,"epoch":1,"generation":{2**64}}}',
        f'{{"v":1,"epoch":1,"generation":1,"summary":{{"criticalCount":{10**400}}}}}',
    ],
)
def test_a_damaged_stamp_is_none(text: str) -> None:
    """Anybody may edit an annotation; a report whose stamp cannot be read is written anew."""
    annotations = {CONTENT_HASH_ANNOTATION: f"v1:{_HASH}", STAMP_ANNOTATION: text}
    assert parse(annotations) is None


@pytest.mark.parametrize("missing", [CONTENT_HASH_ANNOTATION, STAMP_ANNOTATION])
def test_half_a_stamp_is_none(missing: str) -> None:
    """Whoever removes one of the two has removed the stamp."""
    annotations = {name: text for name, text in render(_stamp()).items() if name != missing}
    assert parse(annotations) is None


def test_foreign_annotations_beside_it_do_not_matter() -> None:
    """GitOps tools and users annotate reports too."""
    assert parse({"argocd.argoproj.io/tracking-id": "x", **render(_stamp())}) == _stamp()


def test_a_newer_epoch_is_read_by_an_older_worker() -> None:
    """Trap 25. A newer version's stamp has other fields, and its epoch must still be seen."""
    text = '{"v":2,"epoch":9,"generation":4,"verdict":{"new":true}}'
    annotations = {CONTENT_HASH_ANNOTATION: "v2:fedcba", STAMP_ANNOTATION: text}
    stamp = parse(annotations)
    assert stamp is not None
    assert (stamp.epoch, stamp.generation) == (9, 4)


@pytest.mark.parametrize("text", ["v2:" + _HASH, "v1:" + _HASH[:-1], _HASH, "v1:" + "Z" * 32, ""])
def test_a_hash_of_another_form_equals_none_of_ours(text: str) -> None:
    """It may be compared and never match: then the body is written again."""
    stamp = parse({**render(_stamp()), CONTENT_HASH_ANNOTATION: text})
    assert stamp is not None
    assert stamp.content_hash != _HASH


def test_an_edited_body_has_another_generation_than_its_stamp() -> None:
    """Trap 12. An edit of `.report` raises the generation and leaves the annotations."""
    stamp = parse(render(_stamp()))
    assert stamp is not None
    generation_after_edit = 4
    assert stamp.generation != generation_after_edit
