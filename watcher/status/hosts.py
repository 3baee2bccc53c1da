"""Whom a request may take us for. Pure.

Somebody's page may make a browser ask us under a name of its own that leads to our address (DNS
rebinding), and so read what stands here. Such a name is a public one: addresses, names without a
dot and the cluster's own names lead to us alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

ANY = "*"
_OURS = (".localhost", ".svc", ".cluster.local")


def is_ours(host: str, names: Collection[str]) -> bool:
    """Return whether a `Host` header may name us; `names`: others that do, `*` for all.

    Without the header it is no browser that asks.
    """
    name = _name(host)
    if not name or "." not in name or _is_address(name) or name.endswith(_OURS):
        return True
    return ANY in names or name in {each.lower().rstrip(".") for each in names}


def _name(host: str) -> str:
    """Return the header without its port."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
