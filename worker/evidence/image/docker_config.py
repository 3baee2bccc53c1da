"""Docker's `config.json` and what a kubelet reads from it: credentials by registry and path.

Pure. The matching rules are kubelet's (pkg/credentialprovider/keyring.go): keys may carry a scheme
and a path, host labels may hold `*`, a key matches a repository whose path begins with its own,
the longest key is tried first.
"""

from __future__ import annotations

import base64
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.model.refs import DEFAULT_REGISTRY, ImageReference

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
_DATA_KEY = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKER_CFG: ".dockercfg"}

# The names under which people log in to Docker Hub.
_HUB_NAMES = frozenset({DEFAULT_REGISTRY, "docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One entry. Its repr shows no secret."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # of an OAuth2 registry, for a password

    @property
    def usable(self) -> bool:
        """Whether anything can be sent."""
        return bool(self.identity_token or self.username or self.password)

    @property
    def pair(self) -> str:
        """User and password as a header or a config carries them."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody else may see of it."""
        return tuple(filter(None, (self.password, self.identity_token, self.pair)))


def entries_of(secret_type: str, data: Mapping[str, bytes]) -> dict[str, Credential]:
    """Return the usable entries of a pull secret by their key; a broken secret gives none.

    One bad entry does not spoil its neighbours: a kubelet would ignore it too.
    """
    try:
        document = json.loads(data.get(_DATA_KEY.get(secret_type, ""), b"{}"))
    except (ValueError, RecursionError):  # the last: nested without end
        return {}
    if secret_type == DOCKER_CONFIG_JSON:
        document = document.get("auths") if isinstance(document, dict) else None
    if not isinstance(document, dict):
        return {}
    found = {str(key): _entry(value) for key, value in document.items()}
    return {key: entry for key, entry in found.items() if entry is not None and entry.usable}


def configs_for(
    reference: ImageReference, sources: Iterable[Mapping[str, Credential]]
) -> tuple[bytes, ...]:
    """Return a docker config for each credential that may serve `reference`, best first.

    `sources` stand in the order in which they are tried: the pod's secrets before the account's;
    within one the most precise key wins. Each config names the registry alone: Trivy looks no path
    up, and a credential must never reach another host.
    """
    found = [
        config_for(reference.registry, entries[key])
        for entries in sources
        for key in sorted(entries, key=_precision)
        if matches(key, reference)
    ]
    return tuple(dict.fromkeys(found))


def _precision(key: str) -> tuple[int, int, str]:
    """Order keys: long paths first, then those with fewer wildcards, then by name."""
    return (-len(_parts(key)[1]), key.count("*"), key)


def credential_in(config: bytes | None, registry: str) -> Credential | None:
    """Return the credential for `registry` in a docker config, or None."""
    if config is None:
        return None
    entries = entries_of(DOCKER_CONFIG_JSON, {".dockerconfigjson": config})
    return next((entry for key, entry in entries.items() if _same_host(key, registry)), None)


def secrets_in(config: bytes | None) -> tuple[str, ...]:
    """Return what nobody else may see of a docker config, in whichever form it is sent."""
    entries = entries_of(DOCKER_CONFIG_JSON, {".dockerconfigjson": config or b"{}"})
    return tuple(text for entry in entries.values() for text in entry.secrets)


def matches(key: str, reference: ImageReference) -> bool:
    """Say whether a config's key is meant for the reference's registry and path."""
    _, path = _parts(key)
    if not _same_host(key, reference.registry):
        return False
    repository = reference.repository
    return not path or repository == path or repository.startswith(path + "/")


def _same_host(key: str, registry: str) -> bool:
    host, _ = _parts(key)
    if registry in _HUB_NAMES:
        return host in _HUB_NAMES
    wanted, _, wanted_port = registry.partition(":")
    given, _, given_port = host.partition(":")
    if given_port != wanted_port:
        return False
    labels, patterns = wanted.split("."), given.split(".")
    if len(labels) != len(patterns):
        return False  # a `*` stands for one label, as with certificates
    return all(fnmatch.fnmatchcase(a, b) for a, b in zip(labels, patterns, strict=True))


def _parts(key: str) -> tuple[str, str]:
    """Split a key into host and path. `…/v1/` and `…/v2/` are API paths, not repositories."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    path = path.strip("/")
    return host, "" if path in ("v1", "v2") else path.removeprefix("v2/")


def _entry(value: object) -> Credential | None:
    if not isinstance(value, dict):
        return None
    username, password = _text(value, "username"), _text(value, "password")
    auth = _text(value, "auth")
    if auth:
        try:
            decoded = base64.b64decode(auth, validate=True).decode()
        except ValueError:  # no base64, or no text in it
            return None
        username, colon, password = decoded.partition(":")
        if not colon:
            return None
        password = password.strip("\x00")
    token = _text(value, "identitytoken")
    if not all(map(_can_be_sent, (username, password, token))):
        return None
    return Credential(username=username, password=password, identity_token=token)


def _can_be_sent(text: str) -> bool:
    """Say whether it has bytes: JSON can name halves of characters, which have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: dict[object, object], key: str) -> str:
    found = value.get(key, "")
    return found if isinstance(found, str) else ""


def config_for(registry: str, credential: Credential) -> bytes:
    """Return a docker config with one credential for one registry."""
    entry: dict[str, str] = {"auth": credential.pair}
    if credential.identity_token:
        entry["identitytoken"] = credential.identity_token
    # The client library looks Docker Hub up under the name that `docker login` writes.
    key = "https://index.docker.io/v1/" if registry == DEFAULT_REGISTRY else registry
    return json.dumps({"auths": {key: entry}}).encode()
