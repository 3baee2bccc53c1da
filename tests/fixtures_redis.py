"""Redis in every deployment, each started once for the session, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.model.errors import PreconditionError
from sandbox.place import Place
from sandbox.processes import Stack
from tests.deployments import Deployment, deployed
from tests.fixtures_sandbox import lacking

DeploymentOf = Callable[[str], Deployment]


@pytest.fixture(scope="session")
def deployment_of(sandbox_place: Place, sandbox_stack: Stack) -> DeploymentOf:
    """Give `deployment_of(name)`; tests share them, so use a cluster name of your own."""
    started: dict[str, Deployment | PreconditionError] = {}

    def deployment(name: str) -> Deployment:
        if name not in started:
            try:
                started[name] = deployed(name, sandbox_place, sandbox_stack)
            except PreconditionError as error:
                started[name] = error
        found = started[name]
        if isinstance(found, PreconditionError):
            lacking(found)
        return found

    return deployment
