"""What a report's labels name: compared with the producer's own rules, kept as one truth value."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import pytest

from common.kube.wire import PartialObject
from common.reports import labels as names
from common.reports.assemble import LabelPolicy, assemble, draft, stamp_of
from common.settings.parse import parse
from tests import builders as b
from tests.fakes.report_builders import body
from tests.folding import folded, only_row
from watcher.compose import fold_options
from watcher.fold.reportfacts import ReportFact, read_report

KIND = "VulnerabilityReport"
LONG = "x" * 70  # no label value: the labels hold its hash, an annotation the name


def _written(
    name: str = "web",
    container: str = "app",
    *,
    aside: bool = False,
    additional: Mapping[str, str] = MappingProxyType({}),
) -> PartialObject:
    """Return the metadata that a worker writes, of a ReplicaSet."""
    made = b.replica_set(name, b.container(container, "app:1"))
    row = only_row(folded(b.upsert(made, kind="ReplicaSet")))
    wanted = draft(row, container, body(), policy=LabelPolicy(additional=additional))
    wanted = wanted.sidestep() if aside else wanted
    stamp = stamp_of(wanted, epoch=1, generation=1, inputs=(), db_version="")
    written = assemble(wanted, stamp, now=b.MADE_AT)
    return msgspec.json.decode(msgspec.json.encode(written), type=PartialObject)


def _read(report: PartialObject, *replaced: str, **changes: dict[str, str]) -> ReportFact:
    meta = msgspec.structs.replace(report.metadata, **changes)
    return read_report(KIND, meta, copied=(), replaced=replaced)


@pytest.mark.parametrize(
    "written",
    [
        _written(),
        _written(LONG),
        _written("web", "c" * 60),
        _written("web.v1", "app"),
        _written(aside=True),
        _written(LONG, aside=True),
    ],
    ids=["plain", "long owner", "hashed name", "dots", "collision", "long owner's collision"],
)
def test_what_a_worker_writes_is_labelled(written: PartialObject) -> None:
    """The producer's rules and ours are the same: otherwise every report came back for ever."""
    found = _read(written)
    assert found.gist.labelled
    assert found.claimed is None


@pytest.mark.parametrize("name", ["web", LONG], ids=["plain", "long"])
@pytest.mark.parametrize(
    "missing", [names.RESOURCE_KIND, names.RESOURCE_NAMESPACE, names.CONTAINER_NAME]
)
def test_a_label_that_somebody_removed_is_missed(name: str, missing: str) -> None:
    """Each of them is somebody's selector."""
    written = _written(name)
    labels = {
        key: value for key, value in (written.metadata.labels or {}).items() if key != missing
    }
    assert not _read(written, labels=labels).gist.labelled


def test_the_hash_of_a_long_name_and_the_annotation_that_spells_it_are_compared() -> None:
    """The name itself is no label value, so that both together name the owner."""
    written = _written(LONG)
    meta = written.metadata
    assert not _read(
        written, labels={**(meta.labels or {}), names.RESOURCE_NAME_HASH: "4"}
    ).gist.labelled
    renamed = _read(written, annotations={**(meta.annotations or {}), names.RESOURCE_NAME: "web"})
    assert (renamed.gist.labelled, renamed.claimed) == (False, b.key("ReplicaSet", "web"))
    plain = _written()
    spelled = {**(plain.metadata.annotations or {}), names.RESOURCE_NAME: "zz"}
    assert not _read(plain, annotations=spelled).gist.labelled, "a name too many"


def test_a_report_of_another_owner_is_claimed_by_the_one_that_its_labels_name() -> None:
    """A ConfigMap got it: the labels lead back to the workload."""
    given = b.report(KIND, "r", b.about("ReplicaSet", "web"), b.controlled_by("ConfigMap", "c"))
    found = _read(given)
    assert (found.gist.labelled, found.claimed) == (False, b.key("ReplicaSet", "web"))
    assert found.workload == b.key("ConfigMap", "c")


def test_labels_that_the_settings_fill_are_not_judged() -> None:
    """They may replace the container's and the manager's, never the owner's."""
    replaced = {names.CONTAINER_NAME: "x", names.MANAGED_BY: "Helm", names.RESOURCE_NAME: "y"}
    written = _written(additional=replaced)
    assert not _read(written).gist.labelled
    assert _read(written, *replaced).gist.labelled
    labels = {**(written.metadata.labels or {}), names.RESOURCE_NAME: "y"}
    assert not _read(written, *replaced, labels=labels).gist.labelled


def test_copied_and_additional_labels_are_those_that_the_settings_fill() -> None:
    """Wired to both settings: a sweep would bring such reports back each time."""
    options = fold_options(
        parse(
            {
                "SLUICE_RESOURCE_LABELS": "app.kubernetes.io/managed-by",
                "SLUICE_ADDITIONAL_LABELS": f"{names.CONTAINER_NAME}=x",
            }
        )
    )
    assert options.replaced_labels == {names.MANAGED_BY, names.CONTAINER_NAME}
