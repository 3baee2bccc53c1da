"""A world that is full of secrets: wherever one may stand, another one does.

What asks for them has them; whatever refuses repeats them.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox import oci, planted, upload, vulndb
from sandbox.demo.world import World, create_all
from sandbox.faults import Echo, Login
from sandbox.images import Pushed, Sample, push
from sandbox.manifests import Part, workload
from sandbox.packages import alpine, apk
from tests.leaks import made_up
from tests.living import eventually

MARK = f"leaks-{secrets.token_hex(4)}"  # in the name of every image: what every place may show
ROBOT = "robot"
# Where each secret stands. Their own files, and what must be told to a process, are not searched.
PLANTED = {
    "pull secret of the pod": made_up("pod"),
    "pull secret of the account": made_up("account"),
    "credential plugin": made_up("plugin"),
    "its standard error": made_up("stderr"),
    "echoed pull secret": made_up("echo"),
    "login of the database repository": made_up("database"),
    "token of the match server": made_up("token"),
    "password of Redis": made_up("redis"),
    "user information of the proxy": made_up("proxy"),
    "user information of an image": made_up("image"),
    "environment of the image": made_up("env"),
    "beside a key in the environment": made_up("beside"),
    "label of the image": made_up("label"),
    "history of the image": made_up("history"),
    "command of the image": made_up("command"),
    "environment of the pod": made_up("podenv"),
    **{f"secret file {number}": text for number, text in enumerate(planted.PLANTED)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One Deployment in a namespace of its own."""

    namespace: str
    image: Pushed | None
    reference: str


def image(name: str) -> Sample:
    """Return an image that has a secret wherever an image can have one."""
    files = {**alpine("3.18.2", [apk("busybox", "1.36.1-r0", "GPL-2.0-only")]), **planted.files()}
    line = f"ENV AWS_ACCESS_KEY_ID={planted.AWS_KEY_ID} BESIDE={PLANTED['history of the image']}"
    content = oci.image(
        [oci.layer(files, line), oci.layer({"etc/name": name}, "COPY name /etc")],
        entrypoint=["/none", f"--password={PLANTED['command of the image']}"],
        env=[
            f"DATABASE_PASSWORD={PLANTED['environment of the image']}",
            f"BOTH={planted.AWS_KEY_ID} {PLANTED['beside a key in the environment']}",
            *planted.environment(),
        ],
        labels={"build.password": PLANTED["label of the image"]},
    )
    return Sample(name=f"{MARK}-{name}", tags=("1.0",), build=lambda: content)


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Lets nobody through, and says what it was told."""

    def do_CONNECT(self) -> None:
        """Refuse."""
        told = self.headers.get("Proxy-Authorization") or ""
        self.send_error(502, explain=Echo.text(told))

    do_GET = do_HEAD = do_CONNECT  # noqa: N815 # http.server looks for these names

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def refusing_proxy() -> Iterator[int]:
    """Give the port of a proxy."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def private_file(path: Path, text: str, *, mode: int = 0o600) -> str:
    """Write a file as a Secret is mounted, or a program that reads one; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def plugin(folder: Path, host: str, run: str) -> dict[str, str]:
    """Return the settings of credential plugins: one answers, one fails, both say too much."""
    answer = {
        "kind": "CredentialProviderResponse",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Image",
        "auth": {host: {"username": ROBOT, "password": PLANTED["credential plugin"]}},
    }
    said = private_file(folder / "said.json", json.dumps(answer))
    script = (
        f"#!/bin/sh\ncat >/dev/null\necho {PLANTED['its standard error']} >&2\n"
        f'cat {said}\nexit "$STATUS"\n'
    )
    private_file(folder / "bin" / "helper", script, mode=0o700)
    providers = [
        {
            "name": "helper",
            "matchImages": [f"{host}/sample/{MARK}-{run}-{name}"],
            "defaultCacheDuration": "0s",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "env": [{"name": "STATUS", "value": status}],
        }
        for name, status in (("plugged", "0"), ("unplugged", "1"))
    ]
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": providers,
    }
    return {
        "SLUICE_CREDENTIAL_PROVIDER_CONFIG": private_file(
            folder / "providers.json", json.dumps(config)
        ),
        "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR": str(folder / "bin"),
    }


class Stage:
    """The world, and one product after the other in it."""

    def __init__(self, world: World, folder: Path, proxy_port: int, *, run: str) -> None:
        """`run`: part of its images' names, so that no other run has scanned them."""
        self.world, self._folder, self._run = world, folder, run
        self.redis_url = f"redis://:{PLANTED['password of Redis']}@127.0.0.1:{world.valkey.port}/0"
        self._proxy = f"http://me:{PLANTED['user information of the proxy']}@127.0.0.1:{proxy_port}"
        names = ("pod", "account", "plugged", "unplugged", "refused", "layers", "broken")
        samples = [image(f"{run}-{name}") for name in names]
        pushed = push(world.registry.address, samples)
        self.images = dict(zip(names, (pushed[one.name] for one in samples), strict=True))

    def settings(self) -> dict[str, str]:
        """Return a product's settings, with a secret in each that may hold one."""
        folder = self._folder
        plugged = plugin(folder, self.world.registry.address, self._run)
        login = PLANTED["login of the database repository"]
        return {
            **self.world.environ(),
            **plugged,
            "SLUICE_LOG_LEVEL": "debug",
            "SLUICE_LEASE_S": "3",
            "SLUICE_IMAGE_WAIT_S": "1",
            "SLUICE_DB_CHECK_INTERVAL_S": "1",
            "SLUICE_DB_REPOSITORY_USERNAME_FILE": private_file(folder / "user", ROBOT),
            "SLUICE_DB_REPOSITORY_PASSWORD_FILE": private_file(folder / "password", login),
            "SLUICE_TRIVY_TOKEN_FILE": private_file(
                folder / "token", PLANTED["token of the match server"]
            ),
            "HTTPS_PROXY": self._proxy,
            "HTTP_PROXY": self._proxy,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let the registry ask for logins, and repeat what it is told where it refuses."""
        fail, keys = self.world.registry.fail, PLANTED
        logins = {
            "pod": keys["pull secret of the pod"],
            "account": keys["pull secret of the account"],
            "plugged": keys["credential plugin"],
        }
        with contextlib.ExitStack() as rules:
            for name, password in logins.items():
                lock = Login(username=ROBOT, password=password)
                rules.enter_context(fail(lock, repository=self.images[name].repository))
            for name, status, kind in (
                ("refused", 400, "*"),
                ("unplugged", 403, "*"),
                ("layers", 400, "blob"),
                ("broken", 500, "*"),
            ):
                one = self.images[name].repository
                rules.enter_context(fail(Echo(status=status), repository=one, kind=kind))
            database = Login(username=ROBOT, password=keys["login of the database repository"])
            rules.enter_context(fail(database, repository=vulndb.REPOSITORY))
            yield

    @contextlib.contextmanager
    def newer_database(self, folder: Path) -> Iterator[None]:
        """Publish another one, which the registry then refuses to serve."""
        password = PLANTED["login of the database repository"]
        build_database(folder, 2)
        with (
            upload.Registry(self.world.registry.address, username=ROBOT, password=password) as one,
            self.world.registry.fail(
                Echo(status=400), repository=vulndb.REPOSITORY, kind="blob", method="GET"
            ),
        ):
            one.push(vulndb.REPOSITORY, vulndb.artifact(folder), vulndb.TAG)
            yield

    def lend(self, namespace: str, password: str, *, by_account: bool = False) -> tuple[str, ...]:
        """Store a pull secret; return what a pod must name to have it."""
        pair = base64.b64encode(f"{ROBOT}:{password}".encode()).decode()
        api, root = self.world.plane.api, f"/api/v1/namespaces/{namespace}"
        api.create(
            f"{root}/secrets",
            {
                "metadata": {"name": "registry", "namespace": namespace},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {
                    ".dockerconfigjson": json.dumps(
                        {"auths": {self.world.registry.address: {"auth": pair}}}
                    )
                },
            },
        )
        if not by_account:
            return ("registry",)
        path = f"{root}/serviceaccounts/default"
        eventually(lambda: api.get(path))
        api.patch(path, {"imagePullSecrets": [{"name": "registry"}]})
        return ()

    def deploy(self, name: str, reference: str = "") -> Case:
        """Create a Deployment of one image in a namespace of its own, with what it needs."""
        namespace = f"leak-{name}-{secrets.token_hex(3)}"
        self.world.create_namespace(namespace)
        pushed = self.images.get(name)
        lent: tuple[str, ...] = ()
        if name == "pod":
            lent = self.lend(namespace, PLANTED["pull secret of the pod"])
        elif name == "account":
            self.lend(namespace, PLANTED["pull secret of the account"], by_account=True)
        elif name != "plugged":
            lent = self.lend(namespace, PLANTED["echoed pull secret"])
        reference = reference or (pushed.reference if pushed else "")
        made = workload(
            "Deployment",
            "web",
            [Part(name="c0", image=reference)],
            namespace=namespace,
            pull_secrets=lent,
        )
        (container,) = made["spec"]["template"]["spec"]["containers"]
        container["env"] = [{"name": "PASSWORD", "value": PLANTED["environment of the pod"]}]
        create_all(self.world.plane.api, [made])
        return Case(namespace=namespace, image=pushed, reference=reference)


def build_database(folder: Path, level: vulndb.Level) -> None:
    """Make a database of a level."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6 - level)
    vulndb.build(folder, level=level, updated_at=at)
