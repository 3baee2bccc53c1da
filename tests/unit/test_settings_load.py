"""Ignore rules: how they are written and refused, when they end, and files that settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError
from common.model.ignore import IgnoreRule, IgnoreRules
from common.settings.ignore_rules import read_ignore_rules
from common.settings.load import load
from common.settings.parse import parse

DAY_S = 86_400.0
ENDS_S = 19_000 * DAY_S  # 2022-01-08


def test_a_plain_file_is_of_every_kind_of_finding() -> None:
    """Trivy cannot know which kind an identifier is of."""
    rules = (IgnoreRule(id="CVE-1"), IgnoreRule(id="CVE-2", expires_s=ENDS_S))
    text = "# why\nCVE-1 because\n\n  CVE-2 exp:2022-01-08 later\n"
    assert read_ignore_rules(text) == IgnoreRules(vulnerabilities=rules, secrets=rules)


def test_a_yaml_file_is_of_the_kinds_that_it_names() -> None:
    """Lists that do not concern images are read, and do nothing."""
    rules = read_ignore_rules(
        "misconfigurations: [{id: AVD-1}]\n"
        "vulnerabilities:\n"
        "- {id: CVE-1, paths: ['a/**'], purls: ['pkg:npm/a'], expired_at: 2022-01-08}\n"
        "secrets: [{id: key, expired_at: '2022-01-08T01:00:00+01:00'}]\n"
    )
    assert rules == IgnoreRules(
        vulnerabilities=(
            IgnoreRule(id="CVE-1", paths=("a/**",), purls=("pkg:npm/a",), expires_s=ENDS_S),
        ),
        secrets=(IgnoreRule(id="key", expires_s=ENDS_S),),
    )


# Nine lists of nine lists … of nine texts: as text it has gigabytes.
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CVE-1 exp:soon", "'soon' in line 1; write exp:2027-01-31"),
        ("CVE-0\nCVE-1 exp:2022-13-01", "'2022-13-01' in line 2"),
        ("vulnerabilities: [", "no YAML in line 1"),
        ("- vulnerabilities: 1\nvulnerabilities: 2", "no YAML in line 2"),
        ("vulnerabilities: CVE-1", "vulnerabilities that are no list"),
        ("vulnerabilities: [CVE-1]", "vulnerabilities that are no list"),
        ("secrets: [{id: a, paths: b}]", "paths of a that are no list"),
        ("secrets: [{id: a, paths: ['[']}]", "the path '[' of a"),
        ("vulnerabilities: [{id: a, purls: [b]}]", "'b' of a, no package URL"),
        ("licenses: [{id: a, purls: [1]}]", "purls of a that are no list"),
        ("vulnerabilities: [{id: a, expired_at: soon}]", "'soon' of a; write 2027-01-31"),
        ("vulnerabilities: [{id: a, expired_at: 7}]", "'7' of a"),
        ("vulnerabilities: [{id: [a]}]", "an id that is no text"),
        (_BOMB + "vulnerabilities: [{id: *h}]", "an id that is no text"),
        (_BOMB + "vulnerabilities: [{id: a, expired_at: *h}]", "'a list' of a"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    """A rule that is believed to hold, and does not, is worse than no start."""
    with pytest.raises(SettingsError) as caught:
        parse({"SLUICE_IGNORE_RULES": text})
    assert "SLUICE_IGNORE_RULES" in str(caught.value)
    assert said in str(caught.value)


@given(st.text(max_size=60) | st.text(max_size=40).map("vulnerabilities: ".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No settings end a process with a traceback."""
    with contextlib.suppress(ValueError):
        assert isinstance(read_ignore_rules(text), IgnoreRules)


def test_the_end_of_a_rule_is_another_epoch() -> None:
    """Then the finding must come back into every report, whoever is running."""
    settings = parse({"SLUICE_IGNORE_RULES": "CVE-1 exp:2022-01-08\nCVE-2 exp:2022-01-09\nCVE-3"})
    moments = (0.0, ENDS_S, ENDS_S + 1, ENDS_S + DAY_S, ENDS_S + DAY_S + 1, ENDS_S * 2)
    digests = [settings.projection_digest(now_s) for now_s in moments]
    assert digests == [digests[0], digests[0], digests[2], digests[2], digests[4], digests[4]]
    assert len(set(digests)) == 3
    held = [set(settings.filters.ignore_rules.active(now_s).secrets) for now_s in moments]
    everything, fewer, fewest = {"CVE-1", "CVE-2", "CVE-3"}, {"CVE-2", "CVE-3"}, {"CVE-3"}
    assert held == [everything, everything, fewer, fewer, fewest, fewest]


@pytest.mark.parametrize("name", ["ignore", ".trivyignore", "ignore.yaml"])
def test_a_file_stands_for_its_text(name: str, tmp_path: Path) -> None:
    """The epoch holds what it says: an edited file is another generation."""
    file = tmp_path / name
    text = "vulnerabilities: [{id: CVE-1}]" if name.endswith("yaml") else "CVE-1"
    file.write_text(text, encoding="utf-8")
    before = load({"TRIVY_IGNOREFILE": str(file)})
    assert before == parse({"SLUICE_IGNORE_RULES": text})
    file.write_text(text.replace("CVE-1", "CVE-2"), encoding="utf-8")
    after = load({"TRIVY_IGNOREFILE": str(file)})
    assert after.projection_digest() != before.projection_digest()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda _: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("vulnerabilities: [{id: a}]"), "name and content differ"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    prepare: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    """A name that leads nowhere hides nothing, and nobody would notice."""
    file = tmp_path / "ignore"
    prepare(file)
    with pytest.raises(SettingsError) as caught:
        load({"TRIVY_IGNOREFILE": str(file)})
    assert "TRIVY_IGNOREFILE" in str(caught.value)
    assert said in str(caught.value)


def test_a_file_and_a_text_are_one_too_many() -> None:
    """Which of them holds would be anybody's guess."""
    with pytest.raises(SettingsError, match="TRIVY_IGNOREFILE and SLUICE_IGNORE_RULES"):
        load({"TRIVY_IGNOREFILE": "/etc/ignore", "SLUICE_IGNORE_RULES": "CVE-1"})


def test_faults_of_files_are_told_with_all_others(tmp_path: Path) -> None:
    """Each names the setting that was set, and its file: one start tells everything."""
    rules, vex = tmp_path / "ignore.yaml", tmp_path / "vex.json"
    rules.write_text("vulnerabilities: [", encoding="utf-8")
    vex.write_text("{}", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(
            {
                "TRIVY_IGNOREFILE": str(rules),
                "TRIVY_IGNORE_POLICY": "/nonexistent.rego",
                "TRIVY_VEX": str(vex),
                "TRIVY_SEVERITY": "BAD",
            }
        )
    told = str(caught.value)
    assert "4 settings" in told
    for said in (f"TRIVY_IGNOREFILE names {rules}", "TRIVY_IGNORE_POLICY", "TRIVY_VEX", "'BAD'"):
        assert said in told
    assert "SLUICE_" not in told
