"""The chart with Roles in two namespaces and nothing in the cluster, on a real API server.

Each process works with the token of its own ServiceAccount, and says what it takes from settings
and which right it lacks.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.state.names import Names
from common.state.rows import RowTable
from sandbox.controlplane import ControlPlane
from sandbox.valkey import Valkey
from tests.charts.release import Release, apply, install_definitions
from tests.charts.rendered import environment, render
from tests.fixtures_queue import forget
from tests.live import page_of, port_of, run_watcher
from tests.sluice_run import Sluice
from tests.waiting import eventually

pytestmark = pytest.mark.integration

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLATFORM = "linux-amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """An installed chart, the namespaces that it scans, and one that is none of its business."""

    release: Release
    targets: tuple[str, str]
    other: str
    names: Names
    valkey: Valkey
    rows: RowTable

    def told(self, component: str = "watcher", **more: str) -> dict[str, str]:
        """Return what the chart tells a component, with this machine's addresses."""
        chart = environment(
            self.release.chart.containers()[component], namespace=self.release.namespace
        )
        del chart["SLUICE_REDIS_PASSWORD_FILE"]
        return {
            "PATH": os.environ["PATH"],
            **chart,
            "SLUICE_REDIS_URL": self.valkey.url,
            "SLUICE_KUBECONFIG": str(self.release.kubeconfig(component)),
            "SLUICE_LOG_FORMAT": "json",
            "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
            "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
            "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
            "TRIVY_DB_REPOSITORY": "127.0.0.1:1/aqua/trivy-db:2",  # nothing leaves this machine
            **more,
        }

    def create_pod(self, namespace: str) -> None:
        """Create a workload."""
        pod = {
            "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }
        self.release.controlplane.api.create(f"/api/v1/namespaces/{namespace}/pods", pod)

    def found_in(self) -> set[str]:
        """Return the namespaces of all rows."""
        return {key.namespace for key in self.rows.keys()}  # noqa: SIM118 # a table is no mapping


@pytest.fixture(scope="module")
def install(
    controlplane: ControlPlane,
    valkey: Valkey,
    programs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Install]:
    """Install it; it has a workload in each of three namespaces, two of which it scans."""
    name = f"n{secrets.token_hex(3)}"
    home, one, two, other = (f"{name}-{part}" for part in ("home", "one", "two", "other"))
    chart = render(
        {
            "cluster": name,
            "rbac": {"clusterWide": False},
            "settings": {"OPERATOR_TARGET_NAMESPACES": f"{one},{two}", "SLUICE_PLATFORM": PLATFORM},
        },
        name=name,
        namespace=home,
    )
    assert not [each for each in chart.manifests if each["kind"].startswith("Cluster")]
    install_definitions(controlplane)
    for namespace in (home, one, two, other):
        controlplane.create_namespace(namespace)
    apply(programs["kubectl"], controlplane, chart)
    release = Release(
        chart=chart,
        name=name,
        namespace=home,
        controlplane=controlplane,
        folder=tmp_path_factory.mktemp("tokens"),
    )
    with Redis.from_url(valkey.socket_url) as redis:
        names = Names(name)
        installed = Install(
            release=release,
            targets=(one, two),
            other=other,
            names=names,
            valkey=valkey,
            rows=RowTable(redis, names),
        )
        for namespace in (one, two, other):
            installed.create_pod(namespace)
        yield installed
        forget(redis, names)
    for namespace in (home, one, two, other):
        controlplane.api.delete(f"/api/v1/namespaces/{namespace}")


def entries(lines: list[str], event: str) -> list[dict[str, Any]]:
    """Return the log lines of one event."""
    found = [json.loads(line) for line in list(lines) if line.startswith("{")]
    return [entry for entry in found if entry["event"] == event]


def readiness(lines: list[str]) -> tuple[int, str]:
    """Return the probe's answer; status 0: it is not served yet."""
    port = port_of(lines, "/readyz")
    return page_of(port, "/readyz") if port else (0, "")


def test_a_watcher_works_with_roles_of_its_namespaces_alone(install: Install) -> None:
    """And says what it would have read from the cluster."""
    with run_watcher(install.told()) as (_, lines):
        assert eventually(lambda: readiness(lines)[0] == 200), lines
        assert eventually(lambda: install.found_in() == set(install.targets)), install.found_in()
        (said,) = entries(lines, "not read from the cluster, but taken from settings")
        assert entries(lines, "stream failed") == []
    assert said["what"] == [
        f"the key space's name ({install.names.cluster}, SLUICE_CLUSTER)",
        f"the nodes' platform ({PLATFORM}, SLUICE_PLATFORM)",
    ]


def test_a_right_that_is_missing_in_one_namespace_is_named_until_it_is_granted(
    install: Install,
) -> None:
    """A restart must not be needed: whoever grants it may not be who installs."""
    lacking = install.targets[1]
    with (
        install.release.without("watcher", "", "pods", "watch", namespace=lacking),
        run_watcher(install.told()) as (_, lines),
    ):
        assert eventually(lambda: entries(lines, "stream failed")), lines
        (failed,) = entries(lines, "stream failed")
        assert (failed["resource"], failed["reason"]) == ("pods", "Forbidden")
        assert 'cannot watch resource "pods"' in failed["error"]
        assert f'in the namespace "{lacking}"' in failed["error"]
        assert "grant this account that right" in failed["error"]
        assert eventually(lambda: f"loading pods in {lacking}\n" in readiness(lines)[1])
        _grant(install, lacking)
        assert eventually(lambda: readiness(lines)[0] == 200), lines


def _grant(install: Install, namespace: str) -> None:
    """Give the watcher's role in a namespace the rules that it has in the other."""
    name = f"{install.release.name}-kube-sluice-watcher"
    api, path = install.release.controlplane.api, f"{_RBAC}/namespaces/{{}}/roles/{name}"
    whole = next(one for one in install.targets if one != namespace)
    api.patch(path.format(namespace), {"rules": api.get(path.format(whole))["rules"]})


@pytest.mark.parametrize(
    ("setting", "status", "words"),
    [
        ("SLUICE_PLATFORM", None, 'cannot watch resource "nodes"'),
        ("SLUICE_CLUSTER", 3, "the Lease {home}/kube-sluice,"),
    ],
)
def test_a_setting_that_namespaced_roles_need_is_named_when_it_is_not_there(
    install: Install, setting: str, status: int | None, words: str
) -> None:
    """Granting the right in the whole cluster is what this install must not need."""
    told = install.told()
    del told[setting]
    with run_watcher(told) as (process, lines):
        assert eventually(lambda: any(setting in line and "or set" in line for line in lines)), (
            lines
        )
        assert any(
            words.format(home=install.release.namespace) in line.replace('\\"', '"')
            for line in lines
        )
        if status is not None:
            assert process.wait(30) == status


@pytest.mark.parametrize("component", ["watcher", "worker"])
def test_the_doctor_asks_for_rights_in_those_namespaces_alone(
    install: Install,
    component: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It knows nothing of nodes there, and names the namespace in which something is missing."""
    for name, value in install.told(component).items():
        monkeypatch.setenv(name, value)

    def rights() -> list[dict[str, str]]:
        assert main(["doctor", "--json"]) in (0, 1)
        found = json.loads(capsys.readouterr().out)
        if component == "watcher":  # the other may list nothing, so it cannot tell
            assert {each["state"] for each in found if each["topic"] == "definitions"} == {"good"}
        return [each for each in found if each["topic"] == f"access of the {component}"]

    assert {each["state"] for each in rights()} == {"good"}
    verb, resource = ("watch", "pods") if component == "watcher" else ("patch", "events")
    lacking = install.targets[1]
    with install.release.without(component, "", resource, verb, namespace=lacking):
        assert eventually(lambda: {each["state"] for each in rights()} != {"good"})
        (bad,) = [each for each in rights() if each["state"] != "good"]
        assert f"this account may not {verb} {resource} in {lacking}" in bad["said"]


def test_sluice_run_works_with_an_account_of_those_namespaces(
    install: Install, tmp_path: Path
) -> None:
    """The whole pipeline under one account: that of the watcher, which may also do the writing."""
    account = f"{install.release.name}-kube-sluice-watcher"
    for namespace in install.targets:
        binding = {
            "metadata": {"name": "run"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": f"{install.release.name}-kube-sluice-worker",
            },
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": account,
                    "namespace": install.release.namespace,
                }
            ],
        }
        path = f"{_RBAC}/namespaces/{namespace}/rolebindings"
        install.release.controlplane.api.create(path, binding)
    told = install.told(
        SLUICE_DATA_DIR=str(tmp_path / "data"), SLUICE_MATCHER_ADDRESS="127.0.0.1:0"
    )
    run = Sluice(told, "--yes", "--workers", "1")
    try:
        assert ", ".join(install.targets) in run.line("namespaces")
        assert "alone; one that runs elsewhere cannot be seen" in run.line("trivy-operator")
        run.line("not read from the cluster, but taken from settings")
        run.line("Ready.")
        run.line('"leading"')
        assert eventually(lambda: install.found_in() == set(install.targets))
    finally:
        status = run.end()
    assert status == 0
