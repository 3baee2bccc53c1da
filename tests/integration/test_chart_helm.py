"""Helm itself installs and upgrades the chart: what it finds in the cluster stays as it was."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import helm_python
import pytest

from sandbox.controlplane import ControlPlane
from tests.charts.release import RESTRICTED
from tests.charts.rendered import CHART, values

pytestmark = pytest.mark.integration

# There is no kubelet, so no hook's Pod would ever end.
NO_HOOKS: dict[str, Any] = {"crds": {"upgrade": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """One release of the chart, by Helm's own code."""

    config: helm_python.Config
    controlplane: ControlPlane
    name: str

    def install(self, changes: Mapping[str, Any]) -> None:
        """Install it; raises HelmError."""
        self.config.install(CHART, self.name, {**NO_HOOKS, **changes}, namespace=self.name)

    def upgrade(self, changes: Mapping[str, Any]) -> None:
        """Upgrade it to these values alone; raises HelmError."""
        self.config.upgrade(
            CHART, self.name, {**NO_HOOKS, **changes}, namespace=self.name, reset_values=True
        )

    def path(self, plural: str, component: str, *, group: str = "/apis/apps/v1") -> str:
        """Return the path of an object of it."""
        return f"{group}/namespaces/{self.name}/{plural}/{self.name}-kube-sluice-{component}"

    def replicas(self, component: str) -> int:
        """Return the number of Pods that a Deployment wants."""
        found = self.controlplane.api.get(self.path("deployments", component))
        return int(found["spec"]["replicas"])

    def secret(self, component: str) -> bytes:
        """Return what a Secret of it holds."""
        path = self.path("secrets", component, group="/api/v1")
        (value,) = self.controlplane.api.get(path)["data"].values()
        return base64.b64decode(value)


@pytest.fixture
def helm(controlplane: ControlPlane) -> Iterator[Helm]:
    """Give a release's name and a namespace that admits restricted Pods only."""
    name = f"h{secrets.token_hex(3)}"
    controlplane.create_namespace(name, RESTRICTED)
    with helm_python.Config(namespace=name, kubeconfig_path=controlplane.kubeconfig) as config:
        yield Helm(config=config, controlplane=controlplane, name=name)
        with contextlib.suppress(helm_python.HelmError):
            config.uninstall(name)
    controlplane.api.delete(f"/api/v1/namespaces/{name}")


def test_password_and_token_are_made_once(helm: Helm) -> None:
    """Another password after an upgrade would lock everybody out of Redis."""
    helm.install({})
    before = [helm.secret(each) for each in ("redis", "matcher")]
    assert all(len(each) >= 32 for each in before)
    helm.upgrade({"worker": {"replicas": 3}})
    assert [helm.secret(each) for each in ("redis", "matcher")] == before
    assert helm.replicas("worker") == 3


def test_an_upgrade_leaves_the_number_that_an_autoscaler_chose(helm: Helm) -> None:
    """In the middle of the work it would be set back, and drained."""
    scaled = {"worker": {"autoscaling": {"by": "hpa"}}}
    helm.install(scaled)
    helm.controlplane.api.patch(helm.path("deployments", "worker"), {"spec": {"replicas": 7}})
    helm.upgrade({**scaled, "commonLabels": {"example.com/team": "security"}})
    assert helm.replicas("worker") == 7


def test_pools_come_and_go(helm: Helm) -> None:
    """The Deployment of before is deleted, and drains; nobody is selected twice."""
    deployments = f"/apis/apps/v1/namespaces/{helm.name}/deployments"

    def found() -> set[str]:
        names = {one["metadata"]["name"] for one in helm.controlplane.api.get(deployments)["items"]}
        return {name.removeprefix(f"{helm.name}-kube-sluice-") for name in names}

    helm.install({})
    assert found() == {"watcher", "worker", "matcher"}
    helm.upgrade({"worker": values(CHART / "presets" / "large.yaml")["worker"]})
    assert found() == {"watcher", "worker-reconcile", "worker-scan", "matcher"}
    helm.upgrade({})
    assert found() == {"watcher", "worker", "matcher"}


@pytest.mark.parametrize(
    "changes",
    [{"enabled": False}, {"storageClass": "fast"}, {"sizeGi": 2048}],
)
def test_a_redis_volume_that_cannot_change_in_place_is_refused_with_what_to_do(
    helm: Helm, changes: dict[str, Any]
) -> None:
    """Kubernetes would answer with a list of fields; what to do is a command, and it works."""
    helm.install({})
    helm.upgrade({"redis": {"persistence": {"enabled": True, "sizeGi": 4}}})  # as it was
    wanted = {"redis": {"persistence": changes}}
    with pytest.raises(helm_python.HelmError) as refused:
        helm.upgrade(wanted)
    told = re.search(
        r"kubectl -n (\S+) delete statefulset (\S+) --cascade=orphan", str(refused.value)
    )
    assert told is not None
    path = f"/apis/apps/v1/namespaces/{told[1]}/statefulsets/{told[2]}"
    assert path == helm.path("statefulsets", "redis")
    helm.controlplane.api.request("DELETE", f"{path}?propagationPolicy=Orphan")
    helm.upgrade(wanted)
    helm.upgrade(wanted)  # from now on it is as it is wanted: 2048Gi reads 2Ti there
