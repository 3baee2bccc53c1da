"""ConfigMaps, read by name: never listed, never watched."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.kube.errors import NotFoundError
from common.kube.paths import CORE, object_path
from common.kube.session import Api
from common.kube.wire import ConfigMap
from common.model.errors import SourceUnavailableError

_config_map = msgspec.json.Decoder(ConfigMap)
# Any version will do that the server has at hand: asked again and again, it need not ask its store.
_AT_HAND = (("resourceVersion", "0"),)


class ConfigMaps:
    """Those of one namespace. Thread-safe; raises an ApiError or SourceUnavailableError."""

    def __init__(self, session: Api, namespace: str) -> None:
        self._session = session
        self.namespace = namespace

    def read(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the texts of those that exist, by name."""
        found = {name: self._read(name) for name in names}
        return {name: data for name, data in found.items() if data is not None}

    def _read(self, name: str) -> dict[str, str] | None:
        path = object_path(CORE, "configmaps", namespace=self.namespace, name=name)
        try:
            body = self._session.request("GET", path, query=_AT_HAND).body
        except NotFoundError:
            return None
        try:
            return _config_map.decode(body).data or {}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise SourceUnavailableError(
                f"ConfigMap {self.namespace}/{name}: the API server's answer is none"
            ) from exc
