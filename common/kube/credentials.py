"""Pull secrets and service accounts, read by name, never listed, watched or kept."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from common.kube.errors import NotFoundError
from common.kube.paths import CORE, object_path
from common.kube.session import Api
from common.kube.wire import Secret, ServiceAccount

_secret = msgspec.json.Decoder(Secret)
_account = msgspec.json.Decoder(ServiceAccount)


class PullSecret(NamedTuple):
    """A Secret's type and its data with base64 decoded. Its repr shows neither."""

    type: str
    data: dict[str, bytes]

    def __repr__(self) -> str:
        return "PullSecret(…)"


class Credentials:
    """What tenants lend for pulling. Thread-safe; raises an ApiError or SourceUnavailableError."""

    def __init__(self, session: Api) -> None:
        self._session = session

    def pull_secret(self, namespace: str, name: str) -> PullSecret | None:
        """Return the Secret; None if there is none, which is common: names may come first."""
        path = object_path(CORE, "secrets", namespace=namespace, name=name)
        try:
            found = _secret.decode(self._session.request("GET", path).body)
        except NotFoundError:
            return None
        return PullSecret(type=found.type, data=found.data or {})

    def service_account(self, namespace: str, name: str) -> tuple[str, ...] | None:
        """Return the names of the pull secrets that the account lends; None if it is gone."""
        path = object_path(CORE, "serviceaccounts", namespace=namespace, name=name)
        try:
            found = _account.decode(self._session.request("GET", path).body)
        except NotFoundError:
            return None
        return tuple(each.name for each in found.image_pull_secrets or () if each.name)
