"""The image, built by a real engine from the Dockerfile, and each component started from it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from common.ops.version import VERSION
from sandbox.docker import Docker
from sandbox.docker_images import BASE, TRIVY, Images
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

_MB = 1_000_000
# Nothing that a container may have: no root, no rights, no network, nowhere to write.
BARE = ("--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
ASK = ("python", "-m", "common.ops.healthcheck")
SCANNING = (
    *("--env", "SLUICE_SCANNER_SOCKET=/run/sluice/scanner.sock"),
    *("--tmpfs", "/run/sluice:mode=2770,uid=65533,gid=65532"),
)


@pytest.fixture(scope="session")
def inspected(docker: Docker, product_image: str) -> Mapping[str, Any]:
    """Give what the engine says of the image."""
    (found,) = json.loads(docker.run("inspect", product_image))
    return dict(found)


@pytest.fixture
def started(docker: Docker, product_image: str) -> Iterator[Callable[..., str]]:
    """Start containers of the image, bare but for the options given; they are removed."""
    names: list[str] = []

    def start(*command: str, options: tuple[str, ...] = ()) -> str:
        name = f"one-{secrets.token_hex(4)}"
        names.append(name)
        docker.run("run", "--detach", "--name", name, *BARE, *options, product_image, *command)
        return name

    yield start
    for name in names:
        docker.run("rm", "--force", "--volumes", name)


def once(docker: Docker, image: str, *command: str, user: str = "12345:12345") -> str:
    """Return what a bare container prints, run as somebody whom nobody knows."""
    return docker.run("run", "--rm", *BARE, "--user", user, image, *command)


def size(docker: Docker, image: str) -> int:
    return int(docker.run("inspect", "--format", "{{.Size}}", image))


def layers(docker: Docker, image: str) -> list[int]:
    """Return the sizes of the layers, the newest first, without empty ones."""
    told = docker.run("history", "--human=false", "--format", "{{.Size}}", image).split()
    return [int(one) for one in told if one != "0"]


def test_it_holds_base_trivy_the_dependencies_and_little_else(
    docker: Docker, product_image: str
) -> None:
    """Every node of a cluster pulls it. 70 MB of dependencies and 10 MB of ours are measured."""
    ours = size(docker, product_image) - size(docker, BASE) - size(docker, TRIVY)
    assert ours < 100 * _MB


def test_another_version_of_ours_is_a_small_layer(docker: Docker, product_image: str) -> None:
    """What changes with each release stands last; base, Trivy and dependencies are pulled once."""
    newest, parts, dependencies, trivy, base = layers(docker, product_image)
    assert newest < 12 * _MB
    assert parts < 2 * _MB
    assert min(dependencies, trivy, base) > 20 * _MB


def test_it_says_what_it_is_and_runs_as_nobody(inspected: Mapping[str, Any]) -> None:
    """A kubelet checks `runAsNonRoot` by the number; `inspect` answers an incident's first."""
    config = inspected["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["sluice"]
    assert config["Healthcheck"]["Test"] == ["CMD", *ASK]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.base.name"] == BASE


def test_nothing_of_the_build_is_left_in_it(inspected: Mapping[str, Any]) -> None:
    """An index with a password in its address is a build argument."""
    assert "PIP_" not in json.dumps(inspected["Config"])


def test_there_is_no_shell_in_it_where_the_base_has_none(
    docker: Docker, product_image: str
) -> None:
    """The other tests here run without one: so nobody needs to add it back."""
    look = "import shutil; print(*filter(None, map(shutil.which, ('sh', 'bash', 'dash', 'pip'))))"
    words = ("run", "--rm", *BARE, "--entrypoint", "python", product_image, "-c", look)
    assert docker.run(*words).strip() == ""


def test_its_list_of_parts_names_what_is_in_it(docker: Docker, product_image: str) -> None:
    """A scanner reads it instead of guessing; ours, the dependencies and Trivy's own modules."""
    read = "import sys; print(open('/usr/local/share/sbom/kube-sluice.cdx.json').read())"
    words = ("run", "--rm", *BARE, "--entrypoint", "python", product_image, "-c", read)
    parts = {one["name"]: one for one in json.loads(docker.run(*words))["components"]}
    assert parts["kube-sluice"]["version"] == VERSION
    assert parts["rq"]["purl"].startswith("pkg:pypi/rq@")
    assert any(name.startswith("github.com/aquasecurity/trivy") for name in parts)


def test_every_command_runs_bare_and_as_anybody(docker: Docker, product_image: str) -> None:
    """OpenShift draws a number of its own for each namespace."""
    assert json.loads(once(docker, product_image, "version", "--json"))["sluice"] == VERSION
    assert json.loads(once(docker, product_image, "version", "--json"))["trivy"]
    assert once(docker, product_image, "crds").count("CustomResourceDefinition") >= 12
    for command in ("watcher", "worker", "scanner"):
        assert command in once(docker, product_image, command, "--help")


@pytest.mark.parametrize("command", [("watcher",), ("worker",), ("worker", "--pool", "match")])
def test_a_component_without_redis_says_so_and_ends(
    docker: Docker, started: Callable[..., str], command: tuple[str, ...]
) -> None:
    """It came as far as its first need, on a read-only root, without a shell."""
    name = started(*command)
    assert docker.run("wait", name).strip() == "3"
    logs = docker.attempt("logs", name)
    assert "SLUICE_REDIS_URL" in logs.stdout + logs.stderr


def test_the_scanner_listens_without_network_and_ends_when_asked(
    docker: Docker, started: Callable[..., str]
) -> None:
    """It is asked for its health as Compose asks it, and drains within the grace period."""
    name = started("scanner", options=("--user=65533:65532", *SCANNING))
    asked = ("exec", name, *ASK, "scanner")
    assert eventually(lambda: docker.attempt(*asked).returncode == 0)
    docker.run("stop", "--time", "20", name)
    assert docker.run("wait", name).strip() == "0"


def test_a_scanner_that_does_not_listen_is_not_healthy(
    docker: Docker, started: Callable[..., str]
) -> None:
    """A health check that is always content hides the failure that it is for."""
    name = started("scanner", options=("--user=65533:65532", *SCANNING))
    remove = "import os; os.remove('/run/sluice/scanner.sock')"
    assert eventually(lambda: docker.attempt("exec", name, "python", "-c", remove).returncode == 0)
    asked = docker.attempt("exec", name, *ASK, "scanner")
    assert asked.returncode == 1
    assert "scanner.sock" in asked.stderr


def test_a_second_build_uses_the_layers_of_the_first(images: Images, product_image: str) -> None:
    """Only what changed is built again: else every commit costs everybody all of it."""
    docker = images.docker
    again = images.product("kube-sluice:again")
    form = ("inspect", "--format", "{{json .RootFS.Layers}}")
    assert docker.run(*form, again) == docker.run(*form, product_image)
