"""Splits the time to truth of each Deployment into stages, from the ledger's facts. Pure.

The stages of one Deployment add up to its time to truth:

    seen         created → the first fact about its ReplicaSet: API server, controllers, watcher
    kubelet      → the kubelet's word about the image that runs, as a watch outside sees it
    noticed      → the fact that follows that word: watcher and queue
    claimed      → a worker has it, the waiting after a wake-up included
    inventoried  → its image is inventoried, the image's own waiting in the queue included
    matched      → its image is matched
    written      → the last of its reports is seen by a watch outside

The ledger stores a run's facts when the run ends; when an inventory ended within its run follows
from the seconds it says it took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.model.facts import Fact
from tests.bench.path_run import Deployed

STAGES = ("seen", "kubelet", "noticed", "claimed", "inventoried", "matched", "written")
# A run that ended so knew no digest yet; the next fact about the workload brings news.
_UNKNOWING = ("WaitingForKubelet", "Rest:NoPods")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRun:
    """The run that gave an image its findings."""

    claimed_at: float
    inventoried_at: float
    matched_at: float


def time_to_truth(one: Deployed) -> float:
    """Return the seconds from its creation to the last of its reports."""
    return max(one.reported_at.values()) - one.created_at


def after_kubelet(one: Deployed) -> float:
    """Return the seconds from the kubelet's word to the last report: what the product adds."""
    return max(one.reported_at.values()) - one.told_at


def stages(one: Deployed, facts: Sequence[Fact]) -> dict[str, float]:
    """Return the seconds of each stage; raises LookupError when the facts do not tell."""
    own = [fact for fact in facts if fact.key == _workload_key(one)]
    image = _image_run([fact for fact in facts if one.digest in fact.key])
    enqueued = [fact.at for fact in own if fact.kind == "enqueued"]
    written = next(fact.at for fact in own if fact.kind == "written")
    unknowing = max((fact.at for fact in own if _is_unknowing(fact)), default=0.0)
    noticed = next(at for at in enqueued if at >= unknowing)
    told = _within(one.told_at, enqueued[0], noticed)  # a run may know without the kubelet
    claims = [fact.at for fact in own if fact.kind == "claimed" and noticed <= fact.at <= written]
    first, last = claims[0], claims[-1]
    # What of the wait between the first claim and the last was for which half of the image's run.
    inventoried = _within(image.inventoried_at, first, last)
    matched = _within(image.matched_at, inventoried, last)
    return {
        "seen": enqueued[0] - one.created_at,
        "kubelet": told - enqueued[0],
        "noticed": noticed - told,
        "claimed": first - noticed + last - matched,
        "inventoried": inventoried - first,
        "matched": matched - inventoried,
        "written": max(one.reported_at.values()) - last,
    }


def percentile(values: Iterable[float], share: float) -> float:
    """Return the nearest-rank percentile: a value that occurred. `share` is in (0, 1]."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def table(deployed: Iterable[Deployed], facts: Sequence[Fact]) -> Mapping[str, list[float]]:
    """Return each stage's seconds of all Deployments."""
    found = [stages(one, facts) for one in deployed]
    return {name: [each[name] for each in found] for name in STAGES}


def _workload_key(one: Deployed) -> str:
    return f"workload/ReplicaSet/{one.namespace}/{one.workload}"


def _image_run(facts: Sequence[Fact]) -> ImageRun:
    matched = next(fact for fact in facts if fact.kind == "matched")
    before = [fact for fact in facts if fact.at <= matched.at]
    claimed_at = [fact.at for fact in before if fact.kind == "claimed"][-1]
    took_s = [fact.data["seconds"] for fact in before if fact.kind == "inventoried"][-1]
    if not isinstance(took_s, int | float):
        raise LookupError(f"a fact of an inventory says it took {took_s!r} s")
    return ImageRun(
        claimed_at=claimed_at,
        inventoried_at=min(claimed_at + took_s, matched.at),
        matched_at=matched.at,
    )


def _is_unknowing(fact: Fact) -> bool:
    return fact.data.get("reason") in _UNKNOWING or fact.data.get("outcome") in _UNKNOWING


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
