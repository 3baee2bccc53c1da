"""Which ignore policy counts for a workload, and what it hides; each question is asked once.

An answer depends on the policy, on Trivy and on the finding alone, so it is kept in Redis: workers
share it, and a workload that runs again costs no process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.model.canonical import content_hash
from common.model.errors import TerminalError
from common.model.image import ImageRecord
from common.model.patterns import matches
from common.model.workload import WorkloadRow
from worker.project.policy import Question, questions

NOTHING: frozenset[str] = frozenset()


class Answers(Protocol):
    """What policies answered before."""

    def get(self, name: str) -> frozenset[int] | None:
        """Return the numbers of the hidden questions; None: never asked, or long ago."""

    def put(self, name: str, hidden: frozenset[int]) -> None:
        """Keep them."""


class Runner(Protocol):
    """Whatever evaluates a policy."""

    def hidden(self, policy: str, questions: Mapping[str, Question]) -> frozenset[str]:
        """Return the names of the questions whose findings the policy leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The settings' policies. Thread-safe as far as its ports are."""

    texts: tuple[tuple[str, str], ...]  # by what they count for
    runner: Runner
    answers: Answers
    version: str  # of what evaluates them

    def hidden(self, row: WorkloadRow, records: Iterable[ImageRecord]) -> frozenset[str]:
        """Return the hashes of the findings that the workload's policy hides.

        Raises TerminalError for a policy that cannot be evaluated, and what the ports raise.
        """
        of_whom, policy = closest(self.texts, namespace=row.namespace, name=row.name)
        asked = questions(records) if policy else {}
        if not asked:
            return NOTHING
        names = sorted(asked)
        place = content_hash([self.version, policy, names])
        known = self.answers.get(place)
        if known is None:
            try:
                found = self.runner.hidden(policy, asked)
            except TerminalError as exc:
                raise TerminalError(f"{_named(of_whom)}: {exc}", reason=exc.reason) from exc
            known = frozenset(number for number, name in enumerate(names) if name in found)
            self.answers.put(place, known)
        return frozenset(names[number] for number in known if 0 <= number < len(names))


class NoPolicies:
    """There is none."""

    def hidden(self, _row: WorkloadRow, _records: Iterable[ImageRecord]) -> frozenset[str]:
        """Hide nothing."""
        return NOTHING


def policy_for(texts: Sequence[tuple[str, str]], *, namespace: str, name: str) -> str:
    """Return the text of the policy that is closest to the workload; empty: none counts. Pure."""
    return closest(texts, namespace=namespace, name=name)[1]


def closest(texts: Sequence[tuple[str, str]], *, namespace: str, name: str) -> tuple[str, str]:
    """Return what the closest policy counts for, and its text; both empty: none counts. Pure.

    As in trivy-operator's keys a dot stands for any characters: a ConfigMap's key has no `*`. Of
    several that match, the longest counts: trivy-operator takes any of them.
    """
    for wanted in (f"{namespace}.{name}", namespace, ""):
        found = [place for place, _ in texts if matches(place.replace(".", "*"), wanted)]
        if found:
            chosen = max(found, key=lambda place: (place == wanted, len(place), place))
            return chosen, dict(texts)[chosen]
    return "", ""


def _named(of_whom: str) -> str:
    """Return whose policy it is and where it stands, for whoever must correct it."""
    whose = f"the ignore policy of {of_whom}" if of_whom else "the ignore policy of all workloads"
    key = f"trivy.ignorePolicy.{of_whom}" if of_whom else "trivy.ignorePolicy, TRIVY_IGNORE_POLICY"
    return f"{whose} ({key} or SLUICE_IGNORE_POLICIES)"
