"""Which containers stand in a row, and what annotations say that Trivy must not look at."""

from __future__ import annotations

import pytest

from common.model.workload import Skips, WorkloadRow, decode_row, encode_row, fingerprint
from tests import builders as b
from tests.folding import folded, only_row
from watcher.stream.change import Change

CONTAINERS = (
    b.container("migrate", "registry.example/team/migrate:1", role="init"),
    b.container("app", "registry.example/team/app:1"),
    b.container("proxy", "proxy:2"),
    b.container("debug", "docker.io/library/busybox", role="ephemeral"),
)
PREFIX = "trivy-operator.aquasecurity.github.io/skip-"


def _set(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set("web", *CONTAINERS, *modifiers), kind="ReplicaSet")


def _names(row: WorkloadRow) -> list[str]:
    return [one.name for one in row.containers]


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        ("", ["migrate", "app", "proxy", "debug"]),
        ("registry.example/*/*", ["proxy", "debug"]),
        ("registry.example/*", ["migrate", "app", "proxy", "debug"]),
        ("proxy:*, docker.io/*/*", ["migrate", "app"]),
        ("proxy", ["migrate", "app", "proxy", "debug"]),
        ("*/busybox*", ["migrate", "app", "proxy", "debug"]),
        ("*,*/*,*/*/*", []),
    ],
)
def test_an_excluded_image_leaves_the_row(globs: str, left: list[str]) -> None:
    """Go's globs, over what the user wrote."""
    row = only_row(folded(_set(), SLUICE_EXCLUDE_IMAGES=globs))
    assert sorted(_names(row)) == sorted(left)


def test_init_containers_are_left_out_on_demand() -> None:
    """trivy-operator's setting of that name only changes its bookkeeping."""
    assert "migrate" in _names(only_row(folded(_set())))
    row = only_row(folded(_set(), SLUICE_SKIP_INIT_CONTAINERS="true"))
    assert sorted(_names(row)) == ["app", "debug", "proxy"]


@pytest.mark.parametrize(
    ("annotations", "skips"),
    [
        ({}, None),
        ({"files": "/b, /a,,/a"}, Skips(files=("/a", "/b"))),
        ({"dirs": "/opt"}, Skips(dirs=("/opt",))),
        ({"files": "", "dirs": " , "}, Skips(files=(), dirs=())),
        ({"files": "/a,\0,/b\0c"}, Skips(files=("/a",))),  # which no program can be told
        ({"files": "x" * 5000}, None),
        ({"files": "x" * 5000, "dirs": "a"}, Skips(dirs=("a",))),
    ],
)
def test_annotations_say_what_is_skipped(annotations: dict[str, str], skips: Skips | None) -> None:
    """An empty list is a wish too: it stands in the place of the settings'."""
    given = {f"{PREFIX}{name}": text for name, text in annotations.items()}
    row = only_row(folded(_set(b.annotated(given))))
    assert row.skips == skips
    assert decode_row(encode_row(row)) == row


def test_another_list_is_another_row_and_another_annotation_is_not() -> None:
    """What it runs must be looked at again; a deployment tool's note is no reason."""
    prints = [
        fingerprint(only_row(folded(_set(b.annotated(given)))))
        for given in ({}, {"note": "x"}, {f"{PREFIX}files": "/a"}, {f"{PREFIX}files": ""})
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
