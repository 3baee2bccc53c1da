"""Workloads that lack reports, grouped by what keeps them from having any, in words. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from common.model.key import WorkloadKey
from common.overview.documents import Document

# Why a workload lacks reports, what needs somebody's eyes first.
Why: TypeAlias = Literal[
    "parked",  # no retry helps soon; reason
    "held",  # a source is at fault; reason: the source
    "retried",  # after a failure; reason
    "failed",  # an image is at fault, and will wake it; reason
    "unqueued",  # nobody works on it before the next sweep
    "delayed",  # looks again later; reason
    "waiting",  # for another key's end; reason: `image` or `successor`
    "running",
    "queued",
]
_RANKS = {why: rank for rank, why in enumerate(get_args(Why))}
LACKING_ROWS = 100  # named one by one
_EXAMPLES = 3  # named in each group
_GROUPS = 4  # told in one line
_WORDS = {"retried": "tried again", "unqueued": "in no queue until the next sweep"}
_SENTENCES = {"failed": "{}", "held": "held by {}", "waiting": "waiting for its {}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Why one workload has not all its reports, or not those of today."""

    why: Why
    reason: str = ""

    @property
    def rank(self) -> tuple[int, str]:
        """What to show first: the smallest."""
        return _RANKS[self.why], self.reason


def grouped(lacking: Mapping[WorkloadKey, Lack]) -> list[dict[str, object]]:
    """Return the groups as `status --json` shows them, what needs somebody's eyes first."""
    groups: dict[Lack, list[WorkloadKey]] = {}
    for key, lack in lacking.items():
        groups.setdefault(lack, []).append(key)
    return [
        {
            "why": lack.why,
            "reason": lack.reason,
            "workloads": len(groups[lack]),
            "examples": [key.shown for key in heapq.nsmallest(_EXAMPLES, groups[lack])],
        }
        for lack in sorted(groups, key=lambda lack: lack.rank)
    ]


def named(lacking: Mapping[WorkloadKey, Lack]) -> dict[str, str]:
    """Return the first workloads with the reason, in the order of `grouped`."""
    first = heapq.nsmallest(LACKING_ROWS, lacking.items(), key=lambda item: (item[1].rank, item[0]))
    return {key.shown: why({"why": lack.why, "reason": lack.reason}) for key, lack in first}


def number(document: Document) -> int:
    """Return how many workloads lack reports."""
    return sum(group["workloads"] for group in document["lacking"])


def summary(document: Document) -> str:
    """Return the groups in one line; empty: nothing lacks."""
    groups = document["lacking"]
    told = [f"{group['workloads']} {why(group)}" for group in groups[:_GROUPS]]
    others = sum(group["workloads"] for group in groups[_GROUPS:])
    return ", ".join([*told, *([f"{others} for other reasons"] if others else [])])


def why(group: Mapping[str, object]) -> str:
    """Return what keeps a group from having its reports."""
    word, reason = str(group["why"]), str(group["reason"])
    if word in _SENTENCES:
        return _SENTENCES[word].format(reason)
    word = _WORDS.get(word, word)
    return f"{word}: {reason}" if reason else word
