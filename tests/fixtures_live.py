"""What live watchers need: an admin's session, and a namespace and key space of the test's own."""

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
from sandbox.controlplane import ControlPlane
from sandbox.valkey import Valkey
from tests.live import Live
from tests.watchers import Stage


@pytest.fixture(scope="session")
def admin_session(controlplane: ControlPlane) -> Iterator[Session]:
    """Give an admin's session, with our CRDs in the cluster."""
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        Cluster(session).install_crds(definitions())
        yield session


@pytest.fixture
def live(
    controlplane: ControlPlane,
    admin_session: Session,
    redis_client: Redis,
    names: Names,
    namespace: str,
) -> Live:
    """Give a namespace and an empty key space."""
    live = Live(controlplane, admin_session, redis_client, names)
    live.namespace = namespace
    return live


@pytest.fixture
def stage(
    live: Live, controlplane: ControlPlane, valkey: Valkey, tmp_path: Path
) -> Iterator[Stage]:
    """Give a namespace, an empty key space, and a worker; watchers end with the test."""
    with contextlib.ExitStack() as stack:
        stage = Stage(
            live=live, controlplane=controlplane, valkey=valkey, folder=tmp_path, stack=stack
        )
        stack.enter_context(stage.working())
        yield stage
