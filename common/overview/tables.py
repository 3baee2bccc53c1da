"""Every table of one cluster, on one client."""

from __future__ import annotations

from dataclasses import dataclass

from common.model.redis_address import RedisAddress
from common.queue.needed import judged
from common.queue.standing import Standings
from common.queue.workqueue import WorkQueue
from common.state.circuits import CircuitTable, Trouble
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.control import Control
from common.state.database import DatabaseTable
from common.state.epoch import EpochTable
from common.state.image_briefs import BriefTable
from common.state.images import ImageTable
from common.state.leader import LeaderTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.overlays import OverlayTable
from common.state.rows import RowTable
from common.state.settled import SettledTable
from common.state.trusted import TrustTable
from common.state.workers import WorkerTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What commands and the status page read, and commands act on."""

    address: RedisAddress
    client: Client
    names: Names
    queue: WorkQueue
    standings: Standings
    rows: RowTable
    settled: SettledTable
    images: ImageTable
    briefs: BriefTable
    ledger: Ledger
    database: DatabaseTable
    epoch: EpochTable
    leader: LeaderTable
    control: Control
    clock: RedisClock
    workers: WorkerTable
    circuits: CircuitTable
    trust: TrustTable
    overlays: OverlayTable

    def troubles(self) -> list[Trouble]:
        """Return the sources in trouble; idle are those that no key waits for any more."""
        return judged(self.queue.scripts, self.circuits.troubles())


def is_empty(tables: Tables) -> bool:
    """Return whether nobody works under this name. Raises SluiceError.

    Every process of ours begins with a fact, and the watcher publishes an epoch.
    """
    return (
        not tables.ledger.tail(1)
        and tables.epoch.current() == 0
        and next(iter(tables.rows.keys()), None) is None
    )


def tables_on(client: Client, address: RedisAddress, cluster: str) -> Tables:
    """Return all tables of a key space."""
    names = Names(cluster)
    return Tables(
        address=address,
        client=client,
        names=names,
        queue=WorkQueue(client, names),
        standings=Standings(client, names),
        rows=RowTable(client, names),
        settled=SettledTable(client, names),
        images=ImageTable(client, names),
        briefs=BriefTable(client, names),
        ledger=Ledger(client, names),
        database=DatabaseTable(client, names),
        epoch=EpochTable(client, names),
        leader=LeaderTable(client, names),
        control=Control(client, names),
        clock=RedisClock(client, names),
        workers=WorkerTable(client, names),
        circuits=CircuitTable(client, names),
        trust=TrustTable(client, names),
        overlays=OverlayTable(client, names),
    )
