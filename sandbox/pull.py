"""Resolves an image reference to a digest at its registry, as a container runtime does first.

Only registries on loopback are asked, over plain HTTP: nothing here leaves the machine.
"""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.podstatus import Pull, Pulled, PullFailed

USER_AGENT = "sandbox-kubelet"  # tells the kubelet's pulls from the product's in the access log
_TIMEOUT_S = 10.0
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image reference with a registry in it."""

    host: str
    repository: str
    version: str  # a tag or a digest


def parse(image: str) -> Reference | None:
    """Split `image`; None when it names no registry (as `nginx` does)."""
    host, slash, rest = image.partition("/")
    if not slash or not (":" in host or "." in host or host == "localhost"):
        return None
    name, at, digest = rest.partition("@")
    repository, colon, tag = name.partition(":")
    version = digest if at else tag if colon else "latest"
    return Reference(host=host, repository=repository, version=version)


def resolve(image: str, authorizations: Iterable[str]) -> Pull:
    """Ask the registry what `image` is now: without credentials, then with each in turn.

    An index gives the index's digest, as with containerd.
    """
    reference = parse(image)
    if reference is None or reference.host.partition(":")[0] not in ("127.0.0.1", "localhost"):
        return _failed(image, "the sandbox pulls from loopback registries only")
    why = "not found"
    for authorization in ("", *authorizations):
        try:
            status, digest = _head(reference, authorization)
        except (OSError, http.client.HTTPException) as error:
            return _failed(image, str(error) or type(error).__name__)
        if digest:
            return Pulled(image_id=f"{reference.host}/{reference.repository}@{digest}")
        why = _WORDS.get(status, f"unexpected status from HEAD request: {status}")
    return _failed(image, why)


# The words of containerd, for those who sort by them.
_WORDS = {
    401: "pull access denied, repository does not exist or may require authorization: "
    "authorization failed: no basic auth credentials",
    403: "pull access denied",
    404: "not found",
    429: "429 Too Many Requests",
}


def _failed(image: str, why: str) -> PullFailed:
    said = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    return PullFailed(message=said + why)


def _head(reference: Reference, authorization: str) -> tuple[int, str]:
    """Return the status and, of a success, the digest."""
    headers = {"Accept": _ACCEPT, "User-Agent": USER_AGENT}
    if authorization:
        headers["Authorization"] = authorization
    connection = http.client.HTTPConnection(reference.host, timeout=_TIMEOUT_S)
    try:
        path = f"/v2/{reference.repository}/manifests/{reference.version}"
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        found = answer.status == http.client.OK
        return answer.status, answer.getheader("Docker-Content-Digest", "") if found else ""
    finally:
        connection.close()


def authorizations_in(secret: Mapping[str, Any], host: str) -> list[str]:
    """Return the Authorization values for `host` that a pull secret holds; none when damaged."""
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            known = orjson.loads(base64.b64decode(data[".dockerconfigjson"]))["auths"]
        else:
            known = orjson.loads(base64.b64decode(data[".dockercfg"]))
        return [_basic(entry) for name, entry in known.items() if _host(name) == host]
    except (KeyError, ValueError, AttributeError, TypeError):
        return []


def _host(name: str) -> str:
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


def _basic(entry: Mapping[str, str]) -> str:
    token = entry.get("auth")
    if not token:
        token = base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    return f"Basic {token}"
