"""More worker Pods while hundreds of keys wait, and fewer again: each key is run once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice

import pytest

from common.model.facts import Fact
from sandbox.api import Watch
from sandbox.demo.world import create_all
from sandbox.manifests import Part, workload
from tests.e2e.chart.books import await_queued, await_rest, facts_since
from tests.e2e.chart.ground import DONE_S, eventually
from tests.e2e.chart.installation import Installation
from tests.e2e.chart.samples import LOAD, Samples

pytestmark = pytest.mark.e2e

MANY = 500
BASES = ("alpine-app", "debian-node", "go-app", "secrets", "clean", "alpine-python")
FEW, MORE = 1, 4


def scale(installation: Installation, replicas: int) -> None:
    name = installation.fullname("worker")
    path = f"/apis/apps/v1/namespaces/{installation.namespace}/deployments/{name}/scale"
    installation.ground.node.api.patch(path, {"spec": {"replicas": replicas}})


def create_many(samples: Samples) -> None:
    """Create CronJobs that never run: each has reports, none needs a Pod."""
    images = [samples.images[base].reference for base in BASES]
    made = [
        workload("CronJob", f"many-{number}", [Part(name="job", image=image)], namespace=LOAD)
        for number, image in enumerate(islice(cycle(images), MANY))
    ]
    create_all(samples.ground.node.api, made)
    samples.workloads += made


@contextmanager
def paused(installation: Installation) -> Iterator[None]:
    """Keep workers from taking keys for the length of the block."""
    installation.execute("watcher", "sluice", "queue", "pause")
    try:
        yield
    finally:
        installation.execute("watcher", "sluice", "queue", "resume")


class Ends(threading.Thread):
    """Follows Pods and remembers how the containers of each ended; close it."""

    def __init__(self, installation: Installation) -> None:
        super().__init__(daemon=True)
        path = f"/api/v1/namespaces/{installation.namespace}/pods"
        self._watch: Watch = installation.ground.node.api.watch(path)
        self.statuses: dict[str, dict[str, int]] = {}  # Pod → container → exit status
        self.gone: set[str] = set()

    def run(self) -> None:
        try:
            for event in self._watch:
                pod = event["object"]
                name = pod["metadata"]["name"]
                if event["type"] == "DELETED":
                    self.gone.add(name)
                for kind in ("initContainerStatuses", "containerStatuses"):
                    for one in pod["status"].get(kind, ()):
                        if ended := one["state"].get("terminated"):
                            self.statuses.setdefault(name, {})[one["name"]] = ended["exitCode"]
        except OSError:
            return

    def close(self) -> None:
        self._watch.interrupt()
        self.join()
        self._watch.close()


def runs(facts: list[Fact]) -> Counter[str]:
    """Return how often each workload was run to its end."""
    return Counter(
        fact.key
        for fact in facts
        if fact.kind == "converged" and fact.key.startswith(f"workload/CronJob/{LOAD}/")
    )


def test_four_workers_share_what_waits(small: Installation, samples: Samples) -> None:
    """Each takes a part of it, and none is run twice."""
    began = time.time()
    with paused(small):
        create_many(samples)
        await_queued(small, MANY)
        scale(small, MORE)
        small.await_ready({"worker": MORE})
    await_rest(small)
    assert samples.faults() == []
    facts = facts_since(small, began)
    takers = {
        pod["metadata"]["name"]
        for pod in small.pods("worker")
        for fact in facts
        if fact.kind == "claimed" and pod["metadata"]["name"] in str(fact.data["worker"])
    }
    assert len(takers) == MORE
    assert set(runs(facts).values()) == {1}
    assert len(runs(facts)) == MANY
    assert not [fact for fact in facts if fact.kind in ("refused", "inventoried")]


def test_three_of_them_go_while_keys_wait_and_drain(small: Installation, samples: Samples) -> None:
    """What they hold is ended or given back within the grace period; the last one does the rest."""
    scale(small, MORE)
    small.await_ready({"worker": MORE})
    versions, began = samples.versions(), time.time()
    before = {pod["metadata"]["name"] for pod in small.pods("worker")}
    ends = Ends(small)
    ends.start()
    try:
        with paused(small):
            small.execute("watcher", "sluice", "rescan", "--all")
            await_queued(small, MANY)
        scale(small, FEW)
        eventually(
            lambda: len(ends.gone & before) == MORE - FEW, within_s=DONE_S, explain=small.explain
        )
    finally:
        ends.close()
    await_rest(small)
    for name in ends.gone:
        assert ends.statuses[name] == {"worker": 0, "scanner": 0}, name
    facts = facts_since(small, began)
    assert set(runs(facts).values()) == {1}
    assert len(runs(facts)) == MANY
    assert not [fact for fact in facts if fact.kind in ("refused", "written")]
    assert samples.versions() == versions
    assert samples.faults() == []
