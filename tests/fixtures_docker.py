"""A real Docker engine for the session, with the images that are built on it once.

Where this host cannot have one, the test fails in CI and is skipped elsewhere, with the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.ops.trivy_program import Trivy
from sandbox import node_host
from sandbox.docker import Docker
from sandbox.docker_images import Images
from sandbox.docker_programs import DockerPrograms, docker_programs
from sandbox.place import Place
from sandbox.processes import Stack
from tests.fixtures_sandbox import lacking


@pytest.fixture(scope="session")
def engine_programs() -> DockerPrograms:
    """Give the engine's programs, where this host can run one."""
    try:
        node_host.require()  # before a download of 60 MB and a build of minutes
        return docker_programs(say=print)
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(scope="session")
def docker(engine_programs: DockerPrograms) -> Iterator[Docker]:
    """Give the shared engine. Remove the containers that you start."""
    with Place() as place, Stack() as stack:
        yield Docker(place, engine_programs, stack).start()


@pytest.fixture(scope="session")
def images(docker: Docker, trivy: Trivy) -> Images:
    """Give the builder of images, with what they begin with imported."""
    made = Images(docker=docker, trivy=Path(trivy.path), say=print)
    try:
        made.bases()
    except PreconditionError as error:
        lacking(error)
    return made


@pytest.fixture(scope="session")
def product_image(images: Images) -> str:
    """Give the name of the product's image, built from this checkout."""
    return images.product()
