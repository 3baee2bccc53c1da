"""A worker process on every server and in every deployment, as its user sets it up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Stack
from tests.deployments import DEPLOYMENTS, PASSWORD
from tests.fixtures_queue import forget
from tests.fixtures_redis import DeploymentOf
from tests.queue_values import workloads
from tests.queue_worker import Diary
from tests.waiting import eventually
from tests.worker_processes import Workers

pytestmark = pytest.mark.integration


@pytest.fixture(params=DEPLOYMENTS)
def workers(
    request: pytest.FixtureRequest, deployment_of: DeploymentOf, tmp_path: Path
) -> Iterator[Workers]:
    """Give workers of a cluster of the test's own."""
    deployment, cluster = deployment_of(request.param), f"t{secrets.token_hex(5)}"
    with Place() as place, Stack() as stack:
        yield Workers(deployment, cluster, place, stack, Diary(tmp_path))
    with deployment.admin() as admin:
        forget(admin, Names(cluster))


def test_a_worker_drains_its_keys_and_leaves_nothing_behind(workers: Workers) -> None:
    """The whole life of a process: registration, leases, waits, ends, and its own end."""
    keys, names = workloads(60), Names(workers.cluster)
    with workers.deployment.client() as client:
        queue = WorkQueue(client, names)
        worker = workers.start(loops=2)
        workers.want(keys)
        queue.add([Add(key=key) for key in keys[:40]])
        queue.add([Add(key=key, lane=Lane.BULK) for key in keys[40:]])
        assert eventually(lambda: not any(queue.members(keys))), workers.said()
        worker.stop()
        totals = queue.totals()["reconcile"]
    assert worker.exit_status == 0
    assert workers.behind(keys) == []
    assert workers.diary.violations() == []
    assert sorted(workers.diary.runs()) == [key.name for key in keys]
    assert (totals.running, totals.delayed, totals.dead) == (0, 0, 0)
    with workers.deployment.admin() as admin:
        registered = [
            name for name in admin.smembers("rq:workers") if names.cluster.encode() in name
        ]
    assert registered == []
    assert PASSWORD not in workers.said()
