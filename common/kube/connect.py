"""How we reach an API server: the official client's configuration, authentication and TLS.

A `Connector` loads a configuration as often as it is asked to, so that a token that was rotated, or
a plugin's certificate that ran out, is picked up by loading again. Only the client's configuration
modules are imported: its models would add 20 MB.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from common.model.errors import PreconditionError, shorten

# Idle connections that are kept: 12 watches and a full pool of worker threads, with room.
_POOL_SIZE = 64
_WITHOUT_KUBECONFIG = "~/.kube/config"  # where the client looks when the variable is not set
_REMEDY = "give --kubeconfig, set KUBECONFIG, or run in a pod with a service account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A way to a cluster that can be walked again: the context's name, and how to load it."""

    context: str
    load: Callable[[Configuration], None]

    def connect(self) -> ApiClient:
        """Read the configuration afresh (files, tokens, plugins) and return a client for it.

        Raises PreconditionError, naming the context and the fault.
        """
        settings = Configuration()
        # urllib3 would sleep out a Retry-After by itself, where nothing can interrupt it, and
        # follow redirects with our token.
        settings.retries = False
        settings.keep_alive = True  # a watch is silent for a minute: the kernel looks after it
        settings.connection_pool_maxsize = _POOL_SIZE
        try:
            self.load(settings)
        except (ConfigException, OSError, ValueError) as exc:
            raise PreconditionError(
                f"context {self.context}: {_fault(exc)}; {_REMEDY}", reason="NoCluster"
            ) from exc
        return ApiClient(settings)


def _fault(error: Exception) -> str:
    """Return the client's words as the first half of a sentence of ours."""
    return shorten(str(error)).rstrip(".")


def kubeconfig(path: str | None, context: str | None) -> Connector:
    """Return the way that a kubeconfig (`path`, or the default files) names.

    Raises PreconditionError if there is no such file or context.
    """
    try:
        contexts, active = list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call] # ships no types
    except (ConfigException, OSError, ValueError) as exc:
        if context is None:  # else: a file without a current context serves too
            fault = "no such file" if path and not Path(path).exists() else _fault(exc)
            raise PreconditionError(
                f"kubeconfig {path or KUBE_CONFIG_DEFAULT_LOCATION}: {fault}; {_REMEDY}",
                reason="NoCluster",
            ) from exc
        contexts, active = [], {"name": context}
    names = [str(each["name"]) for each in contexts]
    name = str(active["name"]) if context is None else context
    if names and name not in names:
        raise PreconditionError(
            f"kubeconfig has no context {name!r}; it has {', '.join(names)}", reason="NoCluster"
        )

    def load(settings: Configuration) -> None:
        load_kube_config(config_file=path, context=name, client_configuration=settings)  # type: ignore[no-untyped-call] # ships no types

    return Connector(context=name, load=load)


def in_cluster() -> Connector:
    """Return the way of a pod's service account; its token file is read again every minute."""

    def load(settings: Configuration) -> None:
        load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call] # ships no types

    return Connector(context="in-cluster", load=load)


def auto(path: str | None, context: str | None) -> Connector:
    """Return what kubectl would use: a kubeconfig that is named or exists, else in_cluster().

    Empty counts as not given. Raises PreconditionError if a file that is named does not exist.
    """
    places = KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    if not path and not any(Path(place).expanduser().exists() for place in places):
        if KUBE_CONFIG_DEFAULT_LOCATION != _WITHOUT_KUBECONFIG:
            raise PreconditionError(
                f"KUBECONFIG names {KUBE_CONFIG_DEFAULT_LOCATION}, which does not exist; correct"
                f" it, or unset it to use {_WITHOUT_KUBECONFIG} or a pod's service account",
                reason="NoCluster",
            )
        if not context:
            return in_cluster()
    return kubeconfig(path or None, context or None)
