"""How we reach an API server: the official client's configuration, authentication and TLS.

A `Connector` loads a configuration as often as it is asked to, so that a token that was rotated, or
a plugin's certificate that ran out, is picked up by loading again. Only the client's configuration
modules are imported: its models would add 20 MB.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import ENOENT

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
_REMEDY = "correct it, give --kubeconfig, set KUBECONFIG, or run in a pod with a service account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A way to a cluster that can be walked again: the context's name, and how to load it."""

    context: str
    load: Callable[[Configuration], None]  # raises PreconditionError

    def connect(self) -> ApiClient:
        """Read the configuration afresh (files, tokens, plugins) and return a client for it.

        Raises PreconditionError, naming file, context and fault.
        """
        settings = Configuration()
        # urllib3 would sleep out a Retry-After by itself, where nothing can interrupt it, and
        # follow redirects with our token.
        settings.retries = False
        settings.keep_alive = True  # a watch is silent for a minute: the kernel looks after it
        settings.connection_pool_maxsize = _POOL_SIZE
        self.load(settings)
        if not settings.host:
            raise PreconditionError(
                f"context {self.context} names no server; {_REMEDY}", reason="NoCluster"
            )
        return ApiClient(settings)


@contextlib.contextmanager
def _loading(what: str) -> Iterator[None]:
    """Turn whatever the client's loader raises into a PreconditionError that begins with `what`."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 # the loader trusts its files: it raises anything
        raise _unusable(what, exc) from None


def _unusable(what: str, error: Exception) -> PreconditionError:
    """Return the error for a configuration that cannot be loaded; never with any of its content.

    The client's own errors name what is missing. Others quote what they stumbled over, which may be
    a token: they are not chained either.
    """
    match error:
        case ConfigException():
            # What follows is a place: for an entry of a list the client names its whole content.
            fault = shorten(str(error).partition(" in ")[0]).rstrip(".")
        case OSError(strerror=str() as words):
            fault = words
        case _:
            fault = f"it is malformed ({type(error).__name__})"
    return PreconditionError(f"{what}: {fault}; {_REMEDY}", reason="NoCluster")


def kubeconfig(path: str | None, context: str | None) -> Connector:
    """Return the way that a kubeconfig (`path`, or the default files) names.

    Raises PreconditionError if there is no such file or context, or if the file is malformed.
    """
    source = f"kubeconfig {path or KUBE_CONFIG_DEFAULT_LOCATION}"
    names: list[str] = []
    try:
        contexts, active = list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call] # ships no types
        names = [str(each["name"]) for each in contexts]
        name = str(active["name"]) if context is None else context
    except Exception as exc:  # noqa: BLE001 # the loader trusts its files: it raises anything
        if path and not _exists(path):
            raise _unusable(source, FileNotFoundError(ENOENT, "no such file")) from None
        # A file without a current context serves too, if one is named.
        if context is None or not isinstance(exc, ConfigException):
            raise _unusable(source, exc) from None
        name = context
    if names and name not in names:
        raise PreconditionError(
            f"kubeconfig has no context {name!r}; it has {', '.join(names)}", reason="NoCluster"
        )

    def load(settings: Configuration) -> None:
        with _loading(f"{source}, context {name}"):
            load_kube_config(config_file=path, context=name, client_configuration=settings)  # type: ignore[no-untyped-call] # ships no types

    return Connector(context=name, load=load)


def _exists(place: str) -> bool:
    """Return whether a file is there; unlike Path's this raises nothing, whatever is in the way."""
    return os.path.exists(os.path.expanduser(place))  # noqa: PTH110, PTH111 # as said


def in_cluster(what: str = "in-cluster") -> Connector:
    """Return the way of a pod's service account; its token file is read again every minute.

    Faults begin with `what`.
    """

    def load(settings: Configuration) -> None:
        with _loading(what):
            load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call] # ships no types

    return Connector(context="in-cluster", load=load)


def auto(path: str | None, context: str | None) -> Connector:
    """Return what kubectl would use: a kubeconfig that is named or exists, else in_cluster().

    Empty counts as not given. Raises PreconditionError if a file that is named does not exist.
    """
    places = KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    if not path and not any(map(_exists, places)):
        if KUBE_CONFIG_DEFAULT_LOCATION != _WITHOUT_KUBECONFIG:
            raise PreconditionError(
                f"KUBECONFIG names {KUBE_CONFIG_DEFAULT_LOCATION}, which does not exist; correct"
                f" it, or unset it to use {_WITHOUT_KUBECONFIG} or a pod's service account",
                reason="NoCluster",
            )
        if not context:
            return in_cluster(f"no kubeconfig at {_WITHOUT_KUBECONFIG}, and in-cluster")
    return kubeconfig(path or None, context or None)
