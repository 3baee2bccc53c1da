"""What we believe of the API server, held against a real one and against our fake.

A test that passes on one and fails on the other is a lie in the fake.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from common.kube.cluster import Cluster
from common.kube.errors import (
    AlreadyExistsError,
    NotAcceptableError,
    NotFoundError,
    ThrottledError,
    VersionConflictError,
)
from common.kube.lease import Lease, lease_place
from common.kube.negotiate import METADATA, METADATA_LIST, PROTOBUF, offers
from common.kube.paths import report_path
from common.kube.resources import MERGE_PATCH, ReportMeta, Reports
from common.kube.session import Session
from common.kube.wire import PartialObject
from common.model.errors import GoneError
from common.model.lease import LeaseRecord
from common.reports.crds import definitions
from sandbox.controlplane import ControlPlane
from tests.fakes.kube_api import FakeKubeApi
from watcher.stream.decode import Decoder
from watcher.stream.decode_protobuf import ProtobufDecoder
from watcher.stream.frames import FrameSplitter
from watcher.stream.signals import Added, At, Marked, Page, Removed

KIND = "VulnerabilityReport"
AT = At(0.0, 0.0)
DECODER = Decoder(PartialObject)
IN_PROTOBUF = ProtobufDecoder("PartialObjectMetadata")


@dataclass(frozen=True)
class Server:
    """An API server and a namespace of our own in it."""

    session: Session
    namespace: str

    @property
    def reports(self) -> Reports:
        """The adapter."""
        return Reports(self.session)

    def body(self, name: str, summary: str = "one", **metadata: Any) -> dict[str, Any]:
        """Return a report; only metadata and summary differ between two."""
        return {
            "apiVersion": "aquasecurity.github.io/v1alpha1",
            "kind": KIND,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "report": {
                "updateTimestamp": "2026-11-25T00:00:00Z",
                "artifact": {"repository": summary},
                "registry": {"server": "r"},
                "os": {"family": "", "name": ""},
                "scanner": {"name": "Trivy", "vendor": "Aqua", "version": "1"},
                "summary": {
                    "criticalCount": 0,
                    "highCount": 0,
                    "lowCount": 0,
                    "mediumCount": 0,
                    "unknownCount": 0,
                },
                "vulnerabilities": [],
            },
        }

    def create(self, name: str, **metadata: Any) -> ReportMeta:
        """Store a report."""
        return self.reports.create(self.body(name, **metadata))

    def lease(self) -> Lease:
        """Return the Lease of watchers in this namespace."""
        return Lease(self.session, lease_place(self.namespace, ""), request_s=10)

    def page(self, **query: str) -> Page:
        """Get one page of the namespace's reports."""
        path = report_path(KIND, self.namespace)
        reply = self.session.request("GET", path, query=[*query.items()], accept=METADATA_LIST)
        return DECODER.page(reply.body, AT)

    @contextlib.contextmanager
    def watch(self, **query: str) -> Iterator[Iterator[Added | Removed | Marked]]:
        """Watch the namespace's reports."""
        asked = [("watch", "true"), ("allowWatchBookmarks", "true"), *query.items()]
        path = report_path(KIND, self.namespace)
        with self.session.stream(path, query=asked, accept=METADATA, idle_timeout_s=30) as chunks:
            yield self._signals(iter(chunks))

    def _signals(self, chunks: Iterator[bytes]) -> Iterator[Added | Removed | Marked]:
        rest = b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                signal = DECODER.event(line, AT)
                assert isinstance(signal, Added | Removed | Marked)
                yield signal


class Writes:
    """Reports, which have no status subresource."""

    def test_a_new_report_has_generation_one_and_its_answer_no_body(self, server: Server) -> None:
        """The stamp predicts the generation."""
        meta = server.create("a", labels={"k": "v"}, annotations={"kube-sluice/stamp": "{}"})
        assert (meta.kind, meta.namespace, meta.name) == (KIND, server.namespace, "a")
        assert (meta.generation, meta.labels["k"]) == (1, "v")
        assert meta.annotations["kube-sluice/stamp"] == "{}"
        assert meta.uid
        assert meta.version > 0
        path = report_path(KIND, server.namespace)
        body = orjson.dumps(server.body("b"))
        reply = server.session.request("POST", path, body=body, accept=METADATA)
        assert "report" not in orjson.loads(reply.body)

    def test_a_report_is_found_by_name_or_is_none(self, server: Server) -> None:
        """Absence is a value, not an error."""
        created = server.create("a")
        assert server.reports.get(KIND, server.namespace, "a") == created
        assert server.reports.get(KIND, server.namespace, "b") is None

    def test_a_taken_name_is_refused(self, server: Server) -> None:
        """Another owner may have it."""
        server.create("a")
        with pytest.raises(AlreadyExistsError):
            server.create("a")

    def test_a_new_body_raises_the_generation_by_one(self, server: Server) -> None:
        """So an edit by somebody else shows as a generation that nobody stamped."""
        first = server.create("a")
        body = server.body("a", "two", resourceVersion=first.resource_version)
        second = server.reports.replace(body)
        assert (second.generation, second.uid) == (2, first.uid)
        assert second.version > first.version

    def test_new_metadata_alone_leaves_the_generation(self, server: Server) -> None:
        """Stamps are refreshed without looking like an edit."""
        first = server.create("a")
        body = server.body("a", labels={"k": "v"}, resourceVersion=first.resource_version)
        second = server.reports.replace(body)
        assert second.generation == 1
        assert second.version > first.version

    def test_a_write_that_changes_nothing_changes_no_version(self, server: Server) -> None:
        """It makes no event either."""
        first = server.create("a")
        body = server.body("a", resourceVersion=first.resource_version)
        assert server.reports.replace(body).resource_version == first.resource_version

    def test_a_write_over_an_older_version_is_refused(self, server: Server) -> None:
        """Trap 8, at the edge: a zombie's write loses."""
        first = server.create("a")
        server.reports.replace(server.body("a", "2", resourceVersion=first.resource_version))
        with pytest.raises(VersionConflictError):
            server.reports.replace(server.body("a", "3", resourceVersion=first.resource_version))
        with pytest.raises(VersionConflictError):
            server.reports.patch_metadata(first, {"metadata": {"labels": {"k": "v"}}})
        with pytest.raises(VersionConflictError):
            server.reports.delete(first)

    def test_a_metadata_patch_merges_and_removes(self, server: Server) -> None:
        """Foreign annotations stay."""
        first = server.create("a", annotations={"mine": "1", "theirs": "1", "old": "1"})
        patch = {"metadata": {"annotations": {"mine": "2", "old": None}}}
        second = server.reports.patch_metadata(first, patch)
        assert second.annotations == {"mine": "2", "theirs": "1"}
        assert second.generation == 1

    def test_a_report_that_is_gone_is_said_to_be_gone(self, server: Server) -> None:
        """Trap 34, at the edge: the workload vanished while its result was on the way."""
        meta = server.create("a")
        assert server.reports.delete(meta)
        assert not server.reports.delete(meta)
        with pytest.raises(GoneError):
            server.reports.replace(server.body("a", resourceVersion=meta.resource_version))
        with pytest.raises(NotFoundError):
            server.reports.patch_metadata(meta, {"metadata": {"labels": {"k": "v"}}})

    def test_only_the_report_that_was_read_is_deleted(self, server: Server) -> None:
        """Its successor of the same name belongs to another workload."""
        first = server.create("a")
        server.reports.delete(first)
        server.create("a")
        with pytest.raises(VersionConflictError):
            server.reports.delete(first)
        assert server.reports.get(KIND, server.namespace, "a") is not None


class Reads:
    """Lists and watches."""

    def test_pages_lead_to_each_other(self, server: Server) -> None:
        """All of them are one picture of one version."""
        names = [f"r{number}" for number in range(5)]
        for name in names:
            server.create(name)
        first = server.page(limit="2")
        second = server.page(**{"limit": "2", "continue": first.cursor})
        third = server.page(**{"limit": "2", "continue": second.cursor})
        assert [
            item.key.split("/")[1] for page in (first, second, third) for item in page.items
        ] == names
        assert first.resource_version == second.resource_version == third.resource_version
        assert third.cursor == ""

    def test_labels_select(self, server: Server) -> None:
        """The biggest lever: what is not sent costs nothing."""
        server.create("a", labels={"k": "v"})
        server.create("b", labels={"k": "w"})
        server.create("c")

        def found(selector: str) -> list[str]:
            return [item.key.split("/")[1] for item in server.page(labelSelector=selector).items]

        assert found("k=v") == ["a"]
        assert found("k!=v") == ["b", "c"]
        assert found("k") == ["a", "b"]
        assert found("!k") == ["c"]

    def test_a_watch_sends_what_exists_then_a_mark_then_what_happens(self, server: Server) -> None:
        """The first reading and everything after it in one stream."""
        created = server.create("a")
        asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        with server.watch(**asked) as events:
            first, mark = next(events), next(events)
            assert isinstance(first, Added)
            assert first.item.uid == created.uid
            assert isinstance(mark, Marked)
            assert mark.ends_initial
            assert int(mark.resource_version) >= created.version
            server.create("b")
            second = next(events)
            assert isinstance(second, Added)
            assert second.item.key == f"{server.namespace}/b"
            assert second.item.version > created.version
            assert isinstance(second.item.object, PartialObject)

    def test_a_watch_from_a_version_sends_what_came_after_it(self, server: Server) -> None:
        """A reconnect misses nothing, and the delete carries a newer version."""
        first = server.create("a")
        second = server.create("b")
        server.reports.delete(second)
        with server.watch(resourceVersion=first.resource_version) as events:
            added, removed = next(events), next(events)
        assert isinstance(added, Added)
        assert isinstance(removed, Removed)
        assert removed.item.uid == added.item.uid == second.uid
        assert removed.item.version > second.version


class Leases:
    """The one object that watchers write."""

    def test_a_lease_is_created_once_and_read_as_it_was_written(self, server: Server) -> None:
        """Absence is a value; of two that create it one is refused."""
        lease = server.lease()
        assert lease.read() is None
        created = lease.create(LeaseRecord(holder="a", duration_s=15))
        assert (created.holder, created.duration_s, created.transitions) == ("a", 15, 0)
        assert created.acquired_at == created.renewed_at != ""
        assert created.version
        assert lease.read() == created
        with pytest.raises(AlreadyExistsError):
            lease.create(LeaseRecord(holder="b", duration_s=15))

    def test_a_renewal_moves_its_time_and_its_version_alone(self, server: Server) -> None:
        """That is what the others see."""
        lease = server.lease()
        first = lease.create(LeaseRecord(holder="a", duration_s=15))
        second = lease.replace(first, acquired=False)
        assert not second.says_the_same_as(first)
        assert second.renewed_at > first.renewed_at
        changed = replace(second, renewed_at=first.renewed_at, version=first.version)
        assert changed == first
        assert lease.read() == second

    def test_of_two_that_saw_the_same_one_is_refused(self, server: Server) -> None:
        """The whole election hangs on this."""
        lease = server.lease()
        seen = lease.create(LeaseRecord(holder="a", duration_s=15))
        taken = lease.replace(replace(seen, holder="b", transitions=1), acquired=True)
        assert (taken.holder, taken.transitions) == ("b", 1)
        assert taken.acquired_at == taken.renewed_at
        with pytest.raises(VersionConflictError):
            lease.replace(replace(seen, holder="c", transitions=1), acquired=True)
        assert lease.read() == taken

    def test_a_lease_can_be_given_back(self, server: Server) -> None:
        """An empty holder, as client-go writes it."""
        lease = server.lease()
        seen = lease.create(LeaseRecord(holder="a", duration_s=15))
        given = lease.replace(replace(seen, holder="", duration_s=1), acquired=False)
        assert (given.holder, given.duration_s) == ("", 1)
        assert lease.read() == given

    def test_what_others_put_on_the_lease_stays(self, server: Server) -> None:
        """A label of a deployment tool."""
        lease = server.lease()
        seen = lease.create(LeaseRecord(holder="a", duration_s=15))
        path = f"/apis/coordination.k8s.io/v1/namespaces/{server.namespace}/leases/kube-sluice"
        patch = {"metadata": {"labels": {"tool": "x"}}}
        server.session.request("PATCH", path, body=orjson.dumps(patch), content_type=MERGE_PATCH)
        labelled = lease.read()
        assert labelled is not None
        assert labelled.says_the_same_as(seen)
        assert labelled.version != seen.version
        lease.replace(labelled, acquired=False)
        found = orjson.loads(server.session.request("GET", path).body)
        assert found["metadata"]["labels"] == {"tool": "x"}

    def test_a_lease_that_is_gone_is_said_to_be_gone(self, server: Server) -> None:
        """Somebody tidied up."""
        lease = server.lease()
        seen = lease.create(LeaseRecord(holder="a", duration_s=15))
        path = f"/apis/coordination.k8s.io/v1/namespaces/{server.namespace}/leases/kube-sluice"
        server.session.request("DELETE", path)
        with pytest.raises(NotFoundError):
            lease.replace(seen, acquired=False)
        assert lease.read() is None


class Encodings:
    """What can be asked for, and what comes."""

    def test_reports_have_protobuf_for_their_metadata(self, server: Server) -> None:
        """LIST, WATCH and both in one; custom resources included."""
        before = server.page().resource_version
        created = server.create("a", labels={"k": "v"})
        best = offers(metadata_only=True, protobuf=True)[0]
        path = report_path(KIND, server.namespace)
        page = server.session.request("GET", path, accept=best.list)
        assert page.headers["Content-Type"].startswith(PROTOBUF)
        (listed,) = IN_PROTOBUF.page(page.body, AT).items
        asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        for query in (asked, {"resourceVersion": before}):
            splitter = FrameSplitter()
            pairs = [("watch", "true"), ("allowWatchBookmarks", "true"), *query.items()]
            stream = server.session.stream(
                path, query=pairs, accept=best.watch, idle_timeout_s=30.0
            )
            assert stream.content_type.startswith(PROTOBUF)
            with stream:
                frames = (frame for chunk in stream for frame in splitter.feed(chunk))
                signal = IN_PROTOBUF.event(next(frames), AT)
            assert isinstance(signal, Added)
            assert signal.item == listed
        assert (listed.uid, listed.version) == (created.uid, created.version)
        assert isinstance(listed.object, PartialObject)
        assert listed.object.metadata.labels == {"k": "v"}

    def test_a_body_of_a_report_has_none(self, server: Server) -> None:
        """It has no schema in protobuf, so that JSON must be asked for."""
        server.create("a")
        path = report_path(KIND, server.namespace)
        for verb_path in (path, f"{path}/a"):
            with pytest.raises(NotAcceptableError):
                server.session.request("GET", verb_path, accept=PROTOBUF)

    def test_whoever_asks_for_protobuf_is_refused_in_it(self, server: Server) -> None:
        """The message must not be lost: it tells a missing kind from a missing object."""
        best = offers(metadata_only=True, protobuf=True)[0]
        path = report_path(KIND, server.namespace, "nobody")
        with pytest.raises(NotFoundError) as caught:
            server.session.request("GET", path, accept=best.watch)
        assert "nobody" in str(caught.value).removeprefix(f"GET {path}")


class TestFakeServer(Writes, Reads, Leases, Encodings):
    """The fake."""

    @pytest.fixture
    def server(self) -> Iterator[Server]:
        """Give the fake."""
        with FakeKubeApi(protobuf=True) as api, contextlib.closing(api.session()) as session:
            yield Server(session, "shop")


@pytest.mark.integration
class TestRealServer(Writes, Reads, Leases, Encodings):
    """A real kube-apiserver."""

    @pytest.fixture
    def server(self, controlplane: ControlPlane, namespace: str) -> Iterator[Server]:
        """Give the real one."""
        with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
            Cluster(session).install_crds(definitions())
            _await_storage(session, namespace)
            yield Server(session, namespace)


def _await_storage(session: Session, namespace: str) -> None:
    """Wait out the moment in which a definition is served and its storage is not ready (429)."""
    deadline = time.monotonic() + 30.0
    while True:
        try:
            session.request("GET", report_path(KIND, namespace), query=[("limit", "1")])
        except ThrottledError:
            assert time.monotonic() < deadline, "the storage of reports is not ready"
            time.sleep(0.05)
        else:
            return
