"""Names in the environment that mean no setting, and which one may be meant. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from common.settings.table import BY_NAME, PREFIX

# Kubernetes and old Docker add these for every Service whose name begins with "sluice".
_SERVICE_LINK = re.compile(
    r"SLUICE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"SLUICE_(?:\w+_)?PORT")
_LINK_VALUE = re.compile(r"(?:tcp|udp|sctp)://")
_CLOSE = 0.75  # difflib's ratio; lower suggests names that share little but the prefix


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Name the variables that look like ours and are none of them."""
    names = [name for name in environ if name.startswith(PREFIX) and name not in BY_NAME]
    return [
        f"{name} is not a setting{_hint(name)}"
        for name in names
        if not _is_service_link(name, environ[name])
    ]


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """Name the OPERATOR_ variables that look like one of trivy-operator's; others are not ours."""
    names = [name for name in environ if name.startswith("OPERATOR_") and name not in BY_NAME]
    return [f"{name} is not a setting{_hint(name)}" for name in sorted(names) if _hint(name)]


def _hint(name: str) -> str:
    close = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]}?" if close else ""


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    return bool(_SERVICE_PORT.fullmatch(name)) and bool(_LINK_VALUE.match(value))
