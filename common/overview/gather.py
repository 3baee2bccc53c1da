"""Reads the overview out of the tables: the one place where its numbers are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from common.model.facts import Fact, FactKind
from common.model.key import ClusterKey, WorkKey, WorkloadKey
from common.overview.circuits import described as described_circuit
from common.overview.coverage import Coverage, coverage
from common.overview.database import described
from common.overview.entries import queued
from common.overview.failures import LOOKED_AT, failures
from common.overview.generation import described as described_generation
from common.overview.lacking import Lack, grouped, named
from common.overview.overlay import described as described_settings
from common.overview.roster import RESTING, TRUE, Roster
from common.overview.tables import Tables, is_empty
from common.overview.trouble import Promises, problems
from common.overview.verified import described as described_verified
from common.overview.view import Document, Overview
from common.overview.watcher import described as described_watcher
from common.queue.contract import Lane, Totals
from common.queue.standing import Stand

# Facts that the watcher writes when the cluster told it something.
_WATCHER_FACTS: Collection[FactKind] = (
    "enqueued",
    "deduplicated",
    "relisted",
    "undecodable",
    "swept",
)
_STARTS: frozenset[FactKind] = frozenset({"started"})
# What changes between two reads of one look is a handful of keys.
_LOOKED_AGAIN = 1000
_RUNNING = 20  # told one by one
_TAIL_FACTS = 1000  # looked through for the last of them; older than these is "long ago"


def gather(
    tables: Tables, promises: Promises, *, parked: int = LOOKED_AT, whole: bool = False
) -> Overview:
    """Return the overview with at most `parked` parked keys. Raises SluiceError.

    `whole`: with every workload, and the keys that are worked on.
    """
    wanted = list(tables.rows.keys())
    measured, facts, now_s = _measure(tables, wanted), _newest(tables), tables.clock.now_s()
    queue, images = tables.queue, tables.images
    dead = failures(queue, images, state="parked", limit=max(parked, LOOKED_AT), now_s=now_s)
    delayed = failures(queue, images, state="delayed", limit=LOOKED_AT, now_s=now_s)
    document = {
        **_numbers(tables, measured, facts, now_s=now_s),
        "verified": described_verified(tables.images.verified(), now_s=now_s),
        "failures": [*dead[:LOOKED_AT], *delayed],
        "dead_reasons": dict(queue.dead_by_reason()),
    }
    found = problems(document, promises)
    return Overview(
        document={**document, "problems": [dataclasses.asdict(problem) for problem in found]},
        parked=dead[:parked],
        lacking=named(measured.lacking),
        facts=facts,
        running=_running(tables, now_s=now_s) if whole else (),
        roster=_roster(wanted, measured) if whole else None,
    )


def numbers(tables: Tables) -> dict[str, Any]:
    """Return the part of the document that needs no look at single keys. Raises SluiceError."""
    now_s = tables.clock.now_s()
    measured = _measure(tables, list(tables.rows.keys()))
    return _numbers(tables, measured, _newest(tables), now_s=now_s)


def _numbers(
    tables: Tables, measured: Coverage, facts: Sequence[Fact], *, now_s: float
) -> dict[str, Any]:
    totals, loops = tables.queue.totals(), tables.workers.loops()
    published = tables.epoch.published()
    return {
        "cluster": tables.names.cluster,
        "empty": is_empty(tables),
        "coverage": {
            "workloads": measured.workloads,
            "true": measured.true,
            "share": round(measured.share, 4),
        },
        "cluster_reports": _of_cluster(tables),
        "lacking": grouped(measured.lacking),
        "failing": measured.failing,
        "queue": _queue(tables),
        "pools": {pool: dataclasses.asdict(each) for pool, each in totals.items()},
        "paused": tables.queue.paused(),
        **_summed(totals),
        "circuits": [described_circuit(each, now_s=now_s) for each in tables.troubles()],
        "database": _database(tables, now_s),
        "trivy": _trivy(tables),
        "epoch": published.number,
        "generation": described_generation(published, loops),
        "settings": described_settings(tables.overlays.current()),
        "last_event_age_s": _age_s(facts, _WATCHER_FACTS, now_s),
        "last_start_age_s": _age_s(facts, _STARTS, now_s),
        "watcher": described_watcher(tables.leader.last()),
        "workers": [loop.name for loop in loops],
    }


def _roster(wanted: Sequence[WorkloadKey], measured: Coverage) -> Roster:
    def standing(key: WorkloadKey) -> Lack | str:
        if lack := measured.lacking.get(key):
            return lack
        return RESTING if key in measured.resting else TRUE

    return Roster((key, standing(key)) for key in wanted)


def _running(tables: Tables, *, now_s: float) -> list[Document]:
    entries = tables.queue.ls("running", _RUNNING)
    return [queued(entry, now_s=now_s) for entry in entries]


def measured_in(tables: Tables, *, limit: int) -> Coverage | None:
    """Return the coverage; None: there are more than `limit` workloads. Raises SluiceError."""
    keys = list(islice(tables.rows.keys(), limit + 1))
    return _measure(tables, keys) if len(keys) <= limit else None


def _measure(tables: Tables, keys: Sequence[WorkloadKey]) -> Coverage:
    """Return the coverage: what is wanted first, then the queue, then what settled.

    So what ends meanwhile is found as settled; only a change between two reads seems lost.
    """
    epoch = tables.epoch.current()
    wanted, stands = tables.rows.fingerprints(keys), tables.standings.all()
    found = coverage(wanted, tables.settled.all(), stands, epoch=epoch)
    if found.unqueued:
        waits = tables.standings.waiters(list(dict.fromkeys([*stands, *found.lacking])))
        found = found.explained(waits)
    return _looked_again(found, tables, epoch=epoch)


def _of_cluster(tables: Tables) -> dict[str, int]:
    """Return how many subjects of the cluster should have reports, and how many have true ones.

    What fails of them stands among the failures.
    """
    keys = [key for key in tables.rows.every() if isinstance(key, ClusterKey)]
    wanted, settled = tables.rows.fingerprints(keys), tables.settled.get_many(keys)
    true = sum(
        settled[key].outcome == "Converged" and settled[key].fingerprint == print_
        for key, print_ in wanted.items()
        if key in settled
    )
    return {"wanted": len(wanted), "true": true}


def _looked_again(found: Coverage, tables: Tables, *, epoch: int) -> Coverage:
    """Return it without what only seems to stand nowhere."""
    keys = found.unqueued[:_LOOKED_AGAIN]
    if not keys:
        return found
    wanted, held = tables.rows.fingerprints(keys), tables.queue.members(keys)
    stands: dict[WorkKey, Stand] = {
        key: Stand(state="queued") for key, is_held in zip(keys, held, strict=True) if is_held
    }
    settled = tables.settled.get_many(keys).items()
    return found.corrected(frozenset(keys), coverage(wanted, settled, stands, epoch=epoch))


def _newest(tables: Tables) -> list[Fact]:
    return [fact for _, fact in tables.ledger.tail(_TAIL_FACTS)]


def _summed(totals: Mapping[str, Totals]) -> dict[str, int]:
    return {
        "running": sum(total.running for total in totals.values()),
        "delayed": sum(total.delayed for total in totals.values()),
        "dead": sum(total.dead for total in totals.values()),
    }


def _queue(tables: Tables) -> dict[str, dict[str, dict[str, object]]]:
    result: dict[str, dict[str, dict[str, object]]] = {}
    for (pool, lane), depth in tables.queue.depth().items():
        result.setdefault(pool, {})[Lane(lane).label] = {
            "queued": depth.queued,
            "oldest_age_s": round(depth.oldest_age_s, 3),
        }
    return result


def _trivy(tables: Tables) -> dict[str, object]:
    row, trusted = tables.database.current(), tables.trust.current()
    return {
        "serving": row.trivy_version if row else None,
        "trusted": trusted.version if trusted else None,
    }


def _database(tables: Tables, now_s: float) -> dict[str, object]:
    found = described(tables.database.current(), tables.database.failed_look(), now_s=now_s)
    return {name: found[name] for name in ("version", "age_s", "checked_age_s", "failed")}


def _age_s(facts: Sequence[Fact], kinds: Collection[FactKind], now_s: float) -> float | None:
    """Return how long ago the newest fact of these kinds was; None: none is known."""
    for fact in reversed(facts):
        if fact.kind in kinds:
            return round(max(0.0, now_s - fact.at), 3)
    return None
