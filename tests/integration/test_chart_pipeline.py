"""The chart's processes, each with the rights of its own account and nothing else, do the job."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from common.settings.parse import parse
from common.state.arrival import client_for, required_address
from common.state.images import ImageTable, pack
from common.state.names import Names
from common.state.trusted import TrustTable
from sandbox import vulndb
from sandbox.controlplane import ControlPlane
from sandbox.faults import Login
from sandbox.images import Pushed
from sandbox.manifests import Part, workload
from sandbox.place import Place
from sandbox.processes import Process, Stack
from sandbox.registry import Registry
from tests.charts.process import Machine
from tests.charts.release import Release, apply, install_definitions, remove_global
from tests.charts.rendered import Rendered, render
from tests.fixtures_trivy import UPDATED
from tests.waiting import eventually

pytestmark = pytest.mark.integration

REPORTS = "/apis/aquasecurity.github.io/v1alpha1"
PLURALS = ("vulnerabilityreports", "exposedsecretreports", "sbomreports")
PATIENCE_S = 90.0
# What breaks a quoted configuration file, and a shell.
PASSWORD = "p\"a\\s s$w'o`rd"  # noqa: S105 # not a secret


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Give a folder whose path is short enough for a socket."""
    with Place() as one:
        yield one


@pytest.fixture(scope="module")
def stack(place: Place) -> Iterator[Stack]:
    """Give what stops the processes, the last first."""
    assert place.folder.exists()
    with Stack() as one:
        yield one


def started(stack: Stack, process: Process) -> Process:
    """Start it; it is stopped at the end of the module."""
    stack.push(process)
    return process.start()


# --- Redis alone


def test_the_charts_redis_asks_for_the_password_and_keeps_what_it_is_told(
    place: Place, sandbox_stack: Stack
) -> None:
    """Its own command and configuration, with the ugliest password that a Secret may hold."""
    folder = place.sub("redis-alone")
    machine = Machine(
        chart=render(), folder=folder, redis_port=place.port(), password=f"{PASSWORD}\n"
    )
    assert sandbox_stack is not None
    process = machine.redis().start()
    try:
        with redis.Redis(port=machine.redis_port, password=PASSWORD) as client:
            process.wait_ready(lambda: answers(client), timeout_s=30)
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert client.config_get("appendonly")["appendonly"] == "yes"
            assert client.config_get("maxmemory")["maxmemory"] == str(512 * 1024 * 1024)
            client.set("key", "kept")
        with redis.Redis(port=machine.redis_port) as stranger, pytest.raises(redis.RedisError):
            stranger.get("key")
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"valkey-server" in arguments  # `exec`: it gets its signals itself
        process.stop()
        process.start()
        with redis.Redis(port=machine.redis_port, password=PASSWORD) as client:
            process.wait_ready(lambda: answers(client), timeout_s=30)
            assert client.get("key") == b"kept"
    finally:
        process.stop()


def answers(client: redis.Redis) -> bool:
    """Say whether it answers commands."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


# --- the whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Everything that the chart runs, at work in one namespace."""

    release: Release
    target: str
    registry: str
    pushed: Mapping[str, Pushed]
    machine: Machine
    parts: Mapping[str, Process]

    def create(self, name: str, image: str, *, pull_secrets: tuple[str, ...] = ()) -> None:
        """Create a Deployment as a user would."""
        made = workload(
            "Deployment",
            name,
            [Part(name="app", image=image)],
            namespace=self.target,
            pull_secrets=pull_secrets,
        )
        path = f"/apis/apps/v1/namespaces/{self.target}/deployments"
        self.release.controlplane.api.create(path, made)

    def reports(self, deployment: str) -> dict[str, Any]:
        """Return the Deployment's reports by kind and name."""
        found = {}
        for plural in PLURALS:
            path = f"{REPORTS}/namespaces/{self.target}/{plural}"
            for item in self.release.controlplane.api.get(path)["items"]:
                owner = item["metadata"]["ownerReferences"][0]["name"]
                if owner.startswith(f"{deployment}-"):
                    found[f"{item['kind']}/{item['metadata']['name']}"] = item
        return found

    def kinds(self, deployment: str) -> list[str]:
        """Return the kinds of its reports."""
        return sorted(name.partition("/")[0] for name in self.reports(deployment))

    def logs(self) -> str:
        """Return the end of every process's log, for a failed assertion."""
        return "\n".join(f"--- {name}\n{one.tail()}" for name, one in self.parts.items())


ALL_KINDS = ["ExposedSecretReport", "SbomReport", "VulnerabilityReport"]


def publish(registry: Registry, folder: Path, level: vulndb.Level) -> None:
    """Push one version of the sample database, below names of this module's own."""
    vulndb.build(folder, level=level, updated_at=UPDATED[level])
    vulndb.push(registry.address, folder, repository="chart/trivy-db")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where the chart is installed, and what its processes meet there."""

    controlplane: ControlPlane
    registry: Registry
    kubectl: Path
    pushed: Mapping[str, Pushed]

    @contextlib.contextmanager
    def installed(
        self, values: Mapping[str, Any], place: Place, stack: Stack
    ) -> Iterator[Pipeline]:
        """Give watcher, worker, scanner, matcher and Redis with the chart's rights and environment.

        `values` are added to those that this sandbox needs.
        """
        name, target = f"t{secrets.token_hex(3)}", f"living-{secrets.token_hex(4)}"
        namespace = f"test-{name}"
        settings = {
            "OPERATOR_TARGET_NAMESPACES": target,
            "TRIVY_DB_REPOSITORY": f"{self.registry.address}/chart/trivy-db:{vulndb.TAG}",
            "TRIVY_INSECURE": True,
            "SLUICE_DB_CHECK_INTERVAL_S": 1,
            **values.get("settings", {}),
        }
        chart = render({**values, "settings": settings}, name=name, namespace=namespace)
        install_definitions(self.controlplane)
        for each in (namespace, target):
            self.controlplane.create_namespace(each)
        try:
            apply(self.kubectl, self.controlplane, chart)
            release = Release(
                chart=chart,
                name=name,
                namespace=namespace,
                controlplane=self.controlplane,
                folder=place.sub("tokens"),
            )
            machine = machine_for(release, place)
            yield Pipeline(
                release=release,
                target=target,
                registry=self.registry.address,
                pushed=self.pushed,
                machine=machine,
                parts=run(release, machine, stack),
            )
        finally:
            stack.stop()
            remove_global(self.controlplane, chart)
            for each in (namespace, target):
                self.controlplane.api.delete(f"/api/v1/namespaces/{each}")


@pytest.fixture(scope="module")
def ground(
    controlplane: ControlPlane,
    kubelet: object,
    registry: Registry,
    programs: dict[str, Path],
    pushed: Mapping[str, Pushed],
) -> Ground:
    """Give a cluster whose Pods run, with a database to match against."""
    assert kubelet is not None
    with Place() as place:
        publish(registry, place.sub("database-1"), 1)
    return Ground(
        controlplane=controlplane, registry=registry, kubectl=programs["kubectl"], pushed=pushed
    )


@pytest.fixture(scope="module")
def pipeline(ground: Ground, place: Place, stack: Stack) -> Iterator[Pipeline]:
    """Give the chart's processes with its defaults."""
    with ground.installed({}, place, stack) as one:
        yield one


def machine_for(release: Release, place: Place) -> Machine:
    """Return where its containers run, with the password of the chart's own Secret."""
    password = base64.b64decode(release.chart.one("Secret", "redis")["data"]["password"])
    return Machine(
        chart=release.chart,
        folder=place.sub("pod"),
        redis_port=place.port(),
        password=password.decode(),
    )


def run(release: Release, machine: Machine, stack: Stack) -> dict[str, Process]:
    """Start everything that stays."""
    parts = {"redis": started(stack, machine.redis())}
    for name in ("scanner", "matcher", "worker", "watcher"):
        token = None if name == "scanner" else release.kubeconfig(name)
        parts[name] = started(stack, machine.component(name, kubeconfig=token))
    return parts


def test_the_three_reports_of_a_new_deployment_arrive(pipeline: Pipeline) -> None:
    """The job: each process has its own account's rights, and together they are enough."""
    pipeline.create("web", pipeline.pushed["alpine-node"].reference)
    assert eventually(lambda: pipeline.kinds("web") == ALL_KINDS, within_s=PATIENCE_S), (
        pipeline.logs()
    )
    found = {one["kind"]: one for one in pipeline.reports("web").values()}
    assert found["VulnerabilityReport"]["report"]["vulnerabilities"]
    assert found["SbomReport"]["report"]["components"]["components"]


def test_helm_test_passes_with_the_rights_of_its_own_account(
    pipeline: Pipeline, programs: dict[str, Path], stack: Stack
) -> None:
    """Its Pod's command and environment: it finds the key space, and everything that must run."""
    release = pipeline.release
    mine = [
        each
        for each in release.chart.hooks
        if each["metadata"]["name"].endswith("-test") and each["kind"] != "Pod"
    ]
    assert {each["kind"] for each in mine} == {"ServiceAccount", "ClusterRoleBinding"}
    hook = Rendered(files={}, manifests=mine, namespace=release.namespace)
    apply(programs["kubectl"], release.controlplane, hook)
    try:
        token = release.kubeconfig("test")
        process = started(stack, pipeline.machine.component("test", kubeconfig=token))
        assert eventually(lambda: process.exit_status is not None, within_s=PATIENCE_S)
        assert process.exit_status == 0, process.tail()
        assert "no worker is alive" not in process.tail()
    finally:
        remove_global(release.controlplane, hook)


def test_roles_in_one_namespace_are_enough(ground: Ground) -> None:
    """Nothing may be read or written outside it, nodes and the cluster's identity included."""
    confined = {
        "cluster": "confined",
        "rbac": {"clusterWide": False},
        "settings": {"SLUICE_PLATFORM": "linux-amd64"},
    }
    with Place() as place, Stack() as stack, ground.installed(confined, place, stack) as alone:
        roles = {each["kind"] for each in alone.release.chart.manifests}
        assert not {"ClusterRole", "ClusterRoleBinding"} & roles
        alone.create("web", alone.pushed["alpine-node"].reference)
        assert eventually(lambda: alone.kinds("web") == ALL_KINDS, within_s=PATIENCE_S), (
            alone.logs()
        )
        assert "SLUICE_PLATFORM" in alone.parts["watcher"].command.log.read_text(encoding="utf-8")


def test_a_private_image_is_scanned_with_the_workloads_own_secret(
    pipeline: Pipeline, registry: Registry
) -> None:
    """The worker's right to get Secrets and service accounts by name, used as a kubelet would."""
    login = base64.b64encode(b"robot:hunter2").decode()
    config = {"auths": {registry.address: {"auth": login}}}
    secret = {
        "metadata": {"name": "registry", "namespace": pipeline.target},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(config)},
    }
    path = f"/api/v1/namespaces/{pipeline.target}/secrets"
    pipeline.release.controlplane.api.create(path, secret)
    image = pipeline.pushed["debian-app"]
    with registry.fail(
        Login(username="robot", password="hunter2"),  # noqa: S106 # the sandbox's
        repository=image.repository,
    ):
        pipeline.create("vault", image.reference, pull_secrets=("registry",))
        assert eventually(lambda: pipeline.kinds("vault") == ALL_KINDS, within_s=PATIENCE_S), (
            pipeline.logs()
        )


def test_a_failure_is_told_on_the_deployment(pipeline: Pipeline) -> None:
    """The worker's right to create Events, in the workload's namespace."""
    pipeline.create("ghost", f"{pipeline.registry}/sample/nothing:1.0")

    def reasons() -> set[str]:
        path = f"/api/v1/namespaces/{pipeline.target}/events"
        return {
            one["reason"]
            for one in pipeline.release.controlplane.api.get(path)["items"]
            if one["involvedObject"]["name"] == "ghost"
        }

    assert eventually(lambda: "ScanFailed" in reasons(), within_s=PATIENCE_S), pipeline.logs()


def test_a_rollout_replaces_the_reports(pipeline: Pipeline) -> None:
    """The worker's right to delete: the old ReplicaSet's go when the new one's are there."""
    pipeline.create("shop", pipeline.pushed["alpine-python"].reference)
    assert eventually(lambda: pipeline.kinds("shop") == ALL_KINDS, within_s=PATIENCE_S), (
        pipeline.logs()
    )
    before = pipeline.reports("shop")
    container = {"name": "app", "image": pipeline.pushed["go-app"].reference}
    path = f"/apis/apps/v1/namespaces/{pipeline.target}/deployments/shop"
    pipeline.release.controlplane.api.patch(
        path, {"spec": {"template": {"spec": {"containers": [container]}}}}
    )

    def replaced() -> bool:
        now = pipeline.reports("shop")
        return not before.keys() & now.keys() and pipeline.kinds("shop") == ALL_KINDS

    assert eventually(replaced, within_s=PATIENCE_S), pipeline.logs()


def test_a_newer_database_updates_reports_in_place(
    pipeline: Pipeline, registry: Registry, place: Place
) -> None:
    """The worker's right to update; and the matcher finds, announces and serves by itself."""
    pipeline.create("api", pipeline.pushed["alpine-app"].reference)
    assert eventually(lambda: pipeline.kinds("api") == ALL_KINDS, within_s=PATIENCE_S), (
        pipeline.logs()
    )

    def generations() -> dict[str, int]:
        found = pipeline.reports("api") | pipeline.reports("web")
        return {name: one["metadata"]["generation"] for name, one in found.items()}

    before = generations()
    publish(registry, place.sub("database-2"), 2)
    assert eventually(
        lambda: any(number > before.get(name, number) for name, number in generations().items()),
        within_s=PATIENCE_S,
    ), pipeline.logs()
    assert generations().keys() == before.keys()


def test_the_scanners_process_was_told_no_secret(pipeline: Pipeline) -> None:
    """Law 9, read from the running process: no token, no kubeconfig, no Redis, no password."""
    told = Path(f"/proc/{pipeline.parts['scanner'].pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0].decode() for line in told if line}
    assert "SLUICE_SCANNER_SOCKET" in names
    names.discard("SLUICE_TRIVY_TOKEN_FILE")  # a path, and of the match server's token
    assert not {name for name in names if "REDIS" in name or "KUBE" in name or "TOKEN" in name}
    password = base64.b64decode(pipeline.release.chart.one("Secret", "redis")["data"]["password"])
    assert not any(password in line for line in told)


def test_no_process_was_refused_anything(pipeline: Pipeline) -> None:
    """A right that is missing shows as a warning long before a feature is missed."""
    for name, process in pipeline.parts.items():
        assert process.alive, name
        log = process.command.log.read_text(encoding="utf-8", errors="replace")
        for word in ("Forbidden", "forbidden", "cannot list", "HTTP 403", '"level":"error"'):
            assert word not in log, f"{name}: {process.tail()}"


def test_a_trusted_trivy_makes_older_inventories_again(ground: Ground) -> None:
    """`sluice canary` as in a worker's Pod; the reports of what is refreshed are not touched."""
    soon = {"settings": {"SLUICE_REFRESH_OVER_S": 1}}
    with Place() as place, Stack() as stack, ground.installed(soon, place, stack) as alone:
        alone.create("web", alone.pushed["debian-node"].reference)
        assert eventually(lambda: alone.kinds("web") == ALL_KINDS, within_s=PATIENCE_S), (
            alone.logs()
        )
        before = versions_of(alone)
        environ = environment_of(alone.parts["worker"])
        with tables_of(environ) as (client, names):
            images, trust = ImageTable(client, names), TrustTable(client, names)
            assert eventually(lambda: trust.current() is not None)  # the first that it had
            (key,) = images.keys()
            inventory = images.get(key).inventory
            assert inventory is not None
            old = msgspec.structs.replace(inventory, scanner_version="0.70.0")
            client.hset(names.own(f"image:{key}"), "inv", pack(old))
            trust.trust("0.70.0", now_s=0.0)

            first, second = canary(environ), canary(environ)
            assert first["trusted"] == second["trusted"] == inventory.scanner_version
            (compared,) = first["images"]
            assert compared["findings"] > 0
            assert compared["differences"] == 0
            trusted = trust.current()
            assert trusted is not None
            assert trusted.version == inventory.scanner_version
            assert eventually(lambda: images.get(key).inventory == inventory, within_s=PATIENCE_S)
        assert versions_of(alone) == before


def versions_of(pipeline: Pipeline) -> dict[str, str]:
    """Return the version of each report of `web`."""
    return {
        name: one["metadata"]["resourceVersion"] for name, one in pipeline.reports("web").items()
    }


def environment_of(process: Process) -> dict[str, str]:
    """Return what a running process was told."""
    told = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    return dict(line.decode().partition("=")[::2] for line in told if line)


@contextlib.contextmanager
def tables_of(environ: Mapping[str, str]) -> Iterator[tuple[redis.Redis, Names]]:
    """Give the Redis of a process, and the names of its only key space."""
    settings = parse(environ)
    address = required_address(settings.redis)
    with contextlib.closing(client_for(settings.redis, address, name="test")) as client:
        (name,) = map(str, client.keys("sluice:*:trivy"))  # as `b'…'`
        yield client, Names(name.split(":")[1])


def canary(environ: Mapping[str, str]) -> dict[str, Any]:
    """Run the canary and return what it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "common.cli.main", "canary", "--json"],
        env=environ,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_match_servers_token_is_in_its_file_alone(pipeline: Pipeline) -> None:
    """Not in Redis, whose log on disk holds every write; on no command line, in no log."""
    file = Path(environment_of(pipeline.parts["scanner"])["SLUICE_TRIVY_TOKEN_FILE"])
    token = file.read_bytes()
    assert len(token) >= 32
    folder = next(each for each in file.parents if each.name == "pod")
    logs = [part.command.log for part in pipeline.parts.values()]
    writes = [path for path in folder.rglob("*.aof") if path.stat().st_size]
    arguments = [path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdecimal()]
    assert writes
    for path in (*logs, *writes, *arguments):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            assert token not in path.read_bytes(), path
