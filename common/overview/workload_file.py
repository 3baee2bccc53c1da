"""Everything that Redis knows of one workload, as its page and its JSON show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from common.model.facts import Fact
from common.model.key import WorkKey, WorkloadKey
from common.model.workload import Fingerprint, WorkloadRow
from common.overview.ages import since
from common.overview.catalogue import catalogue_of
from common.overview.coverage import coverage
from common.overview.entries import queued
from common.overview.lacking import Lack
from common.overview.outages import concerning
from common.overview.roster import RESTING, TRUE, said
from common.overview.story import sentence
from common.overview.tables import Tables
from common.overview.view import Document
from common.queue.contract import Entry
from common.queue.standing import Stand
from common.state.settled import SettledRow

_ROWS = 100  # of containers and images; a Pod may have a thousand
_FACTS = 50
# How far back a story is looked for: all 200,000 would take seconds.
REACH_FACTS = 10_000

_NO_ROW = {
    "containers": [],
    "containers_total": 0,
    "current": True,
    "owner": "",
    "service_account": "",
    "skip": "",
    "successor": "",
}


def workload_file(tables: Tables, key: WorkloadKey) -> dict[str, Any]:
    """Return the document; `known` is False where nothing is on record. Raises SluiceError."""
    now_s, known = tables.clock.now_s(), tables.rows.get(key)
    settled, entry = tables.settled.get(key), tables.queue.entry(key)
    used = tables.images.used_by(key)
    facts = story(tables, key)
    state, reason = _state(tables, key, known, settled, entry)
    return {
        "key": str(key),
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "known": known is not None or bool(facts) or entry is not None,
        "exists": known is not None,
        "state": state,
        "reason": reason,
        "why": said(state, reason) if state else "",
        **(_row(known[0]) if known else _NO_ROW),
        "settled": _settled(settled, known, now_s=now_s),
        "queue": queued(entry, now_s=now_s) if entry is not None else None,
        "images": [
            one.document(now_s=now_s)
            for one in catalogue_of(tables.images, tables.briefs, used[:_ROWS])
        ],
        "images_total": len(used),
        "facts": facts,
    }


def story(tables: Tables, key: WorkKey) -> list[Document]:
    """Return a key's newest facts in sentences, newest first."""
    found = tables.ledger.story(str(key), _FACTS, reach=REACH_FACTS)
    return [told(fact) for fact in reversed(concerning(found, limit=_FACTS))]


def told(fact: Fact) -> Document:
    """Return what JSON shows of a fact."""
    return {"at": fact.at, "kind": fact.kind, "key": fact.key, "said": sentence(fact)}


def _row(row: WorkloadRow) -> Document:
    containers = [msgspec.to_builtins(one) for one in row.containers[:_ROWS]]
    top = f"{row.top_kind}/{row.namespace}/{row.top_name}" if row.top_name else ""
    return {
        "containers": containers,
        "containers_total": len(row.containers),
        "current": row.current,
        "owner": "" if top == row.key.shown else top,
        "service_account": row.service_account,
        "skip": row.skip,
        "successor": row.successor,
    }


def _settled(
    row: SettledRow | None, known: tuple[WorkloadRow, Fingerprint] | None, *, now_s: float
) -> Document | None:
    if row is None:
        return None
    return {
        "outcome": row.outcome,
        "age_s": since(row.at or None, now_s=now_s),
        "epoch": row.epoch,
        "as_it_is_now": known is not None and row.fingerprint == known[1],
        "reports": sorted(row.reports),
    }


def _state(
    tables: Tables,
    key: WorkloadKey,
    known: tuple[WorkloadRow, Fingerprint] | None,
    settled: SettledRow | None,
    entry: Entry | None,
) -> tuple[str, str]:
    """Return the word that the list of workloads has for it, with the reason."""
    if known is None:
        return "", ""
    stands: dict[WorkKey, Stand] = {key: _stand(entry)} if entry is not None else {}
    ends: Sequence[tuple[WorkKey, SettledRow]] = [(key, settled)] if settled is not None else []
    found = coverage({key: known[1]}, ends, stands, epoch=tables.epoch.current())
    if found.unqueued:
        successor = _successor(known[0])
        maybe: list[WorkKey] = [*tables.images.used_by(key), *([successor] if successor else [])]
        found = found.explained(tables.standings.waiters(maybe))
    lack = found.lacking.get(key)
    if isinstance(lack, Lack):
        return lack.why, lack.reason
    return (RESTING if key in found.resting else TRUE), ""


def _successor(row: WorkloadRow) -> WorkloadKey | None:
    if not row.successor:
        return None
    return WorkloadKey(kind=row.kind, namespace=row.namespace, name=row.successor)


def _stand(entry: Entry) -> Stand:
    states = {"queued": "queued", "running": "running", "delayed": "delayed", "parked": "parked"}
    return Stand(
        state=states.get(entry.state, "queued"),  # type: ignore[arg-type] # a value of the literal
        reason=entry.reason,
        source=entry.source,
        failed=entry.failed,
    )
