"""Real parts, one of each for the whole session: control plane, registry, kubelet, Valkey.

Tests share them and keep apart by names: a fresh namespace, a random cluster name or repository.
Where a part cannot be had, the test fails in CI (the variable CI is set) and is skipped elsewhere,
with the remedy in the reason.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from common.model.errors import PreconditionError
from sandbox import controlplane as control_plane_module
from sandbox import registry as registry_module
from sandbox.controlplane import ControlPlane
from sandbox.kubelet import Kubelet
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from sandbox.registry import Registry
from sandbox.valkey import Valkey

Programs = dict[str, Path]
_NEEDED = (*control_plane_module.PROGRAMS, *registry_module.PROGRAMS, "kubectl")
_FOUND = pytest.StashKey["Programs | PreconditionError"]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find or build the programs before the first test: a build takes minutes and says so."""
    needed = any("programs" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        say: Callable[[str], None] = print if reporter is None else reporter.write_line
        session.config.stash[_FOUND] = _found_or_reason(say)


def _found_or_reason(say: Callable[[str], None]) -> Programs | PreconditionError:
    try:
        return find(_NEEDED, say=say)
    except PreconditionError as error:
        return error


def lacking(error: PreconditionError) -> NoReturn:
    """Fail in CI, skip elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have every part: {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Programs:
    """Give the paths of etcd, kube-apiserver, kube-controller-manager, crane and kubectl."""
    # Absent when only a fixture asked for by name (`getfixturevalue`) needs the programs.
    found = request.config.stash.get(_FOUND, None) or _found_or_reason(print)
    if isinstance(found, PreconditionError):
        lacking(found)
    return found


@pytest.fixture(scope="session")
def sandbox_place() -> Iterator[Place]:
    """Give the folder and ports of the shared parts."""
    with Place() as place:
        yield place


@pytest.fixture(scope="session")
def sandbox_stack(sandbox_place: Place) -> Iterator[Stack]:
    """Give the stack that stops the shared parts before their place is removed."""
    assert sandbox_place.folder.exists()
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def controlplane(sandbox_place: Place, sandbox_stack: Stack, programs: Programs) -> ControlPlane:
    """Give the shared control plane. Use a namespace of your own (`namespace`)."""
    return ControlPlane(sandbox_place, programs, sandbox_stack).start()


@pytest.fixture(scope="session")
def registry(sandbox_place: Place, sandbox_stack: Stack, programs: Programs) -> Registry:
    """Give the shared registry. Use a repository of your own, and faults as `with` blocks."""
    return Registry(sandbox_place, programs, sandbox_stack).start()


@pytest.fixture(scope="session")
def valkey(sandbox_place: Place, sandbox_stack: Stack) -> Valkey:
    """Give the shared Valkey. Use a cluster name of your own; never flush it, never stop it."""
    try:
        return Valkey(sandbox_place, sandbox_stack).start()
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(scope="session")
def kubelet(controlplane: ControlPlane, sandbox_stack: Stack) -> Kubelet:
    """Give the stand-in for scheduler and kubelet; it serves `living_namespace` only."""
    return Kubelet(controlplane, sandbox_stack, looks_at=_is_living).start()


def _is_living(namespace: str) -> bool:
    return namespace.startswith("living-")


@pytest.fixture
def namespace(controlplane: ControlPlane) -> Iterator[str]:
    """Give a fresh namespace where Pods stay Pending; it is deleted afterwards."""
    yield from _namespace(controlplane, "test")


@pytest.fixture
def living_namespace(controlplane: ControlPlane, kubelet: Kubelet) -> Iterator[str]:
    """Give a fresh namespace whose Pods get nodes and status; it is deleted afterwards."""
    assert kubelet is not None
    yield from _namespace(controlplane, "living")


def _namespace(controlplane: ControlPlane, prefix: str) -> Iterator[str]:
    name = f"{prefix}-{secrets.token_hex(4)}"
    controlplane.create_namespace(name)
    yield name
    controlplane.api.delete(f"/api/v1/namespaces/{name}")
