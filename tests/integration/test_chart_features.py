"""Each right of the chart's roles, taken away: what then fails is what it is there for.

What is asked of the API server is asked by the product's own code, with the component's token. In
one namespace (`rbac.clusterWide: false`) the same rules stand in Roles: `test_namespaced_install`.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.cli.checks.access import RULES, Rule
from common.kube.cluster import Cluster
from common.kube.configmaps import ConfigMaps
from common.kube.credentials import Credentials
from common.kube.errors import DeniedError
from common.kube.events import Event, Events, Subject
from common.kube.lease import Lease, lease_place
from common.kube.negotiate import METADATA_LIST
from common.kube.resources import ReportMeta, Reports
from common.kube.session import Session
from common.model.lease import LeaseRecord
from common.reports.catalog import BY_KIND, CATALOG, GROUP
from common.settings.operator_keys import MAPS
from sandbox.controlplane import ControlPlane
from tests.charts.release import Release, installed
from tests.waiting import eventually
from watcher.stream.ask import Scope, list_query
from watcher.stream.catalog import BY_RESOURCE
from watcher.stream.informer import Informer, Outlet
from watcher.stream.meter import NoMeter, Trouble
from watcher.stream.signals import OpenList

pytestmark = pytest.mark.integration

KINDS = {row.plural: row.kind for row in CATALOG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource in one role."""

    role: str  # its name's end
    component: str
    group: str
    resource: str
    verb: str
    at_home: bool = False  # a Role in the release's namespace

    def __str__(self) -> str:
        return f"{self.component}-{self.verb}-{self.resource}"


def rights() -> Iterator[Right]:
    """Yield every right of every role of the chart."""
    for rule in RULES:
        for resource in rule.resources:
            for verb in rule.verbs:
                yield right_of(rule, resource, verb)
    for component in ("watcher", "worker", "matcher"):
        yield Right(
            role="identity", component=component, group="", resource="namespaces", verb="get"
        )


def right_of(rule: Rule, resource: str, verb: str) -> Right:
    role = "election" if rule.elects else "configmaps" if rule.names else rule.component
    return Right(
        role=role,
        component=rule.component,
        group=rule.group,
        resource=resource,
        verb=verb,
        at_home=role != rule.component,
    )


@pytest.fixture(scope="module")
def release(
    controlplane: ControlPlane, programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Give the chart with its defaults, applied."""
    folder = tmp_path_factory.mktemp("tokens")
    with installed(programs["kubectl"], controlplane, folder) as one:
        yield one


@pytest.mark.parametrize("right", list(rights()), ids=str)
def test_without_a_right_its_feature_fails(
    right: Right, release: Release, namespace: str, controlplane: ControlPlane
) -> None:
    """And with it, it does not: before and after."""
    with (
        release.session(right.component) as own,
        contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as admin,
    ):
        ask = functools.partial(feature(right), right, own, Ground(release, namespace, admin))
        assert eventually(functools.partial(works, ask))
        home = release.namespace if right.at_home else ""
        with release.without(right.role, right.group, right.resource, right.verb, namespace=home):
            assert eventually(lambda: not works(ask))
        assert eventually(functools.partial(works, ask))


def works(ask: Callable[[], None]) -> bool:
    """Say whether it is allowed."""
    try:
        ask()
    except DeniedError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a feature is tried, and who prepares that."""

    release: Release
    namespace: str
    admin: Session


Feature = Callable[[Right, Session, Ground], None]


def feature(right: Right) -> Feature:
    """Return what the product does with a right. Raises KeyError: nothing."""
    if right.component == "watcher" and right.verb in ("list", "watch"):
        return {"list": pages, "watch": follows}[right.verb]
    if right.group == GROUP:
        return writes_reports
    return {
        "namespaces": lambda _right, own, _ground: discard(Cluster(own).kube_system_uid()),
        "configmaps": reads_settings,
        "leases": holds_the_lease,
        "events": tells_failures,
        "secrets": pulls_privately,
        "serviceaccounts": pulls_privately,
    }[right.resource]


def discard(_answer: object) -> None:
    """Only whether it is answered matters."""


def pages(right: Right, own: Session, _ground: Ground) -> None:
    """List, as an informer does where a watch cannot begin with what exists."""
    row = BY_RESOURCE[right.resource]
    query = list_query(OpenList(limit=1, cursor="", offer=0))
    own.request("GET", row.path(None), query=query, accept=METADATA_LIST)


def follows(right: Right, own: Session, _ground: Ground) -> None:
    """Learn of what exists from a watch; an informer that cannot tries for ever."""
    changes: queue.Queue[Any] = queue.Queue()
    troubles = Troubles()
    outlet = Outlet(changes=changes, turns=threading.Semaphore(1), meter=troubles)
    informer = Informer(BY_RESOURCE[right.resource], Scope(), source=own, outlet=outlet)
    informer.start()
    try:
        assert eventually(lambda: informer.synced or troubles.denied)
        if not informer.synced:
            raise troubles.denied[0]
    finally:
        informer.stop()


class Troubles(NoMeter):
    """Remembers what an informer was refused."""

    def __init__(self) -> None:
        self.denied: list[DeniedError] = []

    def failing(self, resource: str, trouble: Trouble) -> None:
        if isinstance(trouble.error, DeniedError):
            self.denied.append(trouble.error)


def writes_reports(right: Right, own: Session, ground: Ground) -> None:
    """Do with a report what the worker's writer does."""
    mine, kind = Reports(own), KINDS[right.resource]
    inside = ground.namespace if BY_KIND[kind].scope == "Namespaced" else ""
    if right.verb == "create":
        mine.create(report(kind, inside))
        return
    stored = Reports(ground.admin).create(report(kind, inside))
    match right.verb:
        case "get":
            assert mine.get(kind, inside, stored.name) == stored
        case "update":
            mine.replace(report(kind, inside, stored))
        case "patch":
            mine.patch_metadata(stored, {"metadata": {"annotations": {"kube-sluice/x": "1"}}})
        case _:
            assert mine.delete(stored)


def report(kind: str, namespace: str, stored: ReportMeta | None = None) -> Mapping[str, Any]:
    """Return the least that a definition takes."""
    metadata = {"name": stored.name if stored else f"r-{secrets.token_hex(4)}"}
    if namespace:
        metadata["namespace"] = namespace
    if stored:
        metadata["resourceVersion"] = stored.resource_version
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "report": REPORT,
    }


# What any of the definitions asks for; a server drops what one does not know.
REPORT: Mapping[str, Any] = {
    "artifact": {"repository": "shop/web"},
    "components": {"bomFormat": "CycloneDX", "specVersion": "1.6"},
    "os": {"family": "alpine"},
    "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.76.0"},
    "secrets": [],
    "summary": {
        **{f"{one}Count": 0 for one in ("critical", "high", "medium", "low", "unknown")},
        **{f"{one}Count": 0 for one in ("components", "dependencies")},
    },
    "updateTimestamp": "2026-11-25T06:00:00Z",
    "vulnerabilities": [],
}


def reads_settings(_right: Right, own: Session, ground: Ground) -> None:
    """Read trivy-operator's ConfigMaps."""
    ConfigMaps(own, ground.release.namespace).read(MAPS)


def holds_the_lease(right: Right, own: Session, ground: Ground) -> None:
    """Stand for the lead, take it, keep it."""
    place = lease_place(ground.release.namespace, "")
    mine, admins = (Lease(each, place, request_s=10) for each in (own, ground.admin))
    if right.verb == "create":
        path = f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases/{place.name}"
        ground.release.controlplane.api.delete(path)
        mine.create(LeaseRecord(holder="a", duration_s=15))
        return
    there = admins.read() or admins.create(LeaseRecord(holder="a", duration_s=15))
    if right.verb == "get":
        assert mine.read() == there
    else:
        mine.replace(there, acquired=False)


def tells_failures(right: Right, own: Session, ground: Ground) -> None:
    """Tell a failure, and tell it again."""
    subject = Subject(
        api_version="apps/v1", kind="Deployment", namespace=ground.namespace, name="web", uid="1"
    )
    told = Event(subject=subject, reason="ScanFailed", message=secrets.token_hex(4))
    now = datetime.now(UTC)
    if right.verb != "create":
        Events(ground.admin).emit(told, now=now)
    Events(own).emit(told, now=now)


def pulls_privately(right: Right, own: Session, ground: Ground) -> None:
    """Read a pull secret, or the account that names some, as a kubelet would."""
    lent = Credentials(own)
    if right.resource == "secrets":
        lent.pull_secret(ground.namespace, "registry")
    else:
        assert lent.service_account(ground.namespace, "default") is not None
