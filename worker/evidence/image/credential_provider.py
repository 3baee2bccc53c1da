"""Credentials from programs, as a kubelet has them: one run per image, registry or cluster.

The programs, their configuration (`CredentialProviderConfig`) and what is said over their pipes are
a kubelet's own, so a cloud registry's helper works unchanged. What they answer stays in memory for
as long as they say. Not supported: helpers that want a token of the workload's ServiceAccount.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from common.model.bounded import UNREADABLE
from common.model.errors import SettingsError, TransientError
from common.model.refs import DEFAULT_REGISTRY, ImageReference
from common.settings.formats import DURATION
from worker.evidence.image.docker_config import Credential, matches
from worker.evidence.image.helper_process import HelperError, ask

_CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1"))
_API = "credentialprovider.kubelet.k8s.io"
_API_VERSIONS = tuple(f"{_API}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_CONFIG_LIMIT_BYTES = 1024 * 1024
_TIMEOUT_S = 10.0  # a kubelet waits a minute, but it has nothing else to do
# A helper that answers by image could be asked for thousands.
_MAX_ANSWERS = 1024
# Our own settings may hold Redis' address; nobody else's program needs them.
_PRIVATE = ("SLUICE_", "OPERATOR_", "TRIVY_")


class _Variable(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class _Provider(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    match_images: tuple[str, ...]
    default_cache_duration: str
    api_version: str
    args: tuple[str, ...] | None = None
    env: tuple[_Variable, ...] | None = None
    token_attributes: dict[str, object] | None = None


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    providers: tuple[_Provider, ...]


class _Entry(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    cache_key_type: Literal["Image", "Registry", "Global"]
    cache_duration: str | None = None  # None: the configuration's
    auth: dict[str, _Entry] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One program, and the images that it is asked about."""

    name: str
    argv: tuple[str, ...]
    api_version: str
    match_images: tuple[str, ...]
    cache_s: float  # where the answer does not say
    env: Mapping[str, str] = field(repr=False)

    def serves(self, reference: ImageReference) -> bool:
        """Say whether it is asked about this image."""
        return any(matches(pattern, reference) for pattern in self.match_images)


def load(config_file: str, bin_dir: str) -> tuple[Provider, ...]:
    """Return what a CredentialProviderConfig names.

    Raises SettingsError for a file that is none, and for what is not supported.
    """
    try:
        with Path(config_file).open("rb") as file:
            text = file.read(_CONFIG_LIMIT_BYTES)
        config = msgspec.convert(yaml.safe_load(text), type=_Config)
        return _providers(config, bin_dir)
    except OSError as exc:
        raise _unusable(config_file, str(exc.strerror)) from exc
    except yaml.YAMLError as exc:
        raise _unusable(config_file, "it is no YAML") from exc
    except (ValueError, RecursionError) as exc:
        raise _unusable(config_file, str(exc)) from exc


def _unusable(path: str, why: str) -> SettingsError:
    return SettingsError(f"SLUICE_CREDENTIAL_PROVIDER_CONFIG: {path}: {why}")


def _providers(config: _Config, bin_dir: str) -> tuple[Provider, ...]:
    if config.kind != "CredentialProviderConfig" or config.api_version not in _CONFIG_VERSIONS:
        raise ValueError(f"it is a {config.kind} of {config.api_version}")
    return tuple(_provider(one, bin_dir) for one in config.providers)


def _provider(one: _Provider, bin_dir: str) -> Provider:
    if "/" in one.name or one.name in ("", ".", "..") or not one.match_images:
        raise ValueError(f"the provider {one.name!r} needs the name of a program, and matchImages")
    if one.api_version not in _API_VERSIONS:
        raise ValueError(f"the provider {one.name} speaks {one.api_version}, which is not known")
    if one.token_attributes is not None:
        raise ValueError(f"the provider {one.name} wants tokenAttributes, which is not supported")
    return Provider(
        name=one.name,
        argv=(str(Path(bin_dir) / one.name), *(one.args or ())),
        api_version=one.api_version,
        match_images=one.match_images,
        cache_s=DURATION.read(one.default_cache_duration),
        env={variable.name: variable.value for variable in one.env or ()},
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    entries: Mapping[str, Credential]
    until_s: float


class ExecProviders:
    """Asks the programs that serve an image. Thread-safe; one runs at a time."""

    def __init__(
        self,
        providers: tuple[Provider, ...],
        environ: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = providers
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith(_PRIVATE)
        }
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._lock = threading.Lock()

    def entries(self, reference: ImageReference) -> Mapping[str, Credential]:
        """Return what the programs give for the image, the first one's first.

        Raises TransientError (`CredentialProviderFailed`) when one of them fails.
        """
        found: dict[str, Credential] = {}
        for provider in self._providers:
            if provider.serves(reference):
                with self._lock:
                    entries = self._of(provider, reference)
                found = {**entries, **found}
        return found

    def _of(self, provider: Provider, reference: ImageReference) -> Mapping[str, Credential]:
        for scope in (reference.name, reference.registry, ""):
            kept = self._kept.get((provider.name, scope))
            if kept is not None and kept.until_s > self._clock():
                return kept.entries
        answer = self._ask(provider, reference)
        entries = {
            pattern: Credential(username=one.username, password=one.password)
            for pattern, one in (answer.auth or {}).items()
            if one.username or one.password
        }
        lasts_s = _seconds(answer.cache_duration, provider)
        if lasts_s > 0:
            scopes = {"Image": reference.name, "Registry": reference.registry, "Global": ""}
            self._keep((provider.name, scopes[answer.cache_key_type]), entries, lasts_s)
        return entries

    def _keep(
        self, place: tuple[str, str], entries: Mapping[str, Credential], lasts_s: float
    ) -> None:
        now = self._clock()
        self._kept = {at: kept for at, kept in self._kept.items() if kept.until_s > now}
        while len(self._kept) >= _MAX_ANSWERS:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = _Kept(entries, now + lasts_s)

    def _ask(self, provider: Provider, reference: ImageReference) -> _Answer:
        """Run the program. What it writes may be a secret: no error quotes it."""
        request = {
            "kind": "CredentialProviderRequest",
            "apiVersion": provider.api_version,
            "image": _shown(reference),
        }
        try:
            said = ask(
                provider.argv,
                msgspec.json.encode(request),
                env={**self._environ, **provider.env},
                timeout_s=_TIMEOUT_S,
            )
            answer = msgspec.json.decode(said, type=_Answer)
        except HelperError as exc:
            raise _failed(provider, str(exc)) from exc
        except UNREADABLE:
            raise _failed(provider, "its answer cannot be read") from None
        if (answer.kind, answer.api_version) != (
            "CredentialProviderResponse",
            provider.api_version,
        ):
            raise _failed(provider, "it answers another question")
        return answer


def _seconds(text: str | None, provider: Provider) -> float:
    if text is None:
        return provider.cache_s
    try:
        return DURATION.read(text)
    except ValueError:
        raise _failed(provider, "its cacheDuration is none") from None


def _shown(reference: ImageReference) -> str:
    """Return the image's name as a kubelet spells it."""
    host = "docker.io" if reference.registry == DEFAULT_REGISTRY else reference.registry
    return f"{host}/{reference.repository}"


def _failed(provider: Provider, why: str) -> TransientError:
    return TransientError(
        f"the credential provider {provider.name} failed: {why}",
        reason="CredentialProviderFailed",
    )
