"""One node for this folder, with the images that a real engine built, and one release on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import PreconditionError
from sandbox.demo.world import build
from sandbox.docker import Docker
from sandbox.docker_images import Images, ship
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from tests.charts.rendered import CHART
from tests.e2e.chart.books import await_rest
from tests.e2e.chart.ground import DONE_S, Ground, eventually
from tests.e2e.chart.installation import Installation
from tests.e2e.chart.samples import Samples
from tests.fixtures_sandbox import lacking

# The chart as it was before: what `git archive` made of it then. A release that changes templates
# leaves its chart here for the next one's tests.
PREVIOUS = Path(__file__).parent / "previous" / "kube-sluice-0.1.0.tgz"
SMALL = CHART / "presets" / "small.yaml"


@pytest.fixture(scope="package")
def ground(docker: Docker, images: Images, product_image: str) -> Iterator[Ground]:
    """Give a node of this folder's own: everything on it is scanned by the release."""
    with Place() as place, Stack() as stack:
        try:
            programs = find(["helm", "kubectl", "crane"], say=print)
            world = build(place, stack, node=True, say=print)
        except PreconditionError as error:
            lacking(error)
        made = Ground(place=place, world=world, programs=programs)
        for image, name in ((product_image, "kube-sluice"), (images.redis(), "valkey")):
            ship(docker, programs["crane"], image, f"{world.registry.address}/{name}:test")
        made.publish_databases()
        yield made


@pytest.fixture(scope="package")
def samples(ground: Ground) -> Samples:
    """Give the sample workloads, created and at work on the node."""
    made = Samples(ground)
    made.create()
    return made


@pytest.fixture(scope="package")
def installation(ground: Ground, samples: Samples) -> Installation:
    """Give a release with the chart's defaults, installed by Helm beside workloads that run."""
    assert samples.workloads
    ground.clear()
    made = Installation(ground=ground, name="kube-sluice", namespace="security")
    ground.namespace(made.namespace)
    ground.volume("redis")
    made.install(ground.values())
    return made


@pytest.fixture(scope="package")
def small(ground: Ground, samples: Samples) -> Installation:
    """Give a release of the previous chart with the small preset, at rest.

    It leaves its own Pods out: an upgrade makes new ones, and what is counted shall be the samples.
    """
    ground.clear()
    made = Installation(ground=ground, name="sluice", namespace="small")
    ground.namespace(made.namespace)
    ground.volume("redis-small")
    made.install(small_values(ground), SMALL, chart=PREVIOUS)
    # Another release's reports may be there, and true: only its own word tells that it looked.
    eventually(lambda: made.is_done(len(samples.workloads)), within_s=DONE_S, explain=made.explain)
    await_rest(made)
    return made


def small_values(ground: Ground) -> dict[str, Any]:
    """Return the values of that release, its preset's left out."""
    values = ground.values()
    values["settings"]["OPERATOR_EXCLUDE_NAMESPACES"] = "small,security,kube-system"
    return values
