"""Which registry credentials a workload's kubelet would use, read by name and never kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from common.model.errors import GoneError, TerminalError
from common.model.image import ImageUse
from common.model.refs import parse_reference
from worker.evidence.image.docker_config import configs_for, entries_of


class CredentialSource(Protocol):
    """The API server's Secrets and ServiceAccounts, one by name; never a list."""

    def pull_secret(self, namespace: str, name: str) -> tuple[str, Mapping[str, bytes]] | None:
        """Return a Secret's type and decoded data; None if there is none."""
        ...

    def service_account(self, namespace: str, name: str) -> tuple[str, ...] | None:
        """Return the names of the pull secrets that the account lends; None if it is gone."""
        ...


class Keyring:
    """Looks up pull secrets as a kubelet does. Thread-safe if its source is."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source

    def docker_config_for(self, use: ImageUse) -> bytes | None:
        """Return a docker `config.json` with the credential to try first, or None: anonymous.

        Raises BadReferenceError when the use's reference is none, and what the source raises when
        the API server does not answer: pulling without the credential would prove nothing.
        """
        return next(iter(self.candidates(use)), None)

    def candidates(self, use: ImageUse) -> tuple[bytes, ...]:
        """Return one config per credential that may serve the use, best first.

        A kubelet tries one after the other; so may a caller whom the registry refused.
        """
        reference = parse_reference(use.reference)
        sources = [entries_of(secret_type, data) for secret_type, data in self._secrets(use)]
        return configs_for(reference, sources)

    def _secrets(self, use: ImageUse) -> Iterator[tuple[str, Mapping[str, bytes]]]:
        """Yield the pod's secrets, then the account's; missing and forbidden ones are skipped."""
        for name in self._names(use):
            with contextlib.suppress(TerminalError, GoneError):
                found = self._source.pull_secret(use.namespace, name)
                if found is not None:
                    yield found

    def _names(self, use: ImageUse) -> list[str]:
        names = list(use.pull_secrets)
        with contextlib.suppress(TerminalError, GoneError):
            names += self._source.service_account(use.namespace, use.service_account) or ()
        return list(dict.fromkeys(names))
