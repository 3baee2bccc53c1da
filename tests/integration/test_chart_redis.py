"""Each way to name a Redis of yours to the chart: what a Pod is told leads to a living one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from common.model.errors import PreconditionError
from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.settings.parse import parse
from common.settings.value import Settings
from common.state.arrival import client_for, required_address
from common.state.connect import Client
from common.state.names import Names
from sandbox.certificates import make
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.sentinel import Sentinels
from tests.charts.rendered import environment, mounts, render
from tests.deployments import PASSWORD, Deployment, program_of
from tests.fixtures_queue import forget
from tests.fixtures_redis import DeploymentOf
from tests.fixtures_sandbox import lacking
from tests.queue_values import workloads

pytestmark = pytest.mark.integration

COMPONENTS = ("watcher", "worker", "matcher")


def chosen(deployment: Deployment) -> dict[str, Any]:
    """Return the values that a user would set for it."""
    named = {
        "url": deployment.url,
        "existingSecret": deployment.password_file and "login",
        "caConfigMap": deployment.ca_file and "authority",
    }
    return {"redis": {name: value for name, value in named.items() if value}}


def told(deployment: Deployment, component: str, **more: Any) -> Settings:
    """Return a component's settings, its mounted files in the places that they have here."""
    chart = render({**chosen(deployment), **more})
    here = {"redis-password": deployment.password_file, "redis-ca": deployment.ca_file}
    environ = environment(chart.containers()[component])
    for folder, volume in mounts(chart.pods()[component], component).items():
        if not (here.get(volume["name"]) and folder.startswith("/run/secrets/")):
            continue
        (item,) = (volume.get("secret") or volume["configMap"])["items"]
        file = f"{folder}/{item['path']}"
        assert file in environ.values(), "mounted, and nobody is told"
        environ = {k: here[volume["name"]] if v == file else v for k, v in environ.items()}
    return parse(environ)


def client_of(settings: Settings) -> Client:
    """Return the client that the process would make."""
    return client_for(settings.redis, required_address(settings.redis), name="test")


@pytest.mark.parametrize("kind", ["valkey8-tcp", "valkey8-tls-acl", "redis7-tls-acl"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_what_the_chart_tells_leads_to_the_redis_that_was_named(
    kind: str, component: str, deployment_of: DeploymentOf, names: Names
) -> None:
    """One server; TLS with a private authority, and a user with the rights of the page alone."""
    with contextlib.closing(client_of(told(deployment_of(kind), component))) as client:
        queue = WorkQueue(client, names)
        keys = workloads(3)
        queue.add([Add(key=key, lane=Lane.FRESH) for key in keys])
        assert all(queue.members(keys))
    with deployment_of(kind).admin() as admin:
        forget(admin, names)


def test_what_the_chart_tells_leads_to_the_primary_behind_sentinels(
    deployment_of: DeploymentOf, names: Names
) -> None:
    """The servers ask for the password, the Sentinels for none."""
    deployment = deployment_of("valkey8-sentinel")
    with contextlib.closing(client_of(told(deployment, "worker"))) as client:
        queue = WorkQueue(client, names)
        queue.add([Add(key=key) for key in workloads(2)])
        assert all(queue.members(workloads(2)))
    with deployment.admin() as admin:
        forget(admin, names)


def test_sentinels_and_servers_behind_tls_are_found_with_the_authority_that_is_named(
    tmp_path: Path,
) -> None:
    """And not without it; a password of the Sentinels' own is a setting with the mounted file."""
    try:
        program = program_of("redis7")
    except PreconditionError as error:
        lacking(error)
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    made = make(tmp_path, names=("DNS:localhost", "IP:127.0.0.1"))
    with Place() as place, Stack() as stack:
        pair = Sentinels(place, stack, program=program, password=PASSWORD, certificates=made)
        pair.start()
        deployment = Deployment(
            name="tls",
            url=pair.url,
            password_file=str(file),
            ca_file=str(made.ca),
            admin=pair.admin,
        )
        own = {"settings": {"SLUICE_REDIS_SENTINEL_PASSWORD_FILE": "/run/secrets/redis/password"}}
        settings = told(deployment, "worker", **own)
        assert settings.redis.sentinel_password_file == str(file)
        with contextlib.closing(client_of(told(deployment, "worker"))) as client:
            assert client.ping()
        without = Deployment(name="tls", url=pair.url, password_file=str(file), admin=pair.admin)
        with (
            contextlib.closing(client_of(told(without, "worker"))) as client,
            pytest.raises(RedisError, match="certificate"),
        ):
            client.ping()
