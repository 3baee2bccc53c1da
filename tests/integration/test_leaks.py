"""A secret that is planted wherever one may stand is seen nowhere else: the whole path, and a grep.

Trap 28: images' configurations, pull secrets, plugins, logins, URLs, and what servers and Trivy say
of them. Real parts, runs that end well and runs that fail; only the kubelet is a stand-in. Each
place has something to find too: an empty search would find no leak either.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.model.redis_address import parse_redis_url
from common.state.connect import connect
from sandbox import vulndb
from sandbox.demo.product import Product
from sandbox.demo.world import World, build
from sandbox.place import Place
from sandbox.processes import Stack
from tests.fixtures_sandbox import lacking
from tests.leaking import MARK, PLANTED, ROBOT, Case, Stage, build_database, refusing_proxy
from tests.leaks import Watched, files_below, files_of_redis, holds, keys_of, leaks, made_up
from tests.living import Living, eventually

pytestmark = pytest.mark.integration

TROUBLE = ("retried", "held", "parked")
MODES = {"through": {}, "direct": {"SLUICE_PULL_PROXY": "false"}}
# Trivy's own cache of what it read in layers; its command line gets a report out of it.
CACHES = ("match/layers",)
Places = Mapping[str, Mapping[str, bytes]]  # what there is to see, by kind of place


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Give everything that products meet; its Redis has a password."""
    try:
        with Place() as place, Stack() as stack:
            world = build(place, stack, say=lambda _text: None)
            folder = place.sub("database")
            build_database(folder, 1)
            vulndb.push(world.registry.address, folder)
            with connect(parse_redis_url(world.valkey.socket_url), name="test") as client:
                client.config_set("requirepass", PLANTED["password of Redis"])
            yield world
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(scope="module", params=MODES)
def places(request: pytest.FixtureRequest, world: World) -> Iterator[Places]:
    """Give what a product leaves to see after it did all that it can do, well and badly."""
    mode = str(request.param)
    with Place() as place, Stack() as stack, refusing_proxy() as port:
        stage = Stage(world, place.sub("told"), port, run=mode)
        product = Product(
            place, stack, redis_url=stage.redis_url, environ={**stage.settings(), **MODES[mode]}
        )
        with stage.locked():
            with connect(parse_redis_url(stage.redis_url), name="test") as client:
                client.flushall()  # the circuits that the other product's faults opened
            product.start()
            with Watched(product.pid) as watched:
                alive = Living(place=place, world=world, product=product)
                cases = live(stage, alive)
                with stage.newer_database(place.sub("newer")):
                    eventually(lambda: "DatabaseDownload" in product.log.read_text())
                    said = outputs(alive, cases)
            found = seen(alive, watched)
            # What it keeps while it works, on tmpfs for a moment, must go with it.
            product.stop()
            yield {**found, "outputs": said, "files": files_of(product)}


def live(stage: Stage, alive: Living) -> list[Case]:
    """Have images scanned, and others refused."""
    well = [stage.deploy(name) for name in ("pod", "account", "plugged")]
    address, secret = stage.world.registry.address, PLANTED["user information of an image"]
    odd = {
        "userinfo": f"{ROBOT}:{secret}@{address}/sample/{MARK}-userinfo:1.0",
        "proxied": f"registry.example.test/{MARK}/proxied:1.0",
    }
    badly = [stage.deploy(name) for name in ("refused", "layers", "unplugged")]
    badly += [stage.deploy(name, reference) for name, reference in odd.items()]
    for case in well:
        alive.await_report(case.namespace)
        for kind in ("SbomReport", "ExposedSecretReport"):
            eventually(partial(alive.reports, case.namespace, kind))
    for case in badly:
        eventually(partial(troubles, alive, case))
    # Last: a server's own faults open the circuit of the registry, for all images.
    badly.append(stage.deploy("broken"))
    eventually(partial(troubles, alive, badly[-1]))
    return [*well, *badly]


def troubles(alive: Living, case: Case) -> list[str]:
    """Return what the ledger tells of a case that went wrong."""
    names = [case.namespace, *([case.image.digest] if case.image else [])]
    return [
        json.dumps(fact.data)
        for fact in alive.facts(0)
        if fact.kind in TROUBLE and any(name in fact.key for name in names)
    ]


def outputs(alive: Living, cases: list[Case]) -> dict[str, bytes]:
    """Return what users and Prometheus are told."""
    commands = [
        *(["status"], ["status", "--json"], ["doctor"], ["queue", "ls"], ["queue", "dead"]),
        *(["database", "status"], ["database", "check"]),
    ]
    for case in cases:
        commands.append(["history", f"Deployment/{case.namespace}/web", "--json"])
        if case.image is not None and case.namespace.startswith(("leak-pod", "leak-layers")):
            commands.append(["history", case.image.digest])
    said = {f"sluice {' '.join(words)}": command(alive.product, *words) for words in commands}
    for word in alive.product.pages()[0].split():
        if word.startswith("http://"):
            with urllib.request.urlopen(word, timeout=10) as answer:  # noqa: S310 # our own URL
                said[word] = answer.read()
    return said


def command(product: Product, *words: str) -> bytes:
    """Return what a command says, however it ends."""
    done = subprocess.run(
        [sys.executable, "-m", "common.cli.main", *words],
        env=product.environ(),
        capture_output=True,
        check=False,
    )
    return done.stdout + done.stderr


def seen(alive: Living, watched: Watched) -> dict[str, dict[str, bytes]]:
    """Return the other places."""
    world, product = alive.world, alive.product
    events = world.plane.api.get("/api/v1/events")["items"]
    with connect(parse_redis_url(product.environ()["SLUICE_REDIS_URL"]), name="test") as client:
        keys, files = keys_of(client), files_of_redis(client)
        slow = repr(client.slowlog_get(1000)).encode()
    return {
        "keys": {**keys, "slow log": slow},
        "files of Redis": files,
        "log": {"log": product.log.read_bytes()},
        "facts": {
            str(at): json.dumps([f.key, dict(f.data)]).encode()
            for at, f in alive.ledger().tail(50_000)
        },
        "command lines": {f"line {n}": line for n, line in enumerate(watched.arguments)},
        "scanner": {f"environ {n}": each for n, each in enumerate(watched.environments)},
        "events": {"events": json.dumps(events).encode()},
        "reports": {
            f"{one['kind']} {one['metadata']['name']}": json.dumps(one).encode()
            for one in world.reports()
        },
    }


def files_of(product: Product) -> dict[str, bytes]:
    """Return what it left on disk, and where credentials are while they are needed."""
    shared = Path("/dev/shm")  # noqa: S108
    return {**files_below(product.data, but=CACHES), **files_below(shared)}


ALLOWED = {
    # Whatever reaches the registries needs the proxy.
    ("user information of the proxy", "scanner"),
}


def test_no_secret_is_seen_anywhere(places: Places) -> None:
    """The grep."""
    found = [
        f"{kind}: {line}"
        for kind, each in places.items()
        for line in leaks(
            {what: s for what, s in PLANTED.items() if (what, kind) not in ALLOWED}, each
        )
    ]
    assert not found, "\n".join(found)


def test_each_place_was_looked_at(places: Places) -> None:
    """What may be seen is: the same search finds it there."""
    for kind in places.keys() - {"scanner", "files"}:
        assert any(holds(content, MARK) for content in places[kind].values()), kind
    assert any(b"DOCKER_CONFIG=" in each for each in places["scanner"].values())  # a Trivy's
    told = {name for each in places["scanner"].values() for name in each.split(b"\0")}
    names = {name.partition(b"=")[0] for name in told}
    assert not {name for name in names if b"REDIS" in name or b"KUBE" in name}


@pytest.mark.parametrize("word", ["doctor", "status", "worker"])
@pytest.mark.parametrize(
    "name",
    [
        *("TRIVY_DB_REPOSITORY", "TRIVY_JAVA_DB_REPOSITORY", "SLUICE_REGISTRY_MIRRORS"),
        *("SLUICE_REDIS_URL", "SLUICE_TRIVY_SERVER_URL", "SLUICE_DB_REPOSITORY_USERNAME_FILE"),
    ],
)
def test_a_process_that_cannot_start_quotes_no_password(
    word: str, name: str, tmp_path: Path
) -> None:
    """A URL with a password where none may stand, or before a host that does not answer."""
    secret = made_up("setting")
    form = {"SLUICE_REDIS_URL": "redis://:{}@127.0.0.1:1/0", "SLUICE_REGISTRY_MIRRORS": "a=me:{}@b"}
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    environ = {key: text for key, text in os.environ.items() if not key.startswith(foreign)}
    environ |= {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_KUBECONFIG": str(tmp_path / "none"),
        "SLUICE_REDIS_URL": "redis://127.0.0.1:1/0",
        name: form.get(name, "https://me:{}@127.0.0.1:1/x").format(secret),
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "common.cli.main", word],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        timer = threading.Timer(20.0, process.terminate)  # one that starts waits for others
        timer.start()
        said, _ = process.communicate()
        timer.cancel()
    assert said or process.returncode
    assert not holds(said, secret), said
