"""Findings metrics, probes' words, start-up checks and batches."""

from __future__ import annotations

import queue

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from common.kube.envelopes import Status
from common.kube.errors import Call, NotFoundError, api_error
from common.kube.session import Reply
from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.ops.version import VERSION
from common.reports.catalog import CLUSTER_KINDS
from common.reports.stamp import StampArtifact
from common.settings.parse import parse
from common.state.epoch import generation_digest
from tests import builders as b
from watcher.compose import fold_options, streams_of
from watcher.exporter import label_name, render
from watcher.fold.reportfacts import ReportFact, read_report
from watcher.inbox import BATCH_CHANGES, take_batch
from watcher.metrics import StreamMetrics
from watcher.preflight import check_definitions, check_peers, told_by_settings
from watcher.stream.catalog import ROWS
from watcher.stream.change import Change, Op
from watcher.stream.meter import Trouble
from watcher.stream.signals import Note

ARTIFACT = StampArtifact(registry="index.docker.io", repository="library/app", tag="1", digest="d")
SUMMARY = {"criticalCount": 3, "highCount": 2, "mediumCount": 1, "lowCount": 0, "unknownCount": 4}


def _report(kind: str, *modifiers: b.Modifier) -> ReportFact:
    stamped = b.stamped(summary=SUMMARY, artifact=ARTIFACT)
    made = b.report(kind, "replicaset-web-app", b.about("ReplicaSet", "web"), stamped, *modifiers)
    return read_report(kind, made.metadata, copied=("team", "app.kubernetes.io/partOf"))


def _rendered(*reports: ReportFact) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = b"".join(
        render(reports, copied=("team", "app.kubernetes.io/partOf"), prefix="k8s_label_")
    ).decode()
    return {
        family.name: [(dict(sample.labels), sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_a_vulnerability_report_is_a_series_per_severity_with_trivy_operators_labels() -> None:
    """Dashboards select by these names; a count of 0 is a series too."""
    found = _rendered(_report("VulnerabilityReport"))["trivy_image_vulnerabilities"]
    assert [(labels["severity"], value) for labels, value in found] == [
        ("Critical", 3),
        ("High", 2),
        ("Medium", 1),
        ("Low", 0),
        ("Unknown", 4),
    ]
    labels = found[0][0]
    assert labels == {
        "namespace": "shop",
        "name": "replicaset-web-app",
        "resource_kind": "ReplicaSet",
        "resource_name": "web",
        "container_name": "app",
        "image_registry": "index.docker.io",
        "image_repository": "library/app",
        "image_tag": "1",
        "image_digest": "d",
        "severity": "Critical",
        "k8s_label_team": "",
        "k8s_label_app_kubernetes_io_part_of": "",
    }


def test_a_secret_report_has_four_severities() -> None:
    """An unknown one is refused by the API server."""
    found = _rendered(_report("ExposedSecretReport"))["trivy_image_exposedsecrets"]
    assert [labels["severity"] for labels, _ in found] == ["Critical", "High", "Medium", "Low"]


def test_copied_labels_are_metric_labels() -> None:
    """`report.resourceLabels` with `metrics.resourceLabelsPrefix`."""
    found = _rendered(_report("VulnerabilityReport", b.labelled({"team": "shop"})))
    assert found["trivy_image_vulnerabilities"][0][0]["k8s_label_team"] == "shop"
    assert label_name("k8s_label_", "app.kubernetes.io/managedBy") == (
        "k8s_label_app_kubernetes_io_managed_by"
    )


def test_a_report_without_our_stamp_is_not_served() -> None:
    """Nobody knows its counts without reading its body."""
    foreign = read_report(
        "VulnerabilityReport",
        b.report("VulnerabilityReport", "r", b.about("ReplicaSet", "web")).metadata,
        copied=(),
    )
    assert _rendered(foreign)["trivy_image_vulnerabilities"] == []


def test_a_label_value_cannot_break_out_of_its_quotes() -> None:
    """A tag is a tenant's text."""
    wild = StampArtifact(tag='1",severity="None"} 9\n# x\\')
    report = b.report(
        "VulnerabilityReport",
        "r",
        b.about("ReplicaSet", "web"),
        b.stamped(summary=SUMMARY, artifact=wild),
    )
    found = _rendered(read_report("VulnerabilityReport", report.metadata, copied=()))
    assert len(found["trivy_image_vulnerabilities"]) == 5
    assert found["trivy_image_vulnerabilities"][0][0]["image_tag"] == wild.tag


# --- start-up -------------------------------------------------------------------------------------


class _Api:
    def __init__(self, *missing: str) -> None:
        self._missing = missing
        self.paths: list[str] = []

    def request(self, method: str, path: str, *, query: object = (), accept: str = "") -> Reply:
        self.paths.append(path)
        if path.rpartition("/")[2] in self._missing:
            raise NotFoundError(f"GET {path}: 404")
        return Reply(status=200, headers={}, body=b"{}")


class _Peer:
    def __init__(self, ready: int) -> None:
        self.namespace, self.name, self.ready = "trivy-system", "trivy-operator", ready


def test_missing_definitions_are_named_with_the_remedy() -> None:
    """An informer would wait for them for ever, and nobody would know why."""
    check_definitions(_Api(), ROWS)
    with pytest.raises(PreconditionError, match=r"SbomReport.*sluice crds --install"):
        check_definitions(_Api("sbomreports"), ROWS)


def test_definitions_are_looked_for_where_something_may_be_read() -> None:
    """An account with Roles only is refused in all other namespaces."""
    api = _Api()
    check_definitions(api, ROWS, namespace="shop")
    assert api.paths
    assert all("/namespaces/shop/" in path for path in api.paths)


def test_start_up_says_what_settings_stand_in_for() -> None:
    """Otherwise a wrong platform, which costs wrong findings, would be found by nobody."""
    scope = parse({"SLUICE_PLATFORM": "linux-arm64"}).scope
    told = told_by_settings(scope, cluster="production")
    assert told == (
        "the key space's name (production, SLUICE_CLUSTER)",
        "the nodes' platform (linux-arm64, SLUICE_PLATFORM)",
    )
    assert told_by_settings(parse({}).scope, cluster="") == ()


def test_a_running_trivy_operator_is_refused_with_the_remedy() -> None:
    """Trap 36. Both would delete and rewrite each other's reports for ever."""
    check_peers([])
    check_peers([_Peer(ready=0)])
    with pytest.raises(PreconditionError, match=r"kubectl scale .* --replicas=0"):
        check_peers([_Peer(ready=1)])


# --- batches --------------------------------------------------------------------------------------


def _inbox(count: int) -> queue.Queue[Change]:
    inbox: queue.Queue[Change] = queue.Queue()
    for number in range(count):
        inbox.put(Change(resource="pods", op=Op.DELETE, key=f"shop/p{number}"))
    return inbox


def test_a_burst_is_taken_in_batches_in_order() -> None:
    """One call of Redis for hundreds of changes."""
    inbox = _inbox(BATCH_CHANGES + 10)
    first = take_batch(inbox, wait_s=0.0)
    second = take_batch(inbox, wait_s=0.0)
    assert [len(first), len(second)] == [BATCH_CHANGES, 10]
    assert first[0].key == "shop/p0"


def test_a_batch_is_what_is_there() -> None:
    """Changes that trickle in must not hold the first one up: they are the next batch."""
    assert len(take_batch(_inbox(3), wait_s=60.0)) == 3


def test_nothing_comes_back_when_nothing_comes() -> None:
    """The loop has other things to do."""
    assert take_batch(_inbox(0), wait_s=0.0) == []
    assert take_batch(_inbox(0), wait_s=0.001) == []


# --- composition ----------------------------------------------------------------------------------


def test_target_namespaces_are_followed_one_by_one() -> None:
    """A watcher without rights in the whole cluster can serve two namespaces."""
    streams = streams_of(parse({"OPERATOR_TARGET_NAMESPACES": "shop,dev"}))
    followed = {(row.resource, scope.namespace) for row, scope in streams}
    assert {("pods", "shop"), ("pods", "dev"), ("nodes", None)} <= followed
    assert ("pods", None) not in followed


def test_nodes_are_not_followed_where_a_setting_says_their_platform() -> None:
    """They belong to the whole cluster, which an account with Roles only may not read."""
    watched = {row.kind for row, _ in streams_of(parse({}))}
    confined = {row.kind for row, _ in streams_of(parse({"SLUICE_PLATFORM": "linux-arm64"}))}
    # Nor is there a bill of the cluster without its nodes.
    assert watched - confined == {"Node", *CLUSTER_KINDS}
    assert fold_options(parse({"SLUICE_PLATFORM": "linux-arm64"})).platform == "linux-arm64"


def test_excluded_namespaces_are_left_out_by_the_server_where_they_are_no_globs() -> None:
    """What is not sent costs nobody anything."""
    streams = streams_of(parse({"OPERATOR_EXCLUDE_NAMESPACES": "dev,kube-*,test"}))
    scopes = {row.resource: scope for row, scope in streams}
    assert scopes["pods"].field_selector == "metadata.namespace!=dev,metadata.namespace!=test"
    assert scopes["nodes"].field_selector == ""
    assert len(streams) == len(ROWS) + len(CLUSTER_KINDS)


@pytest.mark.parametrize("name", ["a=b", "Dev", "a b", "a/b", "-a", "a" * 64])
def test_what_no_namespace_can_be_called_is_no_part_of_a_selector(name: str) -> None:
    """The server answers 400 to some of them, for ever."""
    streams = streams_of(parse({"OPERATOR_EXCLUDE_NAMESPACES": f"dev,{name}"}))
    scopes = {row.resource: scope for row, scope in streams}
    assert scopes["pods"].field_selector == "metadata.namespace!=dev"


def test_only_what_shapes_reports_changes_the_epoch() -> None:
    """A new log level must not run every workload again; another severity must."""
    plain = generation_digest(parse({}).projection_digest(), VERSION)
    assert (
        generation_digest(parse({"SLUICE_LOG_LEVEL": "debug"}).projection_digest(), VERSION)
        == plain
    )
    assert (
        generation_digest(parse({"TRIVY_SEVERITY": "CRITICAL"}).projection_digest(), VERSION)
        != plain
    )
    assert (
        generation_digest(
            parse({"OPERATOR_TARGET_NAMESPACES": "shop"}).projection_digest(), VERSION
        )
        == plain
    ), "rows tell it"


def trouble(failures: int = 1, error: SluiceError | None = None) -> Trouble:
    return Trouble(
        reason="Forbidden", error=error, failures=failures, wait_s=1.0, is_news=failures == 1
    )


def test_a_refused_stream_says_what_to_grant_and_what_would_spare_it() -> None:
    """A bare reason told neither which right, nor where, nor that a setting does as well."""
    counted = StreamMetrics(CollectorRegistry())
    status = Status(message='pods is forbidden: cannot watch resource "pods" in the namespace "b"')
    refused = api_error(Call(verb="GET", path="/api/v1/namespaces/b/pods"), 403, status)
    with structlog.testing.capture_logs() as lines:
        counted.failing("pods", trouble(error=refused))
        counted.failing("nodes", trouble(error=refused))
        counted.failing("nodes", trouble(error=SourceUnavailableError("away")))
    pods, nodes, away = (str(line["error"]) for line in lines)
    assert 'in the namespace "b"' in pods
    assert "grant this account that right" in pods
    assert "SLUICE_PLATFORM" not in pods
    assert "or set SLUICE_PLATFORM" in nodes
    assert away == "away"


def test_streams_are_counted_by_resource() -> None:
    """Events in, bytes, re-lists, failures; all series there from the start."""
    registry = CollectorRegistry()
    counted = StreamMetrics(registry)
    value = registry.get_sample_value
    assert value("sluice_watcher_events_total", {"resource": "pods"}) == 0
    relists = {"resource": "pods", "note": "relist"}
    assert value("sluice_watcher_stream_notes_total", relists) == 0
    counted.received("pods", events=3, size_bytes=100)
    counted.noted("pods", Note.RELIST)
    assert value("sluice_watch_fallbacks_total", {"resource": "pods"}) == 0
    counted.noted("pods", Note.FALLBACK)
    with structlog.testing.capture_logs() as lines:
        for failures in (1, 2, 3):
            counted.failing("pods", trouble(failures))
    assert value("sluice_watcher_events_total", {"resource": "pods"}) == 3
    assert value("sluice_watcher_received_bytes_total", {"resource": "pods"}) == 100
    assert value("sluice_watcher_stream_notes_total", relists) == 1
    assert value("sluice_watch_fallbacks_total", {"resource": "pods"}) == 1
    assert value("sluice_watcher_stream_failures_total", {"resource": "pods"}) == 3
    assert [line["event"] for line in lines] == ["stream failed"], "the first of a row only"
