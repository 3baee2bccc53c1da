"""Builds a watcher's seat: the Lease that it stands for, or none where there is no election."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TypeAlias

from prometheus_client import CollectorRegistry

from common.kube.lease import Lease, LeasePlace, lease_place
from common.kube.session import Api
from common.settings.value import Settings
from watcher.alone import Alone
from watcher.ballot import Pace
from watcher.candidate import Candidate
from watcher.metrics import ElectionMetrics
from watcher.pulse import Pulse

Seat: TypeAlias = Candidate | Alone


def place_of(settings: Settings) -> LeasePlace | None:
    """Return where the Lease stands; None: there is no election."""
    if not settings.pipeline.leader_election:
        return None
    return lease_place(settings.scope.operator_namespace, settings.redis.cluster)


def own_identity() -> str:
    """Return who this process is: host (in a cluster the Pod's name), process id, and a nonce.

    A Pod that is started again keeps its host name and its process id, and must not take itself
    for the one before.
    """
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:12]}"


def seat_of(
    settings: Settings, api: Api, *, me: str, registry: CollectorRegistry, pulse: Pulse
) -> Seat:
    """Return the seat of a watcher; it stands once it is entered. `me` is its `own_identity`."""
    place = place_of(settings)
    if place is None:
        return Alone()
    pace = Pace(lease_s=settings.pipeline.leader_lease_s)
    lease = Lease(api, place, request_s=pace.request_s)
    return Candidate(lease, ElectionMetrics(registry), me=me, pace=pace, pulse=pulse)
