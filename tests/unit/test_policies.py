"""Ignore policies: which one counts, and how seldom it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from common.model.errors import TerminalError
from common.model.image import ImageRecord
from tests.fakes.report_builders import context, finding, image_key, record, row, secret
from worker.policies import NoPolicies, Policies, policy_for
from worker.project import secret as secrets
from worker.project import vulnerability
from worker.project.policy import Question, about_finding, about_secret, question_hash, questions


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([""], ""),
        (["", "shop"], "shop"),
        (["", "shop", "shop.web-1"], "shop.web-1"),
        (["", "shop", "shop.web-."], "shop.web-."),
        (["", "web"], ""),
        (["sho"], None),
        (["webshop", "hop"], None),
        (["shop.w", "shop.web-1.x"], None),
        (["sho."], "sho."),
        (["shop.", "shop.web-.", "shop.web-1"], "shop.web-1"),
        (["shop.w.", "shop.web."], "shop.web."),
        (["sh?p.*"], "sh?p.*"),
        ([], None),
    ],
)
def test_the_closest_policy_counts(places: list[str], expected: str | None) -> None:
    """Keys are trivy-operator's: a dot stands for any characters."""
    texts = [(place, f"policy of {place!r}") for place in places]
    found = policy_for(texts, namespace="shop", name="web-1")
    assert found == ("" if expected is None else f"policy of {expected!r}")


@dataclass
class FakeRunner:
    """Hides every secret."""

    asked: list[str] = field(default_factory=list)

    def hidden(self, policy: str, questions: Mapping[str, Question]) -> frozenset[str]:
        self.asked.append(policy)
        return frozenset(name for name, one in questions.items() if one["Type"] == "secret")


@dataclass
class FakeAnswers:
    """A dict."""

    kept: dict[str, frozenset[int]] = field(default_factory=dict)

    def get(self, name: str) -> frozenset[int] | None:
        return self.kept.get(name)

    def put(self, name: str, hidden: frozenset[int]) -> None:
        self.kept[name] = hidden


def _record(number: int = 1) -> ImageRecord:
    return record(finding(f"CVE-{number}"), secrets=(secret(),))


def test_a_policy_is_asked_once_about_the_same_findings() -> None:
    """Two workloads of one image share the answer; another policy, image or Trivy is asked anew."""
    runner, answers = FakeRunner(), FakeAnswers()
    texts = (("shop", "one"), ("team", "two"))
    policies = Policies(texts=texts, runner=runner, answers=answers, version="0.76.0")
    hidden = policies.hidden(row("a"), [_record()])
    assert hidden == {question_hash(about_secret(secret()))}
    assert policies.hidden(row("b"), [_record()]) == hidden
    assert runner.asked == ["one"]
    policies.hidden(row("a", namespace="team"), [_record()])
    policies.hidden(row("a"), [_record(2)])
    assert runner.asked == ["one", "two", "one"]
    newer = Policies(texts=texts, runner=runner, answers=answers, version="0.77.0")
    newer.hidden(row("a"), [_record()])
    assert len(runner.asked) == 4


class BrokenRunner:
    """Cannot evaluate anything."""

    def hidden(self, policy: str, questions: Mapping[str, Question]) -> frozenset[str]:
        del policy, questions
        raise TerminalError("Trivy cannot evaluate it: eof", reason="IgnorePolicyBroken")


@pytest.mark.parametrize(
    ("place", "said"), [("shop", "trivy.ignorePolicy.shop "), ("", "TRIVY_IGNORE_POLICY")]
)
def test_a_policy_at_fault_is_named(place: str, said: str) -> None:
    """There may be one per namespace and workload: whoever reads it must know which to correct."""
    policies = Policies(
        texts=((place, "x"),), runner=BrokenRunner(), answers=FakeAnswers(), version="1"
    )
    with pytest.raises(TerminalError, match="cannot evaluate") as caught:
        policies.hidden(row("a"), [_record()])
    assert said in str(caught.value)
    assert caught.value.reason == "IgnorePolicyBroken"


def test_without_a_policy_nobody_is_asked() -> None:
    """Most clusters have none: no process may start for it."""
    runner = FakeRunner()
    policies = Policies(
        texts=(("team", "x"),), runner=runner, answers=FakeAnswers(), version="0.76.0"
    )
    assert policies.hidden(row("a"), [_record()]) == frozenset()
    assert NoPolicies().hidden(row("a"), [_record()]) == frozenset()
    assert runner.asked == []


def test_an_answer_of_somebodys_hand_hides_nothing_else() -> None:
    """Numbers beyond the questions mean nothing."""
    answers = FakeAnswers()
    policies = Policies(texts=(("", "x"),), runner=FakeRunner(), answers=answers, version="1")
    policies.hidden(row("a"), [_record()])
    answers.kept = dict.fromkeys(answers.kept, frozenset({7, -9}))
    assert policies.hidden(row("a"), [_record()]) == frozenset()


def test_what_a_policy_hides_is_in_no_report() -> None:
    """Whatever the severity that is shown, and whatever the container calls the image."""
    told = finding("CVE-1", severity="odd", target="scanned (alpine 3.18)")
    odd = secret(severity="odd")
    images = [
        (image_key(), record(told, finding("CVE-2"), secrets=(odd, secret()), target="scanned"))
    ]
    hidden = frozenset(map(question_hash, (about_finding(told), about_secret(odd))))
    view = replace(context(), hidden=hidden)
    shown = vulnerability.project(images, view).report
    assert shown["summary"]["unknownCount"] == 0  # type: ignore[index] # a report's own shape
    assert len(shown["vulnerabilities"]) == 1  # type: ignore[arg-type]
    assert len(secrets.project(images, view).report["secrets"]) == 1  # type: ignore[arg-type]
    assert set(hidden) <= set(questions(one for _, one in images))
