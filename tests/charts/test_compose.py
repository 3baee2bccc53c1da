"""docker-compose.yml, by its structure and by the loader of Docker Compose itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.model.errors import PreconditionError
from common.ops.version import VERSION
from common.settings.parse import parse
from sandbox.programs import find
from tests.fixtures_sandbox import lacking

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
ROLES = ("watcher", "worker", "scanner", "matcher")
OURS = (*ROLES, *(f"sandbox-{role}" for role in ROLES))
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")

Service = Mapping[str, Any]


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """Return the value with variables replaced as Compose does: after YAML, so all stays text."""
    match value:
        case dict():
            return {name: interpolated(below, environ) for name, below in value.items()}
        case list():
            return [interpolated(below, environ) for below in value]
        case str():
            found = _VARIABLE.sub(lambda match: environ.get(match[1]) or match[2], value)
            return found.replace("$$", "$")
        case _:
            return value


def stack(**environ: str) -> Mapping[str, Any]:
    """Return the file as Compose reads it."""
    read: Mapping[str, Any] = interpolated(
        yaml.safe_load(FILE.read_text(encoding="utf-8")), environ
    )
    return read


STACK = stack()
SERVICES: Mapping[str, Service] = STACK["services"]


def test_the_stack_is_the_whole_pipeline() -> None:
    """As in the chart: the scanner is a container of its own."""
    assert set(SERVICES) == {"redis", "sandbox", *OURS}
    commands = {name: SERVICES[name]["command"] for name in ROLES}
    assert commands == {
        "watcher": ["watcher"],
        "worker": ["worker", "--pool", "reconcile,scan"],
        "scanner": ["scanner"],
        "matcher": ["worker", "--pool", "match"],
    }


def test_each_profile_is_whole() -> None:
    """With both at once two watchers would write to one Redis, each its own cluster's."""
    by_profile = {
        profile: {name for name in SERVICES if profile in SERVICES[name]["profiles"]}
        for profile in ("cluster", "sandbox")
    }
    assert by_profile == {
        "cluster": {"redis", *ROLES},
        "sandbox": {"redis", "sandbox", *OURS[len(ROLES) :]},
    }
    chosen = (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    assert [line for line in chosen if line and line[0] != "#"] == ["COMPOSE_PROFILES=sandbox"]


@pytest.mark.parametrize("role", ROLES)
def test_the_sandboxs_four_differ_in_what_they_look_at_only(role: str) -> None:
    """Else what is tried is not what is run."""
    mine, other = dict(SERVICES[role]), dict(SERVICES[f"sandbox-{role}"])
    for name in ("profiles", "environment", "depends_on", "volumes", "secrets", "tmpfs"):
        mine.pop(name, None)
        other.pop(name, None)
    assert other == mine
    changed = set(SERVICES[f"sandbox-{role}"]["environment"]) - set(SERVICES[role]["environment"])
    assert changed <= {"SLUICE_IMAGE_WAIT_S"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_down(name: str) -> None:
    """An attacker in one finds nothing to write to and nobody to become."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert not {"privileged", "pid", "ipc", "cap_add", "devices"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_limits(name: str) -> None:
    """It shares a machine with somebody's work."""
    assert {"mem_limit", "cpus", "pids_limit"} <= set(SERVICES[name])
    assert SERVICES[name]["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_a_health_check_and_waits_for_health(name: str) -> None:
    """`depends_on` without a condition waits for a process, not for an answer."""
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert needed in SERVICES


def test_whoever_uses_redis_waits_for_it_and_the_worker_for_its_scanner() -> None:
    """Else the first minute of each start is a page of warnings."""
    for name in ("watcher", "worker", "matcher"):
        assert "redis" in SERVICES[name]["depends_on"]
    assert "scanner" in SERVICES["worker"]["depends_on"]


@pytest.mark.parametrize("name", ["scanner", "sandbox-scanner"])
def test_the_scanner_has_no_kubeconfig_no_password_and_no_way_to_redis(name: str) -> None:
    """Law 9, and here the network says so too: the tables' network has no scanner."""
    scanner = SERVICES[name]
    assert "secrets" not in scanner
    assert not {n for n in scanner["environment"] if "REDIS" in n or "KUBE" in n}
    assert not [one for one in scanner["volumes"] if one.startswith("sandbox")]
    assert set(scanner["networks"]) & set(SERVICES["redis"]["networks"]) == set()
    assert STACK["networks"]["tables"] == {"internal": True}
    assert scanner["user"].split(":")[0] != SERVICES["worker"]["user"].split(":")[0]


def test_scanner_and_worker_share_one_socket_in_one_groups_folder() -> None:
    """The folder's mode 2770 hands its group on; both are in it."""
    scanner, worker = SERVICES["scanner"], SERVICES["worker"]
    sockets = {parse(one["environment"]).trivy.scanner_socket for one in (scanner, worker)}
    assert sockets == {"/run/sluice/scanner.sock"}
    assert all("socket:/run/sluice" in one["volumes"] for one in (scanner, worker))
    options = STACK["volumes"]["socket"]["driver_opts"]["o"].split(",")
    uid, gid = scanner["user"].split(":")
    assert {f"uid={uid}", f"gid={gid}", "mode=2770"} <= set(options)
    assert worker["user"].split(":")[1] == gid


def test_the_matcher_draws_a_token_that_its_group_may_read() -> None:
    """The folder's mode 2750 hands its group on: worker and scanner read, the matcher writes."""
    matcher, readers = SERVICES["matcher"], (SERVICES["worker"], SERVICES["scanner"])
    files = {parse(one["environment"]).trivy.token_file for one in (matcher, *readers)}
    assert files == {"/run/match/token"}
    assert "match-token:/run/match" in matcher["volumes"]
    assert all("match-token:/run/match:ro" in one["volumes"] for one in readers)
    options = STACK["volumes"]["match-token"]["driver_opts"]["o"].split(",")
    uid, gid = matcher["user"].split(":")
    assert {f"uid={uid}", f"gid={gid}", "mode=2750"} <= set(options)
    assert all(one["user"].split(":")[1] == gid for one in readers)


def test_secrets_are_files_from_outside_and_nowhere_in_the_file() -> None:
    """A password in the file ends up in a repository, one in the environment in `inspect`."""
    for secret in STACK["secrets"].values():
        assert set(secret) == {"file"}
    for name in (one for one in OURS if "scanner" not in one):
        redis = parse(SERVICES[name]["environment"]).redis
        assert redis.password_file == "/run/secrets/redis-password"  # noqa: S105 # a path
        assert redis.address is not None
        assert redis.address.password == ""
        assert "redis-password" in SERVICES[name]["secrets"]
    assert SERVICES["redis"]["secrets"] == ["redis-password"]


def test_every_secret_volume_and_network_that_is_used_exists_and_is_used() -> None:
    """Compose refuses the one and keeps silent about the other."""
    for kind in ("secrets", "networks"):
        used = {one for service in SERVICES.values() for one in service.get(kind, ())}
        assert used == set(STACK[kind])
    used = {one.split(":")[0] for s in SERVICES.values() for one in s.get("volumes", ())}
    assert used == set(STACK["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_every_environment_is_one_that_the_product_reads(name: str) -> None:
    """Empty variables count as not set, so an empty .env gives every default."""
    settings = parse(SERVICES[name]["environment"])
    assert settings.warnings == ()
    assert settings.projection_digest() == parse({}).projection_digest()


def test_settings_of_the_users_environment_reach_all_components() -> None:
    """One policy for all of them."""
    services = stack(TRIVY_SEVERITY="HIGH,CRITICAL", TRIVY_INSECURE="true")["services"]
    for name in OURS:
        settings = parse(services[name]["environment"])
        assert settings.reports.severities == ("HIGH", "CRITICAL")
        assert settings.trivy.insecure


def test_redis_forgets_nothing_and_evicts_nothing() -> None:
    """As the chart's does."""
    (script,) = SERVICES["redis"]["command"]
    for wanted in ("--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"):
        assert wanted in script
    assert "redis:/data" in SERVICES["redis"]["volumes"]
    assert "ports" not in SERVICES["redis"]


def test_the_matcher_has_a_volume_of_its_own_and_says_where_it_is() -> None:
    """Loopback would reach nobody; a layer cache in the queue's Redis would fill it."""
    matcher = SERVICES["matcher"]
    assert "matcher:/var/lib/sluice" in matcher["volumes"]
    trivy = parse(matcher["environment"]).trivy
    assert trivy.matcher_advertised_url == f"http://matcher:{trivy.matcher_address.port}"


def test_images_are_pinned_and_can_be_chosen() -> None:
    """No `latest`, and a mirror needs no change of the file."""
    assert SERVICES["watcher"]["image"] == f"kube-sluice:{VERSION}"
    assert re.fullmatch(r"docker\.io/valkey/valkey:\d+\.\d+\.\d+", SERVICES["redis"]["image"])
    chosen = stack(KUBE_SLUICE_IMAGE="mirror/sluice:9", REDIS_IMAGE="mirror/valkey:8")["services"]
    assert {chosen[name]["image"] for name in OURS} == {"mirror/sluice:9"}
    own = stack(KUBE_SLUICE_SANDBOX_IMAGE="mirror/sandbox:9")["services"]["sandbox"]
    assert own["image"] == "mirror/sandbox:9"
    assert chosen["redis"]["image"] == "mirror/valkey:8"


def test_what_is_published_is_published_to_this_machine_only() -> None:
    """Metrics tell which images have holes."""
    for service in SERVICES.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_a_container_may_drain_before_it_is_killed() -> None:
    """Compose's own grace is 10 s."""
    for name in ("watcher", "worker", "matcher"):
        grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        assert grace_s > parse(SERVICES[name]["environment"]).pipeline.drain_s


@pytest.mark.integration
def test_composes_own_loader_accepts_the_file() -> None:
    """Its schema and its interpolation know more than these tests."""
    try:
        loader = find(("compose",), say=print)["compose"]
    except PreconditionError as error:
        lacking(error)
    done = subprocess.run([loader, str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = yaml.safe_load(done.stdout)
    assert loaded["services"].keys() == SERVICES.keys()


@pytest.mark.integration
def test_the_loader_refuses_what_compose_would_refuse(tmp_path: Path) -> None:
    """A loader that takes everything proves nothing."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILE.read_text(encoding="utf-8") + "\nno-such-section: {}\n", encoding="utf-8")
    try:
        loader = find(("compose",), say=print)["compose"]
    except PreconditionError as error:
        lacking(error)
    done = subprocess.run([loader, str(wrong)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no-such-section" in done.stderr
