"""One node for the session, the product at work on it, and what the demo measured there.

The demo's proof counts everything that was done there: who acts on the shared node asks for
`alive`, which comes after it, and who wants a node alone starts its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from common.model.errors import PreconditionError
from sandbox.demo.__main__ import _measure
from sandbox.demo.product import Product
from sandbox.demo.proof import Measured
from sandbox.demo.stage import FIRST_DATABASE, Stage
from sandbox.demo.world import World, build
from sandbox.node import Node
from sandbox.place import Place
from sandbox.processes import Stack
from tests.fixtures_sandbox import lacking
from tests.living import Living


@pytest.fixture(scope="session")
def e2e_place() -> Iterator[Place]:
    """Give the folder and ports of the shared node."""
    with Place() as place:
        yield place


@pytest.fixture(scope="session")
def e2e_stack(e2e_place: Place) -> Iterator[Stack]:
    """Give the stack that ends the shared parts before their place is removed."""
    assert e2e_place.folder.exists()
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def world(e2e_place: Place, e2e_stack: Stack) -> World:
    """Give a node with registry, images and Valkey, where this host can have one."""
    try:
        return build(e2e_place, e2e_stack, node=True, say=print)
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(scope="session")
def node(world: World) -> Node:
    """Give the shared node itself."""
    assert isinstance(world.plane, Node)
    return world.plane


@pytest.fixture(scope="session")
def stage(e2e_place: Place, e2e_stack: Stack, world: World) -> Stage:
    """Give the demo's stage with the product started and the sample workloads created."""
    product = Product(
        e2e_place, e2e_stack, redis_url=world.valkey.socket_url, environ=world.environ()
    )
    stage = Stage(place=e2e_place, world=world, product=product, say=print)
    stage.publish_database(1, at=FIRST_DATABASE)
    product.start()
    stage.create_workloads()
    return stage


@pytest.fixture(scope="session")
def measured(stage: Stage) -> Measured:
    """Give what the whole demo measured."""
    return _measure(stage, time.monotonic())


@pytest.fixture(scope="session")
def alive(stage: Stage, measured: Measured) -> Living:
    """Give the product at work after the proof: now tests may act."""
    assert measured.workloads
    return Living(place=stage.place, world=stage.world, product=stage.product)
