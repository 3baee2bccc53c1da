"""ClusterSbomReports with real parts: one per image name that runs, and none that nothing needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.reports.labels import IMAGE_ID, MANAGED_BY, MANAGER, TTL_ANNOTATION
from common.reports.naming import image_sbom_name
from sandbox.demo.world import GROUP
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

ROOT = f"/apis/{GROUP}/v1alpha1/clustersbomreports"


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work, with the cache on."""
    try:
        with living(OPERATOR_CLUSTER_SBOM_CACHE_ENABLED="true") as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def cached(alive: Living) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in alive.world.items(ROOT)}


def entry(alive: Living, image: str) -> Any:
    name = image_sbom_name(alive.image(image))
    return eventually(lambda: cached(alive).get(name))


def versions(alive: Living) -> dict[str, str]:
    return {name: item["metadata"]["resourceVersion"] for name, item in cached(alive).items()}


def at_rest(alive: Living) -> None:
    alive.product.await_quiet(timeout_s=120)


def remove(alive: Living, namespace: str, name: str = "web") -> None:
    alive.world.plane.api.delete(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")


def test_an_image_that_runs_has_its_bill_of_materials_once(alive: Living) -> None:
    """Two workloads of one image share it; it is trivy-operator's by name, label and lifetime."""
    here, there = alive.namespace(), alive.namespace()
    for namespace in (here, there):
        alive.deploy(namespace, "web", alive.image("alpine-app"))
    found = entry(alive, "alpine-app")
    name = found["metadata"]["name"]
    assert found["metadata"]["labels"] == {IMAGE_ID: name, MANAGED_BY: MANAGER}
    assert found["metadata"]["annotations"][TTL_ANNOTATION] == "120h0m0s"
    assert "ownerReferences" not in found["metadata"]
    (own,) = eventually(lambda: alive.reports(here, "SbomReport").values())
    for part in ("scanner", "registry", "artifact", "summary"):
        assert found["report"][part] == own["report"][part]
    at_rest(alive)
    assert list(versions(alive)) == [name]


def test_nothing_is_written_that_is_there(alive: Living) -> None:
    """Law 1: neither in another pass nor after a restart of everything."""
    entry(alive, "alpine-app")
    at_rest(alive)
    before, work = versions(alive), alive.product.work()
    alive.product.force_sweep(timeout_s=60)
    at_rest(alive)
    assert alive.product.work() == work
    sweeps = alive.product.sweeps()
    alive.product.restart()
    alive.product.await_sweep(sweeps, timeout_s=60)
    at_rest(alive)
    assert alive.product.work().writes == work.writes
    assert alive.product.work().enqueued == work.enqueued
    assert versions(alive) == before


def test_one_that_somebody_deletes_comes_back(alive: Living) -> None:
    """As every report does."""
    found = entry(alive, "alpine-app")
    alive.world.plane.api.delete(f"{ROOT}/{found['metadata']['name']}")
    assert eventually(
        lambda: entry(alive, "alpine-app")["metadata"]["uid"] != found["metadata"]["uid"]
    )
    assert entry(alive, "alpine-app")["report"]["components"] == {
        **found["report"]["components"],
        "metadata": entry(alive, "alpine-app")["report"]["components"]["metadata"],
    }


@pytest.mark.parametrize(
    "patch",
    [
        {"report": {"summary": {"componentsCount": 0, "dependenciesCount": 0}}},
        {"metadata": {"labels": {IMAGE_ID: "another"}}},
    ],
    ids=["body", "label"],
)
def test_one_that_somebody_edits_is_made_true_again(alive: Living, patch: dict[str, Any]) -> None:
    """Trap 12. Its readers find it by the label."""
    found = entry(alive, "alpine-app")
    path = f"{ROOT}/{found['metadata']['name']}"
    edited = alive.world.plane.api.patch(path, patch)["metadata"]["resourceVersion"]

    def restored() -> bool:
        now = entry(alive, "alpine-app")
        return bool(
            now["metadata"]["resourceVersion"] != edited
            and now["report"]["summary"] == found["report"]["summary"]
            and now["metadata"]["labels"] == found["metadata"]["labels"]
        )

    eventually(restored)


def test_what_no_workload_runs_any_more_is_deleted(alive: Living) -> None:
    """Trap 35. It has no owner, so no garbage collector takes it."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("debian-app"))
    name = entry(alive, "debian-app")["metadata"]["name"]
    remove(alive, here)
    eventually(lambda: name not in cached(alive))
    assert cached(alive)


def test_what_was_left_while_nobody_watched_is_deleted(alive: Living) -> None:
    """Trap 35. Redis was flushed too: the reports themselves tell that nothing needs them."""
    here = alive.namespace()
    alive.deploy(here, "web", alive.image("debian-app"))
    name = entry(alive, "debian-app")["metadata"]["name"]
    at_rest(alive)
    alive.product.stop()
    remove(alive, here)
    eventually(lambda: not alive.world.items(f"/api/v1/namespaces/{here}/pods"))
    alive.flush_redis()
    foreign = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterSbomReport",
        "metadata": {"name": "mine"},
        "report": entry(alive, "alpine-app")["report"],
    }
    alive.world.plane.api.create(ROOT, foreign)
    before = entry(alive, "alpine-app")["metadata"]["resourceVersion"]
    alive.product.restart()
    eventually(lambda: name not in cached(alive))
    at_rest(alive)
    assert "mine" in cached(alive)  # a user's own
    assert entry(alive, "alpine-app")["metadata"]["resourceVersion"] == before


def test_its_history_tells_what_was_written(alive: Living) -> None:
    """By its name, as `kubectl get` shows it."""
    name = entry(alive, "alpine-app")["metadata"]["name"]
    told = alive.product.sluice("history", f"ClusterSbomReport/{name}")
    assert f"ClusterSbomReport/{name}" in told
