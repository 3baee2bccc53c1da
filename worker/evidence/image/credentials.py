"""Which registry credentials a workload's kubelet would use, read by name and never kept."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from common.model.errors import (
    BadReferenceError,
    GoneError,
    ImageNotFoundError,
    SluiceError,
    TerminalError,
    TransientError,
    UnauthorizedError,
)
from common.model.image import ImageUse
from common.model.refs import ImageReference, parse_reference
from common.model.workload import MOST_PULL_SECRETS
from worker.evidence.image.access import Accesses
from worker.evidence.image.docker_config import Credential, configs_for, entries_of

# In one run: each refusal costs the registry a request or two, and us a second. A retry begins with
# other ones.
MAX_TRIES = 8
# What another credential, or another name of the image, may change.
REFUSALS = (UnauthorizedError, ImageNotFoundError, BadReferenceError)

T = TypeVar("T")
R = TypeVar("R")


class CredentialSource(Protocol):
    """The API server's Secrets and ServiceAccounts, one by name; never a list."""

    def pull_secret(self, namespace: str, name: str) -> tuple[str, Mapping[str, bytes]] | None:
        """Return a Secret's type and decoded data; None if there is none."""
        ...

    def service_account(self, namespace: str, name: str) -> tuple[str, ...] | None:
        """Return the names of the pull secrets that the account lends; None if it is gone."""
        ...


class Providers(Protocol):
    """Whoever else gives credentials for images, as a node's plugins do."""

    def entries(self, reference: ImageReference) -> Mapping[str, Credential]:
        """Return entries by their key, as a pull secret has them; raises TransientError."""
        ...


class NoProviders:
    """No plugins."""

    def entries(self, reference: ImageReference) -> Mapping[str, Credential]:
        """Give nothing."""
        del reference
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringConfig:
    """The settings that say whose credentials count."""

    accesses: Accesses
    # Pull secrets by namespace that an administrator adds. Those of a namespace serve its own
    # workloads, those of the operator's own serve all.
    shared: Mapping[str, tuple[str, ...]]
    operator_namespace: str
    workload_secrets: bool = True  # False: those of workloads and of their accounts are not read


class Keyring:
    """Looks up credentials as a kubelet does. Thread-safe if its sources are."""

    def __init__(
        self,
        source: CredentialSource,
        config: KeyringConfig,
        providers: Providers | None = None,
    ) -> None:
        self._source = source
        self._config = config
        self._providers = providers or NoProviders()

    def candidates(self, use: ImageUse) -> Iterator[bytes | None]:
        """Give a docker `config.json` for each credential that may serve the use, best first.

        The last is None: anonymous, for a public image that a kubelet had before its secret went
        stale. Each is looked up when the one before was refused. Matched against the name that is
        asked for, so a mirror never gets the credential of what it mirrors.

        Raises BadReferenceError when the use's reference is none, what the source raises when the
        API server does not answer (pulling without the credential would prove nothing), and last
        what the providers raised.
        """
        access = self._config.accesses.of(parse_reference(use.reference))
        asked = parse_reference(access.mirrored_name)
        given: set[bytes] = set()
        fault: SluiceError | None = None
        for entries in self._secrets(use):
            yield from _new(configs_for(asked, [entries]), given)
        try:
            plugged = self._providers.entries(asked)
        except SluiceError as error:
            fault, plugged = error, {}
        yield from _new(configs_for(asked, [plugged]), given)
        yield None
        if fault is not None:
            raise fault

    def _secrets(self, use: ImageUse) -> Iterator[Mapping[str, Credential]]:
        """Yield the entries of the pod's secrets, then the account's, then the administrator's.

        Missing, broken and forbidden ones are skipped.
        """
        read: set[tuple[str, str]] = set()
        for place in self._places(use):
            if place in read:
                continue
            read.add(place)
            with contextlib.suppress(TerminalError, GoneError):
                found = self._source.pull_secret(*place)
                if found is not None:
                    yield entries_of(*found)

    def _places(self, use: ImageUse) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of each secret; the account is read when the pod's are spent."""
        config = self._config
        if config.workload_secrets:
            yield from ((use.namespace, name) for name in use.pull_secrets[:MOST_PULL_SECRETS])
            lent: tuple[str, ...] = ()
            with contextlib.suppress(TerminalError, GoneError):
                lent = self._source.service_account(use.namespace, use.service_account) or ()
            yield from ((use.namespace, name) for name in lent[:MOST_PULL_SECRETS])
            yield from ((use.namespace, name) for name in config.shared.get(use.namespace, ()))
        operator = config.operator_namespace
        yield from ((operator, name) for name in config.shared.get(operator, ()))


def _new(configs: Iterable[bytes], given: set[bytes]) -> Iterator[bytes]:
    for config in configs:
        if config not in given:
            given.add(config)
            yield config


def is_refusal(error: SluiceError) -> bool:
    """Say whether another credential, or another name of the image, may fare better."""
    return isinstance(error, REFUSALS)


def first_taken(
    candidates: Iterable[T],
    attempt: Callable[[T], R],
    *,
    has_credential: Callable[[T], bool],
    passes: Callable[[SluiceError], bool] = is_refusal,
) -> R:
    """Return what the first of at most `MAX_TRIES` candidates gives that is not refused.

    Raises the most telling refusal, the first of equals: what may be over soon, if anything may.
    Errors that do not `passes` on to the next candidate are raised at once.
    """
    refusals: list[tuple[int, SluiceError]] = []
    for candidate in itertools.islice(candidates, MAX_TRIES):
        try:
            return attempt(candidate)
        except SluiceError as error:
            if not passes(error):
                raise
            refusals.append((_telling(error, has_credential=has_credential(candidate)), error))
    if not refusals:
        raise ImageNotFoundError("nobody names the image any more")
    raise max(refusals, key=lambda one: one[0])[1]


def _telling(error: SluiceError, *, has_credential: bool) -> int:
    """Rank a refusal: who was let in and found nothing knows more than who was not let in."""
    if isinstance(error, TransientError):
        return 3
    if isinstance(error, BadReferenceError):
        return 0
    return 2 if isinstance(error, ImageNotFoundError) and has_credential else 1
