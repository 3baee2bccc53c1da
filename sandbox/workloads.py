"""The sample workloads: about forty, in six namespaces, of every kind that owns reports.

Promise: the same input gives the same objects, in an order in which they can be created. Pure.
Images are shared between workloads and namespaces; one is named by digest, one by two tags.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from itertools import cycle, islice

from sandbox.images import Pushed
from sandbox.manifests import Manifest, Part, namespace_object, workload
from sandbox.oci import json_bytes

PREFIX = "sample"

# namespace, kind, name, then containers: `name=image`, `name~image` for an init container. An
# image is a sample's name with its first tag, `name:tag`, or `name@` for its digest.
_TABLE = """
shop      Deployment             web        app=alpine-node
shop      Deployment             cart       app=alpine-node  proxy=go-app
shop      Deployment             checkout   app=alpine-python  migrate~alpine-app
shop      Deployment             pricing    app=alpine-python
shop      Deployment             mailer     app=debian-app
shop      StatefulSet            orders     db=debian-app
shop      CronJob                report     job=alpine-python
shop      Job                    seed       job=debian-node

payments  Deployment             api        app=go-app
payments  Deployment             ledger     app=go-app  agent=secrets
payments  Deployment             fraud      app=alpine-python  proxy=go-app  warm~clean
payments  Deployment             vault      app=secrets
payments  StatefulSet            journal    db=debian-node
payments  CronJob                settle     job=go-app
payments  ReplicaSet             legacy     app=debian-app

search    Deployment             web        app=debian-node
search    Deployment             query      app=alpine-node
search    Deployment             crawler    app=alpine-python
search    StatefulSet            index      db=debian-app  sidecar=alpine-app
search    Job                    reindex    job=alpine-app
search    ReplicationController  suggest    app=alpine-node
search    ReplicaSet             ranker     app=clean

media     Deployment             resize     app=multi
media     Deployment             stream     app=multi  proxy=go-app
media     Deployment             gallery    app=alpine-node
media     Deployment             upload     app=debian-node
media     Deployment             thumbs     app=alpine-app@
media     StatefulSet            store      db=clean

platform  DaemonSet              agent      agent=alpine-app
platform  DaemonSet              logs       agent=go-app
platform  Deployment             gateway    app=clean
platform  Deployment             dns        app=empty
platform  Deployment             cache      app=alpine-app:stable
platform  Pod                    runner     app=alpine-app
platform  Job                    migrate    job=clean

tools     Pod                    shell      app=alpine-app
tools     Pod                    probe      app=empty
tools     Deployment             wiki       app=debian-node  wait~alpine-app
tools     Deployment             chat       app=alpine-node
tools     ReplicationController  mirror     app=debian-app
tools     Deployment             web        app=alpine-python
"""

EPHEMERAL_POD = ("tools", "shell")
EPHEMERAL_IMAGE = "debian-app"


def namespaces(prefix: str = PREFIX) -> list[Manifest]:
    """Return the six namespaces, to be created first; their names begin with `prefix`."""
    return [namespace_object(f"{prefix}-{name}") for name in dict.fromkeys(_names())]


def sample_workloads(
    registry: str, images: Mapping[str, Pushed], *, prefix: str = PREFIX
) -> list[Manifest]:
    """Return the objects to create; `registry` is how the nodes name the place of `images`."""
    return [
        workload(kind, name, [_part(word, registry, images) for word in words], namespace=namespace)
        for namespace, kind, name, *words in _rows(prefix)
    ]


def ephemeral_patch(
    registry: str, images: Mapping[str, Pushed], *, prefix: str = PREFIX
) -> tuple[str, Manifest]:
    """Return path and merge patch that put an ephemeral container into a running sample Pod.

    Ephemeral containers cannot be part of a Pod at its creation.
    """
    namespace, name = EPHEMERAL_POD
    image = images[EPHEMERAL_IMAGE].seen_at(registry).reference
    container = {"name": "debugger", "image": image, "targetContainerName": "app"}
    path = f"/api/v1/namespaces/{prefix}-{namespace}/pods/{name}/ephemeralcontainers"
    return path, {"spec": {"ephemeralContainers": [container]}}


def bench_deployments(
    registry: str,
    images: Mapping[str, Pushed],
    *,
    count: int = 40,
    kinds: int = 8,
    prefix: str = "bench",
) -> list[Manifest]:
    """Return `count` Deployments over six namespaces and the first `kinds` of `images`.

    The shape of the peer's measured workload: 40, 8 images, each used by five of them.
    """
    used = [each.seen_at(registry).reference for each in islice(images.values(), kinds)]
    spaces = [each["metadata"]["name"] for each in namespaces(prefix)]
    places = islice(zip(cycle(used), cycle(spaces), strict=False), count)
    return [
        workload("Deployment", f"app-{number}", [Part(name="main", image=image)], namespace=space)
        for number, (image, space) in enumerate(places)
    ]


def broken_workloads(registry: str, *, namespace: str) -> list[Manifest]:
    """Return Deployments whose image cannot be had or cannot be scanned, each named after why.

    `broken.broken()` must be pushed for those of their names. For `private` the registry must
    refuse `private/*`; its pull secret `registry-login` does not exist until `pull_secret` is
    created.
    """
    images = {
        "tag-missing": f"{registry}/sample/alpine-app:no-such-tag",
        "repository-missing": f"{registry}/sample/no-such-app:1.0",
        "digest-missing": f"{registry}/sample/alpine-app@sha256:{'0' * 64}",
        "bad-reference": f"{registry}/Sample/UPPER:not:a:tag",
        "registry-down": "127.0.0.1:1/sample/alpine-app:1.0",
        "private": f"{registry}/private/alpine-app:1.0",
        **{name: f"{registry}/sample/{name}:1.0" for name in _BROKEN_IMAGES},
    }
    return [
        workload(
            "Deployment",
            name,
            [Part(name="app", image=image)],
            namespace=namespace,
            pull_secrets=[PULL_SECRET] if name == "private" else [],
        )
        for name, image in images.items()
    ]


PULL_SECRET = "registry-login"  # noqa: S105 -- the name of an object, not its content
_BROKEN_IMAGES = (
    "truncated-layer",
    "missing-layer",
    "missing-config",
    "not-a-tar",
    "helm-chart",
    "other-platform",
)


def pull_secret(registry: str, *, namespace: str, username: str, password: str) -> Manifest:
    """Return the Secret `registry-login` with credentials for `registry`."""
    auth = b64encode(f"{username}:{password}".encode()).decode()
    config = json_bytes({"auths": {registry: {"auth": auth}}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": PULL_SECRET, "namespace": namespace},
        "data": {".dockerconfigjson": b64encode(config).decode()},
    }


def _rows(prefix: str) -> Iterator[list[str]]:
    for line in filter(None, _TABLE.splitlines()):
        namespace, *others = line.split()
        yield [f"{prefix}-{namespace}", *others]


def _names() -> Iterator[str]:
    return (line.split()[0] for line in filter(None, _TABLE.splitlines()))


def _part(word: str, registry: str, images: Mapping[str, Pushed]) -> Part:
    """Read `name=image` or `name~image`."""
    init = "~" in word
    name, _, wanted = word.partition("~" if init else "=")
    sample, tagged, tag = wanted.partition(":")
    place = images[sample.rstrip("@")].seen_at(registry)
    image = place.pinned if wanted.endswith("@") else place.reference
    if tagged:
        image = f"{registry}/{place.repository}:{tag}"
    return Part(name=name, image=image, init=init)
