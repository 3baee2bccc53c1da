"""Asks a Rego ignore policy about findings, by Trivy itself: `trivy convert --ignore-policy`.

Trivy removes what the policy hides from a made-up report; what is not there afterwards was hidden.
No network, no database, no image: 0.1 s, and a millisecond for three findings.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import field

from common.model.bounded import UNREADABLE
from common.model.errors import ScanTimeoutError, TerminalError, TransientError, shorten
from common.ops.trivy_program import Trivy
from worker.evidence.image.trivy_cli import child_environment
from worker.evidence.image.trivy_process import TrivyRun, run_trivy
from worker.project.policy import Question, question_hash

_DEADLINE_S = 60.0
_MEMORY_MB = 1024
# How Trivy speaks of a policy at fault, and of nothing else.
_POLICY_FAULTS = ("failed to apply the policy", "prepare for eval", "evaluate the policy")
_LINE = "error: "

_Name: TypeAlias = tuple[str, ...]


class _Vulnerability(msgspec.Struct, frozen=True, rename="pascal"):
    vulnerability_id: str = field(name="VulnerabilityID", default="")
    pkg_id: str = field(name="PkgID", default="")
    pkg_name: str = ""
    installed_version: str = ""
    pkg_path: str = ""


class _Secret(msgspec.Struct, frozen=True, rename="pascal"):
    rule_id: str = field(name="RuleID", default="")
    category: str = ""
    severity: str = ""
    title: str = ""
    match: str = ""


class _Result(msgspec.Struct, frozen=True, rename="pascal"):
    target: str = ""
    vulnerabilities: tuple[_Vulnerability, ...] | None = ()
    secrets: tuple[_Secret, ...] | None = ()


class _Report(msgspec.Struct, frozen=True, rename="pascal"):
    results: tuple[_Result, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """Runs policies. Thread-safe."""

    trivy: Trivy

    def hidden(self, policy: str, questions: Mapping[str, Question]) -> frozenset[str]:
        """Return the names of the questions whose findings the policy leaves out.

        Raises TerminalError for a policy that cannot be evaluated, TransientError for a run that
        failed otherwise.
        """
        rounds = _rounds(questions)
        report = self._converted(policy, rounds) if rounds else _Report()
        shown = {
            (result.target, *name) for result in report.results or () for name in _names(result)
        }
        return frozenset(
            question_hash(question)
            for number, listed in enumerate(rounds)
            for name, question in listed.items()
            if (str(number), *name) not in shown
        )

    def _converted(self, policy: str, rounds: Sequence[Mapping[_Name, Question]]) -> _Report:
        with tempfile.TemporaryDirectory(prefix="sluice-policy-") as folder:
            place = Path(folder)
            (place / "cwd").mkdir()  # Trivy reads trivy.yaml and .trivyignore from where it runs
            (place / "policy.rego").write_text(policy, encoding="utf-8")
            (place / "report.json").write_bytes(msgspec.json.encode(_made_up(rounds)))
            run = TrivyRun(
                argv=(
                    self.trivy.path,
                    "convert",
                    "--quiet",
                    "--format=json",
                    f"--ignore-policy={place / 'policy.rego'}",
                    f"--output={place / 'shown.json'}",
                    "--",
                    str(place / "report.json"),
                ),
                env=child_environment({}, place),
                cwd=place / "cwd",
                log=place / "log",
                deadline_at_s=time.monotonic() + _DEADLINE_S,
                memory_mb=_MEMORY_MB,
            )
            ended = run_trivy(run)
            if ended.killed:
                raise ScanTimeoutError(f"the ignore policy was not done within {_DEADLINE_S:g} s")
            if ended.exit_code:
                raise _failed(ended.log)
            try:
                return msgspec.json.decode((place / "shown.json").read_bytes(), type=_Report)
            except (OSError, *UNREADABLE) as exc:
                raise TransientError(
                    f"what the ignore policy left cannot be read: {exc}", reason="PolicyRunFailed"
                ) from exc


def _failed(log: str) -> TerminalError | TransientError:
    """Return what a run's log says: the policy is at fault, or something else is."""
    lines = [line for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else "no word"
    if any(fault in log for fault in _POLICY_FAULTS):
        said = shorten(log[log.index(_LINE) :] if _LINE in log else last)
        return TerminalError(f"Trivy cannot evaluate it: {said}", reason="IgnorePolicyBroken")
    return TransientError(
        f"the ignore policy was not run: {shorten(last)}", reason="PolicyRunFailed"
    )


def _rounds(questions: Mapping[str, Question]) -> list[dict[_Name, Question]]:
    """Spread the questions so that no result has two of one name: Trivy would keep one of them."""
    rounds: list[dict[_Name, Question]] = []
    for question in questions.values():
        name = _name(question)
        free = next((one for one in rounds if name not in one), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[name] = question
    return rounds


def _name(question: Question) -> _Name:
    keys = (
        ("VulnerabilityID", "PkgID", "PkgName", "InstalledVersion", "PkgPath")
        if question["Type"] == "vulnerability"
        else ("RuleID", "Category", "Severity", "Title", "Match")
    )
    return (str(question["Type"]), *(str(question.get(key, "")) for key in keys))


def _names(result: _Result) -> Iterable[_Name]:
    for one in result.vulnerabilities or ():
        yield ("vulnerability", *msgspec.structs.astuple(one))
    for secret in result.secrets or ():
        yield ("secret", *msgspec.structs.astuple(secret))


def _made_up(rounds: Sequence[Mapping[_Name, Question]]) -> dict[str, object]:
    """Return a report that holds the questions as findings, each round as one result."""
    return {
        "SchemaVersion": 2,
        "ArtifactName": "findings",
        "ArtifactType": "container_image",
        "Results": [
            {
                "Target": str(number),
                "Class": "os-pkgs",
                "Type": "alpine",
                "Vulnerabilities": _of_type(listed, "vulnerability"),
                "Secrets": _of_type(listed, "secret"),
            }
            for number, listed in enumerate(rounds)
        ],
    }


def _of_type(listed: Mapping[_Name, Question], wanted: str) -> list[dict[str, object]]:
    return [
        {name: value for name, value in one.items() if name != "Type"}
        for one in listed.values()
        if one["Type"] == wanted
    ]
