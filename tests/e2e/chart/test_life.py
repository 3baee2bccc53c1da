"""An upgrade under load and every way to lose a Pod: nothing is lost, nothing is rewritten."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.e2e.chart.books import await_rest, await_work, done_since
from tests.e2e.chart.conftest import SMALL, small_values
from tests.e2e.chart.ground import DONE_S, Ground, eventually
from tests.e2e.chart.installation import Installation, Pod
from tests.e2e.chart.memory import Memory, memory_of, total
from tests.e2e.chart.samples import Samples

pytestmark = pytest.mark.e2e

COMPONENTS = {"watcher": 1, "worker": 1, "matcher": 1, "redis": 1}
PULSE_S = 1.0
UPGRADE, EACH = 9, 6  # new workloads
FIFTY = 50  # the samples and those of the upgrade
KINDS = 3  # reports of each: every image has packages


def kill(component: str, container: str) -> Callable[[Installation], None]:
    """Return what ends a container's processes as a crash would."""

    def act(installation: Installation) -> None:
        (pod,) = installation.pods(component)
        found = installation.processes(pod, container)
        assert found
        for pid in found:
            with contextlib.suppress(ProcessLookupError):  # a child ends with its parent
                os.kill(pid, signal.SIGKILL)

    return act


def evict(installation: Installation) -> None:
    """Ask for the worker's eviction, as `kubectl drain` does."""
    name = installation.pod("worker")
    path = f"/api/v1/namespaces/{installation.namespace}/pods/{name}/eviction"
    body = {"metadata": {"name": name, "namespace": installation.namespace}}
    installation.ground.node.api.create(
        path, {"apiVersion": "policy/v1", "kind": "Eviction", **body}
    )


def delete_redis(installation: Installation) -> None:
    path = f"/api/v1/namespaces/{installation.namespace}/pods/{installation.pod('redis')}"
    installation.ground.node.api.delete(path)


def restart_node(installation: Installation) -> None:
    installation.ground.node.restart()


def assert_nothing_lost_or_rewritten(
    installation: Installation,
    samples: Samples,
    act: Callable[[], object],
    *,
    created: int,
) -> None:
    """Let `act` happen, which creates workloads, and look at all reports then."""
    versions, began = samples.versions(), time.time()
    act()
    eventually(
        lambda: not samples.faults(),
        within_s=DONE_S,
        explain=lambda: f"{samples.faults()}\n{installation.explain()}",
    )
    installation.await_ready(COMPONENTS)
    await_rest(installation)
    assert samples.faults() == []
    now = samples.versions()
    assert {name: now.get(name) for name in versions} == versions
    assert len(now) == len(versions) + created * KINDS
    done = done_since(installation, began)
    assert done.inventories == created
    assert set(done.writes) == {"created"}
    assert all(one["metadata"]["generation"] == 1 for one in samples.reports())


def test_an_upgrade_from_the_previous_chart_under_load(
    small: Installation, samples: Samples, ground: Ground
) -> None:
    """Every Pod is replaced while workloads come."""
    before = {pod["metadata"]["uid"] for pod in small.pods()}

    def load() -> None:
        for _ in range(UPGRADE):
            samples.load(1)
            time.sleep(PULSE_S)

    values = small_values(ground)
    for component in COMPONENTS:  # what does not change between two charts is replaced as well
        values[component] = {
            **values.get(component, {}),
            "podAnnotations": {"example.com/new": "1"},
        }

    def upgrade() -> None:
        loading = threading.Thread(target=load)
        loading.start()
        small.upgrade(values, SMALL)
        loading.join()

    assert_nothing_lost_or_rewritten(small, samples, upgrade, created=UPGRADE)
    assert not before & {pod["metadata"]["uid"] for pod in small.pods()}


def test_the_small_preset_needs_little_memory_for_fifty_workloads(
    small: Installation, samples: Samples
) -> None:
    """Every Pod stays within half of its limit; docs/operations.md tells the numbers."""
    samples.load(FIFTY - len(samples.workloads))
    eventually(lambda: not samples.faults(), within_s=DONE_S, explain=small.explain)
    await_rest(small)
    at_rest, most = memory_of(small), Memory()
    samples.load(EACH)
    while samples.faults():
        most = max(most, total(memory_of(small)), key=lambda one: one.working_set)
    await_rest(small)
    said = [f"{component}: {used.shown}" for component, used in at_rest.items()]
    said.append(f"all at rest: {total(at_rest).shown}; while images are unpacked: {most.shown}")
    print("\n" + "\n".join(said))  # noqa: T201 # `pytest -s` shows it: it is the measurement
    for pod in small.pods():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert at_rest[component].working_set < limit_of(pod) / 2


def limit_of(pod: Pod) -> float:
    """Return a Pod's memory limit in bytes: its containers', sidecars too."""
    units = {"Mi": 2**20, "Gi": 2**30}
    limits = [
        one["resources"]["limits"]["memory"]
        for name in ("initContainers", "containers")
        for one in pod["spec"].get(name, ())
    ]
    return sum(float(one[:-2]) * units[one[-2:]] for one in limits)


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(kill("worker", "worker"), id="worker-killed"),
        pytest.param(kill("worker", "scanner"), id="scanner-killed"),
        pytest.param(kill("matcher", "matcher"), id="matcher-killed"),
        pytest.param(kill("watcher", "watcher"), id="watcher-killed"),
        pytest.param(evict, id="worker-evicted"),
        pytest.param(delete_redis, id="redis-deleted"),
        pytest.param(restart_node, id="node-restarted"),
    ],
)
def test_a_pod_that_goes_loses_nothing(
    small: Installation, samples: Samples, disturb: Callable[[Installation], None]
) -> None:
    """While it is at work."""

    def act() -> None:
        samples.load(EACH)
        await_work(small)
        disturb(small)

    assert_nothing_lost_or_rewritten(small, samples, act, created=EACH)
