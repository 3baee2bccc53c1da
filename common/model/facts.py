"""Facts: what happened, one value each; counters, `status` and `history` are folds of them.

Wire format v1, one Redis stream entry: fields `kind`, `key` and `data` (JSON), the entry's id gives
the time. A fact holds names, hashes and reasons, never a body or a secret. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import orjson

FactKind: TypeAlias = Literal[
    "enqueued",  # data: lane, cause
    "deduplicated",
    "claimed",  # data: worker, attempt
    "converged",  # data: outcome, written, unchanged, seconds
    "waiting",  # data: on (key), or reason and delay_s
    "retried",  # data: reason, message, attempt, delay_s, class (where it is not the reason)
    "held",  # a source is at fault; data: source, reason, message, delay_s
    "parked",  # data: reason, message, attempts, class (as above); the slow probe revives
    "released",  # a shutdown or a lease that expired
    "inventoried",  # data: seconds, packages, secrets, reference
    "matched",  # data: db_version, findings, changed
    "written",  # data: report (Kind/namespace/name), how (created|replaced|stamped|deleted), bytes
    "refused",  # a completion or table write with an old token, fence or epoch
    "swept",  # data: workloads, reports, enqueued, seconds
    "relisted",  # data: resource, reason
    "undecodable",  # data: resource, name
    "database",  # data: version, previous
    "circuit",  # data: source, state (open|probing|closed), reason, failures, wait_s
    "started",  # data: component, version
]
FACT_KINDS: tuple[str, ...] = get_args(FactKind)

# The end of year 9999: an entry's id may be chosen by hand.
_LAST_MS = 253_402_300_799_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened to `key` (wire form; empty: to no key in particular)."""

    kind: FactKind
    key: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    at: float = 0.0  # Unix seconds by Redis' clock; 0 until it is stored


def encode_fact(fact: Fact) -> dict[str, bytes]:
    """Return the fields of the stream entry."""
    return {
        "kind": fact.kind.encode(),
        "key": fact.key.encode(),
        "data": orjson.dumps(dict(fact.data)),
    }


def decode_fact(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Fact:
    """Return the fact of a stream entry.

    Raises ValueError for an unknown kind, for data that is no JSON object, and for a time that no
    calendar has.
    """
    kind = fields[b"kind"].decode()
    if kind not in FACT_KINDS:
        raise ValueError(f"unknown fact kind {kind!r}: written by a newer version?")
    data = orjson.loads(fields[b"data"])
    if not isinstance(data, dict):
        raise ValueError(f"fact {kind} carries no object")
    at_ms = int(entry_id.partition(b"-")[0])
    if at_ms > _LAST_MS:
        raise ValueError(f"fact {kind} is of no time: {at_ms} ms")
    return Fact(
        kind=kind,  # type: ignore[arg-type] # checked against the literal's values above
        key=fields[b"key"].decode(),
        data=data,
        at=at_ms / 1000,
    )
