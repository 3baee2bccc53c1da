"""Outcomes as `complete.lua` takes them, each with the fact that explains it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import msgspec
import orjson

from common.model.canonical import content_hash
from common.model.circuit import kind_of
from common.model.errors import shorten
from common.model.facts import FactKind
from common.model.image import Failure
from common.model.key import MatchKey, image_of
from common.queue.contract import (
    After,
    Claim,
    Handed,
    Hold,
    ImageUpdate,
    Outcome,
    Park,
    Retry,
    Settled,
    Tally,
    Waiting,
)
from common.state.images import pack
from common.state.names import Names
from common.state.settled import SettledRow

Done = dict[str, object]

_TALLY = re.compile(r"(\w+) ([0-9]{1,9}) ([0-9]+\.[0-9]+)", re.ASCII)

# ARGV[1] and ARGV[2] are the constants and the payload.
_FIRST_BLOB = 3


def encode_done(names: Names, claim: Claim, outcome: Outcome, blobs: list[bytes]) -> Done:
    """Return one entry of `done`; large parts go to `blobs`, which are appended to."""
    match outcome:
        case Settled():
            return _settled(names, claim, outcome, blobs)
        case Waiting() | Handed() | After():
            return _waiting(names, claim, outcome)
        case Retry():
            return _retry(names, claim, outcome, blobs)
        case Hold():
            return _hold(names, claim, outcome, blobs)
        case Park():
            return _park(names, claim, outcome, blobs)
        case _:
            assert_never(outcome)


def encode_release(names: Names, claim: Claim) -> Done:
    """Return the entry that gives a claim back."""
    entry = _entry(names, claim, "release", "released", {"why": "not started"})
    return entry | {"what": "not_started"}


def encode_discard(job: str, token: str) -> Done:
    """Return the entry that ends the claim of an id that names no key."""
    data = orjson.dumps({"why": "names no key"}).decode()
    entry: Done = {"id": job, "key": job, "token": token, "op": "wait", "kind": "released"}
    return entry | {"data": data, "what": "no_key"}


def _entry(names: Names, claim: Claim, op: str, kind: FactKind, data: Mapping[str, object]) -> Done:
    return {
        "id": names.job_id(claim.key),
        "key": str(claim.key),
        "token": str(claim.token),
        "op": op,
        "kind": kind,
        "data": orjson.dumps(dict(data)).decode(),
    }


def _settled(names: Names, claim: Claim, outcome: Settled, blobs: list[bytes]) -> Done:
    entry = _entry(names, claim, "settle", "converged", {"outcome": outcome.outcome})
    if isinstance(claim.key, MatchKey) and outcome.image is None:
        return entry | {"rests": True}
    if image_of(claim.key) is not None:
        return entry | {"image": _image(outcome.image or ImageUpdate(), blobs)}
    if outcome.outcome == "Gone":
        return entry | {"gone": True}
    row = SettledRow(
        fingerprint=outcome.fingerprint,
        epoch=outcome.epoch,
        outcome=outcome.outcome,
        reports=dict(outcome.reports),
    )
    return entry | {"settled": msgspec.json.encode(row).decode()}


def _waiting(names: Names, claim: Claim, outcome: Waiting | Handed | After) -> Done:
    match outcome:
        case Waiting(on=on):
            return _entry(names, claim, "wait", "waiting", {"on": on})
        case Handed(to=to, reason=reason):
            data = {"on": str(to), "reason": reason}
            entry = _entry(names, claim, "hand", "waiting", data)
            lane, cause = int(claim.lane), f"{reason} {claim.key}"
            return entry | {"to": str(to), "lane": lane, "cause": cause}
        case After(delay_s=delay_s, reason=reason):
            later = {"reason": reason, "delay_s": round(delay_s, 3)}
            entry = _entry(names, claim, "after", "waiting", later)
            return entry | {"delay_s": delay_s, "reason": reason}
        case _:
            assert_never(outcome)


def _retry(names: Names, claim: Claim, outcome: Retry, blobs: list[bytes]) -> Done:
    message = shorten(outcome.message)
    data = {
        "reason": outcome.reason,
        "message": message,
        "attempt": claim.attempts + 1,
        "delay_s": round(outcome.delay_s, 3),
        **_class(outcome),
    }
    entry = _entry(names, claim, "retry", "retried", data)
    entry |= {
        "delay_s": outcome.delay_s,
        "reason": outcome.reason,
        "message": message,
        "budget": outcome.budget,
        "what": outcome.budget,
    }
    return entry if outcome.image is None else entry | {"image": _image(outcome.image, blobs)}


def _class(outcome: Retry | Park) -> dict[str, str]:
    """Return the error class for the fact, where the reason does not say it already."""
    return {} if outcome.budget == outcome.reason else {"class": outcome.budget}


def _hold(names: Names, claim: Claim, outcome: Hold, blobs: list[bytes]) -> Done:
    message = shorten(outcome.message)
    data = {
        "source": outcome.source,
        "reason": outcome.reason,
        "message": message,
        "delay_s": round(outcome.delay_s, 3),
    }
    entry = _entry(names, claim, "hold", "held", data)
    entry |= {
        "delay_s": outcome.delay_s,
        "reason": outcome.reason,
        "message": message,
        "source": outcome.source,
        "asked": outcome.asked,
        "what": kind_of(outcome.source),
    }
    return entry if outcome.image is None else entry | {"image": _image(outcome.image, blobs)}


def _park(names: Names, claim: Claim, outcome: Park, blobs: list[bytes]) -> Done:
    message = shorten(outcome.message)
    data = {
        "reason": outcome.reason,
        "message": message,
        "attempts": claim.attempts + 1,
        **_class(outcome),
    }
    entry = _entry(names, claim, "park", "parked", data)
    entry |= {
        "reason": outcome.reason,
        "message": message,
        "budget": outcome.budget,
        "what": outcome.budget,
        "probe_after_s": outcome.probe_after_s,
    }
    return entry | _parked_image(claim, outcome, blobs)


def _parked_image(claim: Claim, outcome: Park, blobs: list[bytes]) -> Done:
    """Leave the reason in the image's record, always: its waiters are woken to read it."""
    if image_of(claim.key) is None:
        return {}
    update = outcome.image or ImageUpdate()
    if update.failure is None:
        failure = Failure(
            reason=outcome.reason, message=outcome.message, at=0.0, attempts=claim.attempts + 1
        )
        update = replace(update, failure=failure)
    return {"image": _image(update, blobs)}


def _image(update: ImageUpdate, blobs: list[bytes]) -> dict[str, object]:
    image: dict[str, object] = {"inventory": 0, "match": 0, "ih": "", "fh": "", "failure": ""}
    image |= {"layers": "", "db": "", "of": update.of}
    if update.inventory is not None:
        blobs.append(pack(update.inventory))
        image["inventory"] = _FIRST_BLOB + len(blobs) - 1
        image["ih"] = content_hash(msgspec.to_builtins(update.inventory))
        image["layers"] = msgspec.json.encode(update.inventory.layers).decode()
    if update.match is not None:
        blobs.append(pack(update.match))
        image["match"] = _FIRST_BLOB + len(blobs) - 1
        image["fh"] = update.match.findings_hash
        image["db"] = update.match.db_version
    if update.failure is not None:
        failure = {
            "reason": update.failure.reason,
            "message": shorten(update.failure.message),
            "attempts": update.failure.attempts,
        }
        if update.failure.detail:
            failure |= {
                "detail": shorten(update.failure.detail),
                "whose": update.failure.whose,
            }
        image["failure"] = orjson.dumps(failure).decode()[1:]  # the script puts the time in front
    return image


def decode_tallies(text: str) -> dict[str, Tally]:
    """Return what `claim.lua` says about failed runs: `<budget> <failures> <seconds waited>;…`.

    What does not read so was written by hand, and counts as no failure.
    """
    found = (_TALLY.fullmatch(entry) for entry in text.split(";"))
    return {
        entry[1]: Tally(failures=int(entry[2]), waited_s=float(entry[3]))
        for entry in found
        if entry is not None
    }
