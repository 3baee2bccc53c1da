"""Opens the tables of one cluster for a command: which Redis, which cluster, does it answer.

Without SLUICE_REDIS_URL a command finds the Valkey of a running `sluice run` through the note that
it leaves in the data folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import redis

from common.kube.cluster import Cluster
from common.kube.identity import key_space
from common.kube.session import Session
from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.model.redis_address import RedisAddress, parse_redis_url
from common.ops.refusals import arranged_first
from common.overview.tables import Tables, is_empty, tables_on
from common.overview.trouble import empty_key_space
from common.settings.value import Settings
from common.state.arrival import client_for
from common.state.connect import redis_errors

CLIENT_NAME = "sluice-cli"  # as CLIENT LIST shows us


class RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `sluice run` leaves in its data folder while it runs."""

    pid: int
    redis_url: str  # never with a password: it is written for the embedded Valkey only
    cluster: str
    context: str = ""
    settings: dict[str, str] = {}  # what it was told, without what may be secret


@contextlib.contextmanager
def open_tables(settings: Settings) -> Iterator[Tables]:
    """Yield the tables of the cluster that the settings mean.

    Raises PreconditionError, naming URL and remedy, if no Redis is known or it does not answer.
    """
    note = read_note(settings.ops.data_dir)
    address = redis_address(settings, note)
    with contextlib.closing(client_for(settings.redis, address, name=CLIENT_NAME)) as client:
        require_answer(client, address)
        embedded = settings.redis.address is None
        cluster = settings.redis.cluster or (note.cluster if note and embedded else "")
        yield tables_on(client, address, cluster or cluster_name(settings))


def require_use(tables: Tables) -> None:
    """Raise PreconditionError if nobody works under this name.

    For commands that write: a wrong name would be told as done, and what was written stays behind.
    """
    if is_empty(tables):
        problem = empty_key_space(tables.names.cluster)
        raise PreconditionError(f"{problem.said}; {problem.remedy}")


def require_answer(client: redis.Redis, address: RedisAddress) -> None:
    """Raise PreconditionError with the remedy unless Redis answers."""
    try:
        with redis_errors(address):
            client.ping()
    except SourceUnavailableError as exc:
        raise PreconditionError(
            f"{exc}; start it, or set SLUICE_REDIS_URL to the Redis that watcher and workers use"
        ) from exc


def redis_address(settings: Settings, note: RunNote | None) -> RedisAddress:
    """Return the Redis that is meant: the one that is set, else that of a running `sluice run`."""
    if settings.redis.address is not None:
        return settings.redis.address
    if note is None:
        raise PreconditionError(
            "SLUICE_REDIS_URL is not set and no `sluice run` is at work with the data folder "
            f"{settings.ops.data_dir}; set SLUICE_REDIS_URL, or SLUICE_DATA_DIR to its folder"
        )
    return parse_redis_url(note.redis_url)


def cluster_name(settings: Settings) -> str:
    """Return the key space's name: as set, else from the cluster's identity."""
    if settings.redis.cluster:
        return settings.redis.cluster
    try:
        with contextlib.closing(open_session(settings)) as session:
            return key_space(Cluster(session))
    except SluiceError as exc:
        told = arranged_first(exc)
        if not isinstance(told, SourceUnavailableError | PreconditionError):
            raise
        raise PreconditionError(f"{told}; or set SLUICE_CLUSTER to the key space's name") from exc


def open_session(settings: Settings) -> Session:
    """Return a session with the cluster that the settings mean. Raises PreconditionError."""
    return Session.auto(settings.kube.kubeconfig, settings.kube.context)


def note_path(data_dir: str) -> Path:
    """Return where `sluice run` leaves its note."""
    return Path(data_dir, "run.json")


def read_note(data_dir: str) -> RunNote | None:
    """Return the note of a `sluice run` that is alive, None if there is none."""
    try:
        note = msgspec.json.decode(note_path(data_dir).read_bytes(), type=RunNote)
        os.kill(note.pid, 0)
    except (OSError, msgspec.MsgspecError):
        return None
    return note
