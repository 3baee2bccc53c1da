"""`docker compose up` on a real engine: reports appear, and `down -v` leaves nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.docker import Docker
from sandbox.docker_images import Images
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

_UP_S = 300  # 20 s on two idle cores
_DONE_S = 180.0  # 20 s there
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
# What an administrator sees of the sandbox's cluster, whatever the product says of itself.
_COUNT = """
import base64, json, ssl, sys, urllib.request
cluster = json.load(open("/run/sandbox/kubeconfig"))
server = cluster["clusters"][0]["cluster"]
headers = {"Authorization": "Bearer " + cluster["users"][0]["user"]["token"]}
ca = base64.b64decode(server["certificate-authority-data"]).decode()
tls = ssl.create_default_context(cadata=ca)
for path in sys.argv[1:]:
    asked = urllib.request.Request(server["server"] + path, headers=headers)
    print(len(json.load(urllib.request.urlopen(asked, context=tls))["items"]))
"""
_GROUP = "/apis/aquasecurity.github.io/v1alpha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The stack of docker-compose.yml, as a user drives it."""

    docker: Docker
    environ: Mapping[str, str]
    password: str

    def __call__(self, *arguments: str, **environ: str) -> str:
        """Return what `docker compose ARGUMENTS…` prints."""
        return self.docker.run("compose", *arguments, environ={**self.environ, **environ})

    def up(self, *services: str, **environ: str) -> None:
        """Start it and wait until every container is healthy."""
        words = ("--detach", "--no-build", "--wait", "--wait-timeout", str(_UP_S))
        self("up", *words, *services, **environ)

    def down(self) -> None:
        """Stop it and remove its volumes, whatever the profile was."""
        self("--profile", "*", "down", "--volumes")

    def left(self) -> set[str]:
        """Return what is left of it on the engine."""
        kinds = ("container", "volume", "network")
        return {f"{kind} {name}" for kind in kinds for name in self.docker.names(kind)}

    def reports(self, plural: str) -> int:
        """Return how many reports of one kind the sandbox's API server has."""
        path = f"{_GROUP}/{plural}"
        return int(self("exec", "-T", "sandbox", "python", "-c", _COUNT, path))

    def status(self, watcher: str) -> Mapping[str, Any]:
        """Return what `sluice status` says in a watcher."""
        told: Mapping[str, Any] = json.loads(
            self("exec", "-T", watcher, "sluice", "status", "--json")
        )
        return told

    def containers(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the engine says of each container, by service."""
        found = json.loads(self.docker.run("inspect", *self("ps", "--all", "--quiet").split()))
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def assert_healthy(told: str) -> None:
    """Check that `sluice doctor` found nothing at all."""
    assert [line for line in told.splitlines() if not line.startswith("ok ")] == []


@pytest.fixture(scope="module")
def stack(
    docker: Docker, images: Images, product_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Give the stack with its images built, nothing running; whatever is left goes."""
    folder = tmp_path_factory.mktemp("secrets")
    password = secrets.token_hex(24)
    file = folder / "redis-password"
    file.write_text(password)
    file.chmod(0o644)  # the containers' users read it; pytest's folder is closed to others
    environ = {
        "KUBE_SLUICE_IMAGE": product_image,
        "KUBE_SLUICE_SANDBOX_IMAGE": images.sandbox(),
        "REDIS_IMAGE": images.redis(),
        "KUBE_SLUICE_REDIS_PASSWORD_FILE": str(file),
        "KUBE_SLUICE_KUBECONFIG_FILE": str(folder / "kubeconfig"),
    }
    made = Stack(docker=docker, environ=environ, password=password)
    yield made
    made.down()


@pytest.fixture(scope="module")
def up(stack: Stack) -> Stack:
    """Give the stack after a bare `docker compose up`: the sandbox and the product at work."""
    stack.up()
    return stack


def test_a_bare_up_works_with_no_cluster_at_all_and_reports_appear(up: Stack) -> None:
    """The first thing that a newcomer types."""

    def done() -> bool:
        coverage = up.status("sandbox-watcher")["coverage"]
        return bool(0 < coverage["workloads"] == coverage["true"])

    assert eventually(done, within_s=_DONE_S), up.status("sandbox-watcher")
    for plural in ("vulnerabilityreports", "exposedsecretreports", "sbomreports"):
        assert up.reports(plural) >= 40
    assert_healthy(up("exec", "-T", "sandbox-watcher", "sluice", "doctor"))


def test_every_container_is_locked_and_limited_as_the_file_says(up: Stack) -> None:
    """The engine's word, not the file's."""
    found = up.containers()
    assert len(found) == 6
    for name, one in found.items():
        limits = one["HostConfig"]
        assert limits["ReadonlyRootfs"], name
        assert limits["CapDrop"] == ["ALL"], name
        assert limits["Memory"] > 0, name
        assert limits["NanoCpus"] > 0, name
        assert limits["PidsLimit"] > 0, name
        assert int(one["Config"]["User"].partition(":")[0]) > 0, name
        assert one["State"]["Health"]["Status"] == "healthy", name
        assert one["RestartCount"] == 0, name


def test_the_password_is_in_no_containers_environment_arguments_or_logs(up: Stack) -> None:
    """Whoever may ask the engine, or read logs, must not learn it."""
    assert up.password not in json.dumps(up.containers())
    assert up.password not in up("logs", "--no-color")
    listing = up("exec", "-T", "redis", "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
    assert up.password not in listing


def test_the_scanner_reaches_images_and_never_redis(up: Stack) -> None:
    """What it unpacks may take it over; then the network still says no."""

    def reaches(service: str, host: str, port: int) -> bool:
        words = ("compose", "exec", "-T", service, "python", "-c", _CONNECT, host, str(port))
        return up.docker.attempt(*words, environ=up.environ).returncode == 0

    assert reaches("sandbox-worker", "redis", 6379)
    assert not reaches("sandbox-scanner", "redis", 6379)
    assert reaches("sandbox-scanner", "sandbox", 5000)
    address = up.containers()["redis"]["NetworkSettings"]["Networks"]["kube-sluice_tables"]
    assert not reaches("sandbox-scanner", address["IPAddress"], 6379)


def test_a_worker_that_is_stopped_drains_and_comes_back(up: Stack) -> None:
    """Within its grace period: a kill would cost each running scan a second one."""
    up("stop", "sandbox-worker")
    assert up.containers()["sandbox-worker"]["State"]["ExitCode"] == 0
    up.up()
    assert up.containers()["sandbox-worker"]["State"]["Health"]["Status"] == "healthy"


def test_a_sandbox_that_is_restarted_has_its_objects_and_its_reports_still(up: Stack) -> None:
    """An engine that is updated stops all, and `restart: unless-stopped` brings all back."""
    before = up.reports("vulnerabilityreports")
    up("restart", "sandbox")
    up.up()
    assert up.reports("vulnerabilityreports") == before
    words = ("exec", "-T", "sandbox-watcher", "sluice", "doctor")
    assert eventually(
        lambda: up.docker.attempt("compose", *words, environ=up.environ).returncode == 0
    )


def test_down_leaves_nothing(up: Stack) -> None:
    """No container, no volume, no network: a newcomer's machine is as it was."""
    assert up.left()
    up.down()
    assert up.left() == set()


def test_the_other_profile_works_with_the_users_kubeconfig(stack: Stack) -> None:
    """The sandbox plays the cluster that a user has; its kubeconfig is the user's file."""
    stack.up("sandbox")
    told = stack("exec", "-T", "sandbox", "cat", "/run/sandbox/kubeconfig")
    mine = Path(stack.environ["KUBE_SLUICE_KUBECONFIG_FILE"])
    mine.write_text(told)
    mine.chmod(0o644)
    settings = {
        "COMPOSE_PROFILES": "cluster",
        "TRIVY_DB_REPOSITORY": "sandbox:5000/sample/trivy-db:2",
        "TRIVY_JAVA_DB_REPOSITORY": "sandbox:5000/sample/trivy-java-db:1",
        "TRIVY_INSECURE": "true",
    }
    said = stack("run", "--rm", "-T", "watcher", "crds", "--install", **settings)
    assert said == ""  # the sandbox has them all
    stack.up(**settings)

    def done() -> bool:
        return stack.reports("vulnerabilityreports") >= 40

    assert eventually(done, within_s=_DONE_S)
    assert_healthy(stack("exec", "-T", "watcher", "sluice", "doctor", **settings))
    stack.down()
    assert stack.left() == set()
