"""Runbooks: one per alert, and commands that exist, so that nobody types in vain at night."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from charts.schema import VALUES, comments
from common.cli.command import parser_of
from common.cli.main import find_command
from tests.charts.rendered import render
from tests.monitoring import alerts

PAGE = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", PAGE))
_TYPED = [
    line
    for text in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in text.splitlines()
]
COMMANDS = sorted({line.removeprefix("$ ").partition("  #")[0].strip() for line in _TYPED})
# Descriptions name commands too: they are what a telephone shows.
_SLUICE = re.compile(r"sluice (?:status|doctor|queue \w+|rescan --all|database \w+)")
_OF_THE_CHART = re.compile(r"\b(deployment|statefulset)/(kube-sluice-[a-z]+)")
_COMPONENT = re.compile(r"app\.kubernetes\.io/component=(\w+)")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    """The link in an alert is an anchor: a section of another name is not found."""
    assert SECTIONS.keys() == alerts().keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_runbook_says_everything_that_is_asked_at_night(name: str) -> None:
    """What it means, who is affected, how to see it, how to mend it, when not to."""
    text = SECTIONS[name]
    parts = re.findall(r"(?m)^\*\*(Means|Affects|Look|Look and mend|Mend|Ignore)\*\*", text)
    wanted = ["Means", "Affects", "Look", "Mend", "Ignore"]
    assert parts in (wanted, ["Means", "Affects", "Look and mend", "Ignore"])
    assert "```console" in text


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("sluice ")])
def test_every_sluice_command_can_be_typed_as_it_stands(command: str) -> None:
    """By the parser of the command itself."""
    _, name, *words = shlex.split(command)
    found = find_command(name)
    assert found is not None
    parser_of(name, found).parse_args(words)  # ends the test with SystemExit otherwise


def test_every_command_that_an_alert_names_can_be_typed() -> None:
    """With the remedy in the message nobody needs the page."""
    for alert in alerts().values():
        for command in _SLUICE.findall(alert["annotations"]["description"]):
            _, name, *words = shlex.split(command)
            found = find_command(name)
            assert found is not None
            parser_of(name, found).parse_args(words)


def test_every_kubectl_command_means_what_the_chart_makes() -> None:
    """Objects, components, containers."""
    chart = render(name="kube-sluice")
    made = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in chart.manifests}
    for command in COMMANDS:
        assert command.split()[0] in {"kubectl", "sluice"}, command
        for kind, name in _OF_THE_CHART.findall(command):
            assert f"{kind}/{name}" in made, command
        for component in _COMPONENT.findall(command):
            assert component in chart.pods()
        container = re.search(r" -c (\w+)", command)
        if container is not None:
            assert container[1] in chart.containers()


def test_every_value_that_a_runbook_names_exists() -> None:
    """A remedy that Helm refuses is none."""
    said = comments(VALUES.read_text(encoding="utf-8"))
    blocks = {path.partition(".")[0] for path in said}
    for path in re.findall(r"`([a-z][A-Za-z]*(?:\.[A-Za-z]+)+)`", PAGE):
        if path.partition(".")[0] in blocks:
            assert path in said or path.rpartition(".limits")[0] in said, path
