"""What the doctor and the status tell of settings, and of the ConfigMaps that some come from."""

from __future__ import annotations

import io

from common.cli.checks.generation import judge_here
from common.cli.checks.settings import judge_settings
from common.cli.command import Context
from common.cli.terminal import Terminal
from common.model.finding import Fault, Finding, Notice
from common.model.overlay import BadKey, Entry, Overlay
from common.ops.version import VERSION
from common.overview.overlay import described
from common.overview.overlay import shown as told
from common.overview.trouble import Promises, problems
from common.settings.public import instead, public
from common.state.epoch import Published
from tests.overviews import shown


def faults(findings: list[Finding]) -> list[Fault]:
    """Return the faults among findings."""
    return [finding for finding in findings if isinstance(finding, Fault)]


ENTRY = Entry(
    "TRIVY_SEVERITY", "HIGH", "ConfigMap home/trivy-operator-trivy-config, key trivy.severity"
)
BAD = BadKey(
    "ConfigMap home/trivy-operator, key scanJob.skipInitContainers", "is 'x'", "correct it"
)


def test_every_value_that_is_set_is_told_with_its_source() -> None:
    """Whoever changed a ConfigMap that the chart's value stands over finds out here."""
    environ = {
        "TRIVY_IGNORE_UNFIXED": "true",
        "SLUICE_REDIS_URL": "redis://:hunter2@cache",
        "SLUICE_IGNORE_RULES": "CVE-1\nCVE-2",
        "PATH": "/bin",
    }
    found = [each.said for each in judge_settings(environ, Overlay(entries=(ENTRY,)))]
    assert f"TRIVY_SEVERITY: HIGH, from {ENTRY.source}" in found
    assert "TRIVY_IGNORE_UNFIXED: true, from the environment" in found
    assert "SLUICE_REDIS_URL: (not shown), from the environment" in found
    assert "SLUICE_IGNORE_RULES: (11 characters), from the environment" in found
    assert any("others have their defaults" in one for one in found)
    environ["TRIVY_SEVERITY"] = "LOW"
    found = [each.said for each in judge_settings(environ, Overlay(entries=(ENTRY,)))]
    assert "TRIVY_SEVERITY: LOW, from the environment" in found


def test_what_is_wrong_in_a_config_map_is_a_fault_with_its_remedy() -> None:
    """And what holds until then; what has no effect is a note."""
    overlay = Overlay(entries=(ENTRY,), faults=(BAD,), kept=True, notices=("y has no effect",))
    found = list(judge_settings({}, overlay))
    (fault,) = faults(found)
    assert fault.said == f"{BAD.source} is 'x': the settings of before hold until then"
    assert fault.remedy == "correct it"
    assert Notice(topic="ConfigMaps", said="y has no effect") in found


def test_where_nobody_published_settings_it_is_said() -> None:
    """As at a first start."""
    assert "no watcher has told yet" in list(judge_settings({}, None))[-1].said


def test_the_status_tells_a_wrong_key_as_a_problem() -> None:
    """With the remedy: `sluice status` is what people look at."""
    overlay = Overlay(entries=(ENTRY,), faults=(BAD,), kept=True)
    document = shown(settings=described(overlay))
    (problem,) = [
        each
        for each in problems(document, Promises(sweep_interval_s=600, report_ttl_s=None))
        if "ConfigMap" in each.said
    ]
    assert problem.remedy == "correct it"
    assert problem.details == ("the settings of before hold until then",)
    assert told(document["settings"]) == "1 setting of trivy-operator's ConfigMaps; 1 key is wrong"
    assert told(described(Overlay())) == told(described(None)) == ""


def test_commands_go_by_what_counts_in_the_cluster() -> None:
    """A time-to-live of a ConfigMap decides what is overdue; what cannot be read counts not."""
    terminal = Terminal(stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())
    context = Context(environ={}, terminal=terminal)
    said = Overlay(entries=(Entry("OPERATOR_SCANNER_REPORT_TTL", "48h", "?"),))
    assert context.counting(said).verify.report_ttl_s == 48 * 3600
    bad = Overlay(entries=(Entry("OPERATOR_SCANNER_REPORT_TTL", "2 days", "?"),))
    assert context.counting(bad).verify.report_ttl_s == 24 * 3600
    assert context.counting(None).verify.report_ttl_s == 24 * 3600


def test_a_shell_that_is_set_otherwise_than_the_watcher_is_told_so() -> None:
    """What it says of settings would be believed of the installation."""
    assert list(judge_here(Published(3, "d1", VERSION), "d1")) == []
    assert list(judge_here(Published(0, ""), "d1")) == []
    (other,) = judge_here(Published(3, "d2", VERSION), "d1")
    assert isinstance(other, Notice)
    assert "holds for this shell alone" in other.said
    (older,) = judge_here(Published(3, "d2", "0.0.9"), "d1")
    assert older.said == f"the watcher is of version 0.0.9, this is {VERSION}"


def test_settings_of_another_environment_stand_in_place_of_ones_own() -> None:
    """All of them: what the other one leaves out has its default there. Secrets are never told."""
    mine = {
        "PATH": "/bin",
        "TRIVY_SEVERITY": "LOW",
        "SLUICE_REDIS_URL": "redis://:hunter2@cache",
        "SLUICE_DATA_DIR": "/here",
    }
    theirs = public({**mine, "TRIVY_IGNORE_UNFIXED": "true", "TRIVY_SEVERITY": " "})
    assert theirs == {"TRIVY_IGNORE_UNFIXED": "true"}
    merged = instead(mine, theirs)
    assert "TRIVY_SEVERITY" not in merged
    kept = {name: text for name, text in mine.items() if name != "TRIVY_SEVERITY"}
    assert merged == {**kept, **theirs}
