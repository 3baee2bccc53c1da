"""An etcd that is restored to an older state under a watcher that lives on.

A control plane of its own, for the shared one's objects must not go away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.reports.crds import definitions
from common.state.names import Names
from common.state.rows import RowTable
from sandbox.controlplane import ControlPlane
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.live import environment, run_watcher
from tests.waiting import eventually

pytestmark = pytest.mark.integration

NAMESPACE = "shop"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MORE = 100  # versions that the restored server has still to reach


@pytest.fixture
def own_controlplane(programs: dict[str, Path]) -> Iterator[ControlPlane]:
    """Give a control plane with our definitions and a namespace."""
    with Place() as place, Stack() as stack:
        started = ControlPlane(place, programs, stack).start()
        with contextlib.closing(Session.from_kubeconfig(str(started.kubeconfig))) as session:
            Cluster(session).install_crds(definitions())
        started.create_namespace(NAMESPACE)
        yield started


def create(controlplane: ControlPlane, name: str) -> int:
    """Create a Pod; return its version."""
    pod = {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }
    return int(controlplane.api.create(PODS, pod)["metadata"]["resourceVersion"])


def test_after_a_restore_the_rows_are_what_the_cluster_is(
    own_controlplane: ControlPlane, valkey: Valkey, redis_client: Redis, names: Names
) -> None:
    """A watch from a version that is yet to come is silent, and nothing was heard any more."""
    rows = RowTable(redis_client, names)

    def found() -> set[str]:
        return {key.name for key in rows.keys()}  # noqa: SIM118 # a table is no mapping

    create(own_controlplane, "kept")
    saved = own_controlplane.save()
    told = {
        **environment(own_controlplane, valkey, NAMESPACE),
        "SLUICE_CLUSTER": names.cluster,
        "SLUICE_SWEEP_INTERVAL_S": "86400",
    }
    with run_watcher(told) as (process, lines):
        before = create(own_controlplane, "lost")
        for number in range(MORE):
            patch = {"metadata": {"annotations": {"noise": str(number)}}}
            own_controlplane.api.patch(f"{PODS}/lost", patch)
        assert eventually(lambda: found() == {"kept", "lost"}), lines
        own_controlplane.restore(saved)
        assert create(own_controlplane, "fresh") < before + MORE, "its versions went backwards"
        assert eventually(lambda: found() == {"kept", "fresh"}, within_s=60), (found(), lines)
        assert process.poll() is None
