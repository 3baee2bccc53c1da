"""What a report store promises the writer: one suite for the fake and for a real API server.

The writer's own tests run on the fake; this is what makes them worth something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from common.kube.cluster import Cluster
from common.kube.resources import Reports
from common.kube.session import Session
from common.model.errors import ConflictError, GoneError, TooLargeError
from common.reports import crds
from common.reports.catalog import API_VERSION, VULNERABILITY_REPORT
from tests.fakes.report_store import FakeReportStore
from worker.write import ReportStore

NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store and a namespace in it."""

    store: ReportStore
    namespace: str
    owners: tuple[str, str]  # uids of two living ConfigMaps, a and b: the collector is quick


@pytest.fixture(
    params=["fake", pytest.param("apiserver", marks=pytest.mark.integration)], name="place"
)
def _place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "fake":
        yield Place(store=FakeReportStore(), namespace="shop", owners=("1", "2"))
        return
    session: Session = request.getfixturevalue("report_session")
    namespace: str = request.getfixturevalue("namespace")
    api = request.getfixturevalue("controlplane").api
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    old, new = (api.create(path, {"metadata": {"name": name}}) for name in "ab")
    owners = (old["metadata"]["uid"], new["metadata"]["uid"])
    yield Place(store=Reports(session), namespace=namespace, owners=owners)


@pytest.fixture(scope="module")
def report_session(controlplane: Any) -> Iterator[Session]:
    """Give a session with the definitions installed."""
    session = Session.from_kubeconfig(str(controlplane.kubeconfig))
    Cluster(session).install_crds(crds.definitions())
    yield session
    session.close()


def report(place: Place, *, ids: tuple[str, ...] = (), **metadata: Any) -> dict[str, Any]:
    zero = {f"{name}Count": 0 for name in ("critical", "high", "medium", "low", "unknown")}
    return {
        "apiVersion": API_VERSION,
        "kind": VULNERABILITY_REPORT,
        "metadata": {
            "name": "pod-web-app",
            "namespace": place.namespace,
            "labels": {"a": "1"},
            "annotations": {"n": "1"},
            **metadata,
        },
        "report": {
            "updateTimestamp": NOW,
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.76.0"},
            "artifact": {"repository": "web"},
            "os": {"family": ""},
            "summary": zero,
            "vulnerabilities": [finding(one) for one in ids],
        },
    }


def finding(identifier: str, *, title: str = "") -> dict[str, Any]:
    empty = dict.fromkeys(("fixedVersion", "publishedDate", "lastModifiedDate"), "")
    return {
        "vulnerabilityID": identifier,
        "resource": "pkg",
        "installedVersion": "1",
        "severity": "HIGH",
        "title": title,
        **empty,
    }


def stored(place: Place) -> Any:
    found = place.store.get(VULNERABILITY_REPORT, place.namespace, "pod-web-app")
    assert found is not None
    return found


def test_a_new_report_has_generation_one(place: Place) -> None:
    """The stamp predicts it."""
    assert place.store.create(report(place)).generation == 1
    assert stored(place).labels["a"] == "1"


def test_an_absent_report_is_none(place: Place) -> None:
    """Absence is an answer."""
    assert place.store.get(VULNERABILITY_REPORT, place.namespace, "nobody") is None


def test_a_name_is_taken_once(place: Place) -> None:
    """Two workers may be equally fast."""
    place.store.create(report(place))
    with pytest.raises(ConflictError):
        place.store.create(report(place))


def test_another_body_raises_the_generation_by_one(place: Place) -> None:
    """The prediction of a replacement."""
    version = place.store.create(report(place)).resource_version
    meta = place.store.replace(report(place, ids=("CVE-1",), resourceVersion=version))
    assert meta.generation == 2


def test_the_same_body_leaves_the_generation(place: Place) -> None:
    """A prediction that fails is corrected on the stamp; this is when it fails."""
    version = place.store.create(report(place)).resource_version
    changed = report(place, resourceVersion=version, labels={"a": "2"})
    assert place.store.replace(changed).generation == 1


def test_a_replacement_of_an_older_version_is_refused(place: Place) -> None:
    """Trap 8: what a zombie meets."""
    version = place.store.create(report(place)).resource_version
    place.store.replace(report(place, ids=("CVE-1",), resourceVersion=version))
    with pytest.raises(ConflictError):
        place.store.replace(report(place, ids=("CVE-2",), resourceVersion=version))


def test_a_metadata_patch_leaves_the_generation_and_drops_nulls(place: Place) -> None:
    """Only stamps change: no body is sent."""
    meta = place.store.create(report(place))
    patched = place.store.patch_metadata(
        meta, {"metadata": {"annotations": {"n": None, "m": "2"}, "labels": {"b": "1"}}}
    )
    assert patched.generation == 1
    assert dict(patched.annotations) == {"m": "2"}
    assert patched.labels["b"] == "1"
    assert patched.labels["a"] == "1"


def test_a_patch_of_an_older_version_is_refused(place: Place) -> None:
    """The same for metadata."""
    meta = place.store.create(report(place))
    place.store.patch_metadata(meta, {"metadata": {"labels": {"b": "1"}}})
    with pytest.raises(ConflictError):
        place.store.patch_metadata(meta, {"metadata": {"labels": {"b": "2"}}})


def test_owners_are_replaced_by_a_patch(place: Place) -> None:
    """Trap 10: a merge patch replaces a list as a whole."""
    old, new = place.owners
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
    meta = place.store.create(report(place, ownerReferences=[{**owner, "name": "a", "uid": old}]))
    patch = {"metadata": {"ownerReferences": [{**owner, "name": "b", "uid": new}]}}
    patched = place.store.patch_metadata(meta, patch)
    assert patched.owner is not None
    assert patched.owner.uid == new


def test_only_what_was_read_is_deleted(place: Place) -> None:
    """A report that was written meanwhile may be somebody's."""
    meta = place.store.create(report(place))
    place.store.patch_metadata(meta, {"metadata": {"labels": {"b": "1"}}})
    with pytest.raises(ConflictError):
        place.store.delete(meta)
    assert place.store.delete(stored(place))
    assert place.store.get(VULNERABILITY_REPORT, place.namespace, "pod-web-app") is None


def test_deleting_what_is_gone_says_so(place: Place) -> None:
    """Somebody else was faster."""
    meta = place.store.create(report(place))
    assert place.store.delete(meta)
    assert not place.store.delete(meta)


def test_replacing_what_is_gone_is_gone(place: Place) -> None:
    """Trap 34: the workload and its reports vanished."""
    meta = place.store.create(report(place))
    place.store.delete(meta)
    with pytest.raises((GoneError, ConflictError)):
        place.store.replace(report(place, resourceVersion=meta.resource_version))


def test_a_body_beyond_the_limit_is_refused(place: Place) -> None:
    """The writer's answer is a smaller body."""
    body = report(place)
    body["report"]["vulnerabilities"] = [
        finding(f"CVE-{number}", title="t" * 1000) for number in range(2500)
    ]
    with pytest.raises(TooLargeError):
        place.store.create(body)
