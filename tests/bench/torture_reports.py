"""The product's own reconciler under torture: real tables, real writer, a real API server.

Only two ports are wrapped: the rows, to note which version a run read, and the store of reports, so
that a run can be held between its read and its write, and its writes be known to the oracle.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.kube.resources import ReportMeta
from common.kube.session import Session
from common.model.key import WorkloadKey
from common.model.workload import Fingerprint, WorkloadRow
from common.settings.parse import parse
from common.settings.value import Settings
from common.state.connect import Client
from common.state.names import Names
from tests.bench.torture_diary import Diary
from tests.bench.torture_worker import Order, Run, Seen, noted
from worker.compose import workload_reconciler
from worker.parts import Parts
from worker.ports import Ports
from worker.subject.workload.reconcile import Rows
from worker.write import ReportStore

_IMAGE = "registry.test/app"


def settings_of(kubeconfig: str, severities: str) -> Settings:
    """Return settings under which a workload has one report."""
    environ = {
        "SLUICE_KUBECONFIG": kubeconfig,
        "OPERATOR_EXPOSED_SECRET_SCANNER_ENABLED": "false",
        "OPERATOR_SBOM_GENERATION_ENABLED": "false",
    }
    return parse(environ | ({"TRIVY_SEVERITY": severities} if severities else {}))


def reference(version: int) -> str:
    """Return the image reference of a row's version; it reaches the report as its tag."""
    return f"{_IMAGE}:{version}"


def version_of(tag: str) -> int:
    """Return the version that a reference or a report's tag names."""
    return int(tag.rpartition(":")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedRows:
    """The rows, with a gate behind them; says which version was read."""

    rows: Rows
    diary: Diary
    seen: Seen

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        found = self.rows.get(key)
        self.seen.version = version_of(found[0].containers[0].image) if found else 0
        self.diary.pass_gate("row", key.name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedStore:
    """The API server's reports, with a gate after each read and before each write."""

    reports: ReportStore
    diary: Diary

    def get(self, kind: str, namespace: str, name: str) -> ReportMeta | None:
        found = self.reports.get(kind, namespace, name)
        self.diary.pass_gate("read", key_of(name))
        return found

    def create(self, body: Mapping[str, object]) -> ReportMeta:
        self.diary.pass_gate("write", key_of(_name(body)))
        return self._stored(self.reports.create(body))

    def replace(self, body: Mapping[str, object]) -> ReportMeta:
        self.diary.pass_gate("write", key_of(_name(body)))
        return self._stored(self.reports.replace(body))

    def patch_metadata(self, meta: ReportMeta, patch: Mapping[str, object]) -> ReportMeta:
        self.diary.pass_gate("write", key_of(meta.name))
        return self._stored(self.reports.patch_metadata(meta, patch))

    def delete(self, meta: ReportMeta) -> bool:
        return self.reports.delete(meta)

    def _stored(self, meta: ReportMeta) -> ReportMeta:
        self.diary.note("stored", key=key_of(meta.name), object_version=meta.resource_version)
        return meta


def key_of(report: str) -> str:
    """Return the name of the key whose report this is: `pod-<key>-app`."""
    return report.removeprefix("pod-").removesuffix("-app")


def _name(body: Mapping[str, object]) -> str:
    metadata = body["metadata"]
    assert isinstance(metadata, Mapping)
    return str(metadata["name"])


def work(order: Order, diary: Diary, store: tuple[Client, Names]) -> tuple[Run, Ports]:
    """Return the product's own run and ports for a worker process."""
    settings = settings_of(order.kubeconfig, order.severities)
    session = Session.auto(settings.kube.kubeconfig, settings.kube.context)
    parts = Parts(settings=settings, store=store, session=session, draw=random.random)
    made = workload_reconciler(parts)
    made.writer._store = GatedStore(reports=made.writer._store, diary=diary)
    seen = Seen()
    made = replace(made, rows=NotedRows(rows=made.rows, diary=diary, seen=seen))
    ports = Ports(monotonic_s=time.monotonic, judge=parts.judge, may_work=parts.generation.stands)
    return noted(diary, made, seen), ports
