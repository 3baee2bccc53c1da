"""What is wrong, by the status document, and what to do about each thing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from common.model.key import image_of, parse_key
from common.model.trivy_version import is_newer
from common.overview import generation, watcher
from common.overview.ages import STALE_S
from common.overview.sources import is_trouble, remedy, said
from common.overview.view import Document
from common.overview.words import age, counted
from common.settings.value import Settings

_SILENT_SWEEPS = 3  # the watcher writes a fact with every sweep, however calm the cluster is
_LATE = 2  # times the TTL
_STARTING_S = 30.0  # a worker claims seconds after it began; a slow node needs some more
_EXAMPLES = 3  # keys told by name, per reason
_SOURCES = 10  # told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What settings promise, and a status is judged by."""

    sweep_interval_s: float
    report_ttl_s: float | None = None  # within which findings are verified again; None: for ever

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return those of the settings."""
        return cls(
            sweep_interval_s=settings.pipeline.sweep_interval_s,
            report_ttl_s=settings.verify.report_ttl_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it must be."""

    said: str
    remedy: str
    details: tuple[str, ...] = ()


def problems(document: Document, promises: Promises) -> list[Problem]:
    """Return what is wrong, what stops everything first."""
    if document["empty"]:  # everything else is missing too, and would point away from the cause
        return [empty_key_space(document["cluster"])]
    return [
        *_stopped(document, promises.sweep_interval_s),
        *_circuits(document),
        *_settings(document["settings"]),
        *_database(document["database"]),
        *_trivy(document["trivy"]),
        *_overdue(document["verified"], promises.report_ttl_s),
        *_failing(document),
    ]


def standstill(document: Document, promises: Promises) -> list[Problem]:
    """Return what keeps work from being done at all: a part that is away, or no database yet."""
    if document["empty"]:
        return [empty_key_space(document["cluster"])]
    without = document["database"]["version"] is None
    return [
        *_stopped(document, promises.sweep_interval_s),
        *(_database(document["database"]) if without else ()),
    ]


def empty_key_space(cluster: str) -> Problem:
    """Return what to say where nobody works under a name."""
    return Problem(
        said=f"the key space {cluster!r} is empty: no watcher and no worker uses this name",
        remedy="check SLUICE_CLUSTER and SLUICE_REDIS_URL (`sluice:*:epoch` in Redis names the key "
        "spaces that are in use), or start the product",
    )


def _stopped(document: Document, sweep_interval_s: float) -> Iterator[Problem]:
    if document["paused"]:
        yield Problem(said="the queue is paused: no key is taken", remedy="sluice queue resume")
    if fault := watcher.said(document["watcher"]):
        yield Problem(said=fault, remedy=watcher.REMEDY)
    if not document["workers"]:
        yield _no_worker(document.get("last_start_age_s"))
    if standing := generation.said(document["generation"], workers=len(document["workers"])):
        yield Problem(
            said=standing,
            remedy=generation.REMEDY,
            details=_first(generation.differences(document["generation"])),
        )
    silent_s = document["last_event_age_s"]
    is_silent = silent_s is not None and silent_s > _SILENT_SWEEPS * sweep_interval_s
    if is_silent and document["watcher"]["alive"]:
        yield Problem(
            said=f"the watcher lives, but ended no sweep and told no change for {age(silent_s)}",
            remedy="look at its log",
        )


def _no_worker(started_s: float | None) -> Problem:
    """Return what to say without workers: at a start, or after a change of settings, just that."""
    if started_s is not None and started_s < _STARTING_S:
        return Problem(
            said=f"no worker is alive yet: processes began {age(started_s)} ago, at a start or "
            "with other settings",
            remedy="sluice status   # again in half a minute",
        )
    return Problem(
        said="no worker is alive: nothing is scanned or written",
        remedy="start `sluice run`, or look at the log of the worker pods",
    )


def _settings(settings: Document) -> Iterator[Problem]:
    for fault in settings["faults"]:
        yield Problem(
            said=f"{fault['source']} {fault['said']}",
            remedy=fault["remedy"],
            details=(settings["meanwhile"],),
        )


def _database(database: Document) -> Iterator[Problem]:
    if database["version"] is None:
        yield Problem(
            said="no vulnerability database is in use: nothing can be matched",
            remedy="`sluice doctor` looks for the reason; the log of the `match` worker tells it",
        )
    elif database["age_s"] is not None and database["age_s"] > STALE_S:
        yield Problem(
            said=f"the vulnerability database is {age(database['age_s'])} old",
            remedy="`sluice database check` looks for a newer one; then `sluice doctor`",
        )
    failed = database.get("failed")
    if failed is not None:  # findings stay those of the database in use
        yield Problem(
            said=f"the last look for a newer vulnerability database failed {age(failed['age_s'])} "
            f"ago: {failed['reason']}",
            remedy="`sluice doctor` looks at its registry from here; the next look comes by itself",
            details=(failed["message"],),
        )


def _trivy(trivy: Document) -> Iterator[Problem]:
    serving, trusted = trivy["serving"] or "", trivy["trusted"] or ""
    if is_newer(serving, than=trusted):
        yield Problem(
            said=f"Trivy {serving} is not trusted yet: images that {trusted} or an older one "
            "analysed stay as they are",
            remedy="sluice canary   # where a scanner runs: in a worker's Pod, beside `sluice run`",
        )


def _overdue(verified: Document, report_ttl_s: float | None) -> Iterator[Problem]:
    """Yield a problem for findings that nobody looked at for twice the time that was promised.

    Once that time is no fault yet: their turns are spread, and a window may make them wait.
    """
    oldest_s = verified["oldest_age_s"]
    if report_ttl_s is not None and oldest_s is not None and oldest_s > _LATE * report_ttl_s:
        yield Problem(
            said=f"findings of an image were not verified for {age(oldest_s)}, where reports are "
            f"to be verified within {age(report_ttl_s)}",
            remedy="sluice status   # whether `scan` and `rematch` workers keep up; a short "
            "SLUICE_RESCAN_WINDOW or a small SLUICE_REGISTRY_PULLS_PER_MIN makes images wait",
        )


def _circuits(document: Document) -> Iterator[Problem]:
    """Yield a problem per source that is not asked: its keys are not at fault, nor told apart."""
    troubles = list(filter(is_trouble, document["circuits"]))
    for circuit in troubles[:_SOURCES]:
        held = [each for each in document["failures"] if each["source"] == circuit["source"]]
        names = ", ".join(asked(each) for each in held[:_EXAMPLES])
        more = f" and {len(held) - _EXAMPLES} more" if len(held) > _EXAMPLES else ""
        waiting = (f"{names}{more} {'waits' if len(held) == 1 else 'wait'} for it",) if held else ()
        yield Problem(
            said=said(circuit),
            remedy=remedy(circuit["source"]),
            details=(circuit["message"], *waiting),
        )
    if len(troubles) > _SOURCES:
        yield Problem(
            said=f"{counted(len(troubles) - _SOURCES, 'more source')} are left alone",
            remedy="sluice status --json | jq .circuits",
        )


def _failing(document: Document) -> Iterator[Problem]:
    told = {circuit["source"] for circuit in filter(is_trouble, document["circuits"])}
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for failure in document["failures"]:
        if failure["source"] not in told:
            group = (failure["state"], failure["source"], failure["reason"])
            groups.setdefault(group, []).append(failure)
    for (state, source, reason), members in groups.items():
        verb = "is" if len(members) == 1 else "are"
        how = f"{verb} parked" if state == "parked" else f"{verb} tried again after a failure"
        if source:
            how = f"{verb} tried again after a failure of {source}"
        yield Problem(
            said=f"{counted(len(members), 'key')} {how}: {reason}",
            remedy=_look_at(asked(members[0])),
            details=_examples(members),
        )
    yield from _dead(document)
    yield from _unqueued(document)
    if document["failing"]:
        reasons = (f"{reason} {count}" for reason, count in sorted(document["failing"].items()))
        number = sum(document["failing"].values())
        verb = "lacks" if number == 1 else "lack"
        yield Problem(
            said=f"{counted(number, 'workload')} {verb} reports of an image: {', '.join(reasons)}",
            remedy="kubectl get events -A --field-selector reason=ScanFailed",
        )


def _unqueued(document: Document) -> Iterator[Problem]:
    """Yield what nobody works on: keys that were dropped, or lost with Redis' data."""
    for group in document["lacking"]:
        if group["why"] == "unqueued":
            names, more = group["examples"], group["workloads"] - len(group["examples"])
            lacks, them = ("lacks", "it") if group["workloads"] == 1 else ("lack", "them")
            told = [", ".join(names), *([f"and {more} more"] if more else [])]
            yield Problem(
                said=f"{counted(group['workloads'], 'workload')} {lacks} reports, and nobody works "
                f"on {them} before the next sweep",
                remedy=f"sluice rescan {names[0]}   # queues it now",
                details=(" ".join(told),),
            )


def _dead(document: Document) -> Iterator[Problem]:
    listed = sum(failure["state"] == "parked" for failure in document["failures"])
    if document["dead"] > listed:
        reasons = (f"{reason} {count}" for reason, count in document["dead_reasons"].items())
        yield Problem(
            said=f"{counted(document['dead'], 'key')} are parked in all, {listed} of them above",
            remedy=f"sluice queue parked --limit {document['dead']}",
            details=tuple(filter(None, [", ".join(reasons)])),
        )


def _look_at(name: str) -> str:
    return f"sluice history {name}   # why; once it is mended: sluice rescan {name}"


def _examples(members: Sequence[Document]) -> tuple[str, ...]:
    return _first([_example(member) for member in members])


def _first(told: Sequence[str]) -> tuple[str, ...]:
    more = len(told) - _EXAMPLES
    return (*told[:_EXAMPLES], f"and {more} more") if more > 0 else tuple(told)


def _example(failure: Document) -> str:
    due = f"; next try in {age(failure['due_in_s'])}" if failure["due_in_s"] is not None else ""
    users = f", {counted(failure['users'], 'user')}" if "users" in failure else ""
    tries = counted(failure["attempts"], "attempt")
    return f"{asked(failure)}: {failure['message']} ({tries}{users}{due})"


def asked(failure: Document) -> str:
    """Return the OBJECT that `sluice history` and `rescan` take for a failing key."""
    key = parse_key(failure["key"])
    image = image_of(key)
    return failure.get("reference") or (image.digest if image is not None else key.shown)
