"""The ledger told in sentences: one fact, one sentence.

Pure, total: a fact of a newer version, with data that is missing or odd, is told as far as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from common.model.facts import Fact, FactKind
from common.model.key import ImageKey, WorkKey, image_of, parse_key
from common.overview.words import age, counted

Data = Mapping[str, Any]

# `sha256:` and 12 more: `history` and `rescan` take such a beginning, and a line stays a line.
_DIGEST_CHARACTERS = 19
# The watcher's words for why a key is queued. A word of a newer version is told as it is.
_CAUSES = {
    "RowChanged": "the workload changed",
    "NeverSettled": "no run of it has ended yet",
    "EpochChanged": "what reports hold changed (settings or version)",
    "ReferenceDue": "no kubelet runs its image, so the registry is asked once a day",
    "Undecodable": "the object could not be read",
    "ReportDeleted": "a report of it was deleted",
    "ReportMissing": "a report of it is missing",
    "ReportChanged": "a report of it is not the one that was written",
    "ReportEdited": "somebody edited a report of it",
    "ReportNoStamp": "a report of it was not written by us",
    "ReportForeignOwner": "a report of it belongs to another object, or to one that is gone",
    "DatabaseOlder": "its findings are older than the vulnerability database in use",
    "ImageLost": "workloads use the image, and it stood nowhere in the queue",
    "Unverified": "nobody had looked at its findings for as long as reports may be old",
    "ReportMislabelled": "somebody changed the labels that name a report of it",
}


def told(fact: Fact) -> str:
    """Return one line: when (UTC), and what happened."""
    when = datetime.fromtimestamp(fact.at, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{when}  {sentence(fact)}"


def sentence(fact: Fact) -> str:
    """Return what happened, as a sentence."""
    return _TELLERS[fact.kind](fact.data)


def key_shown(text: str) -> str:
    """Return a key as people write it, a digest cut short; text that is no key as it is."""
    key = _key(text)
    if key is None:
        return text
    image = image_of(key)
    if image is None:
        return key.shown
    return key.shown.replace(image.digest, image.digest[:_DIGEST_CHARACTERS])


def _keys_shown(text: str) -> str:
    """Return the text with every word that is a key as people write it."""
    return " ".join(key_shown(word) for word in text.split(" "))


def _key(text: str) -> WorkKey | None:
    try:
        return parse_key(text)
    except ValueError:
        return None


def _number(data: Data, name: str, default: float = 0) -> float:
    value = data.get(name, default)
    return value if isinstance(value, int | float) else default


def _said(data: Data) -> str:
    """Return the message as a sentence that ends."""
    text = str(data.get("message") or "no message")
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _count(data: Data, name: str, noun: str) -> str:
    return counted(round(_number(data, name)), noun)


_MEANWHILE = "changed while it ran"  # `complete.lua`: told after the end of the run that it spoils


def _enqueued(data: Data) -> str:
    lane = "behind other bulk work" if data.get("lane") == "bulk" else "at once"
    how = {
        "new": f"Queued, to run {lane}",
        "promoted": "Moved forward, to run at once",
        "revived": "Came back from the parked keys",
        "repaired": "Queued again, because its entry had been lost from the queue",
        "dirty": "Changed while it runs: will run once more",
        "woken": "Woken",
        "probed": "Came back by itself for its slow probe",
    }.get(str(data.get("how", "new")), f"Queued ({data.get('how')})")
    cause = str(data.get("cause") or "")
    if data.get("how") == "dirty" and cause == _MEANWHILE:
        return "Runs once more, for what changed during the run that just ended."
    told_cause = _CAUSES.get(cause) or _keys_shown(cause)
    return f"{how}: {told_cause}." if cause else f"{how}."


def _deduplicated(_data: Data) -> str:
    return "Changed again while it was queued: one run covers both."


def _claimed(data: Data) -> str:
    attempt = round(_number(data, "attempt", 1))
    tries = "" if attempt == 1 else f", attempt {attempt}"
    return f"Taken by {data.get('worker', 'a worker')}{tries}."


def _converged(data: Data) -> str:
    outcome = str(data.get("outcome", "Converged"))
    what, _, why = outcome.partition(":")
    begin = {
        "Converged": "Everything about it is true now",
        "Partial": f"Reports are true except for what failed ({why})",
        "Rest": f"Nothing to do ({why})",
        "Gone": "It is gone: cleaned up",
    }.get(what, outcome)
    return f"{begin}{_work_done(data)}."


def _work_done(data: Data) -> str:
    parts = []
    if "written" in data:
        parts.append(f"{_count(data, 'written', 'report')} written")
    if "unchanged" in data:
        parts.append(f"{data['unchanged']} unchanged")
    if "seconds" in data:
        parts.append(f"{_number(data, 'seconds'):.2f} s")
    return f": {', '.join(parts)}" if parts else ""


def _waiting(data: Data) -> str:
    if on := data.get("on"):
        key = _key(str(on))
        what = "image " if isinstance(key, ImageKey) else ""
        if reason := data.get("reason"):
            return f"Left to {what}{key_shown(str(on))} ({reason})."
        return f"Waits for {what}{key_shown(str(on))}."
    return f"Waits {age(_number(data, 'delay_s'))} ({data.get('reason', 'no reason given')})."


def _retried(data: Data) -> str:
    return (
        f"Failed ({data.get('reason', 'Unknown')}): {_said(data)} "
        f"Attempt {data.get('attempt', '?')}; next try in {age(_number(data, 'delay_s'))}."
    )


def _held(data: Data) -> str:
    return (
        f"{data.get('source', 'A source')} is at fault ({data.get('reason', 'Unknown')}): "
        f"{_said(data)} Asked again in {age(_number(data, 'delay_s'))}; no attempt is counted."
    )


def _parked(data: Data) -> str:
    return (
        f"Parked after {_count(data, 'attempts', 'attempt')} "
        f"({data.get('reason', 'Unknown')}): {_said(data)} "
        "It comes back by itself; `sluice rescan` brings it back now."
    )


def _released(data: Data) -> str:
    if str(data.get("why", "")).startswith("dropped"):
        return (
            "Taken out of the queue by an operator; the next sweep queues it again if it is needed."
        )
    return f"Given back to the queue ({data.get('why', 'shutdown')})."


def _inventoried(data: Data) -> str:
    reference = f" of {data['reference']}" if data.get("reference") else ""
    found = [_count(data, name, noun) for name, noun in _FOUND if name in data]
    seconds = f" in {_number(data, 'seconds'):.1f} s" if "seconds" in data else ""
    bare = "" if data.get("covered", True) else "; Trivy knows no package database for it"
    result = f": {', '.join(found)}" if found else ""
    return f"Inventory{reference} taken{seconds}{result}{bare}."


_FOUND = (("packages", "package"), ("secrets", "secret"))


def _matched(data: Data) -> str:
    change = "changed" if data.get("changed") else "as before"
    version = data.get("db_version", "an unknown version")
    return f"{_count(data, 'findings', 'finding')}, {change}, by database {version}."


def _written(data: Data) -> str:
    how = {
        "created": "created",
        "replaced": "replaced",
        "stamped": "kept, its stamp renewed",
        "deleted": "deleted",
    }.get(str(data.get("how")), str(data.get("how")))
    size = f" ({data['bytes']} bytes)" if data.get("bytes") else ""
    report = str(data.get("report", "A report")).replace("//", "/")  # a cluster's has no namespace
    return f"{report} {how}{size}."


def _refused(data: Data) -> str:
    what = data.get("what", "write")
    return f"A {what} was refused: somebody else owns it by now."


def _swept(data: Data) -> str:
    compared = f"{_count(data, 'workloads', 'workload')} and {_count(data, 'reports', 'report')}"
    seconds = f" in {_number(data, 'seconds'):.1f} s" if "seconds" in data else ""
    return f"Sweep: {compared} compared{seconds}, {_count(data, 'enqueued', 'key')} queued."


def _relisted(data: Data) -> str:
    return f"Listed {data.get('resource', 'a resource')} anew ({data.get('reason', 'start')})."


def _undecodable(data: Data) -> str:
    name = f"{data.get('resource', 'An object')} {data.get('name', '')}".strip()
    return f"{name} could not be read; passed over."


def _database(data: Data) -> str:
    previous = f", before {data['previous']}" if data.get("previous") else ""
    return f"Vulnerability database {data.get('version', '?')} is in use{previous}."


def _circuit(data: Data) -> str:
    source = str(data.get("source", "a source"))
    match data.get("state"):
        case "open":
            return (
                f"{source} is not asked for {age(_number(data, 'wait_s'))}, after "
                f"{_count(data, 'failures', 'failure')} in a row ({data.get('reason', 'Unknown')})."
            )
        case "probing":
            return f"{source} is asked by one key, to see whether it answers again."
        case _:
            return f"{source} answers again."


def _started(data: Data) -> str:
    return f"{data.get('component', 'A process')} {data.get('version', '')} started."


_TELLERS: Mapping[FactKind, Callable[[Data], str]] = {
    "enqueued": _enqueued,
    "deduplicated": _deduplicated,
    "claimed": _claimed,
    "converged": _converged,
    "waiting": _waiting,
    "retried": _retried,
    "held": _held,
    "parked": _parked,
    "released": _released,
    "inventoried": _inventoried,
    "matched": _matched,
    "written": _written,
    "refused": _refused,
    "swept": _swept,
    "relisted": _relisted,
    "undecodable": _undecodable,
    "database": _database,
    "circuit": _circuit,
    "started": _started,
}
