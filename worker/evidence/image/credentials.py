"""Which registry credentials a workload's kubelet would use, read by name and never kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from common.model.image import ImageUse


class CredentialSource(Protocol):
    """The API server's Secrets and ServiceAccounts, one by name; never a list."""

    def pull_secret(self, namespace: str, name: str) -> tuple[str, Mapping[str, bytes]]:
        """Return a Secret's type and decoded data; raises SluiceError when it cannot be read."""
        ...

    def service_account(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return the names of its imagePullSecrets; raises SluiceError when unreadable."""
        ...


class Keyring:
    """Looks up pull secrets as a kubelet does."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source

    def docker_config_for(self, use: ImageUse) -> bytes | None:
        """Return a docker `config.json` with the credentials for the use's registry, or None."""
        raise NotImplementedError
