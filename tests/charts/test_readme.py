"""The chart's README and Chart.yaml: generated where they can be, and true."""

from __future__ import annotations

import re

import pytest
import yaml

from charts.readme import rows, table
from charts.schema import VALUES, comments
from common.settings.table import BY_NAME
from tests.charts.rendered import CHART, PRESETS, values

TEXT = VALUES.read_text(encoding="utf-8")
README = (CHART / "README.md").read_text(encoding="utf-8")
CHANGE = re.compile(r"^### To (\d+\.\d+\.\d+)$", re.MULTILINE)


def test_the_table_of_values_is_what_the_comments_say() -> None:
    """A table that is edited by hand is wrong after the next change of the values."""
    assert table(TEXT) in README, "replace the table by: python -m charts.readme"


def test_every_value_has_a_row() -> None:
    """Those that are documented, no more and no less."""
    blocks = {path for path in comments(TEXT) if "." not in path}
    told = {path for path, _ in rows(yaml.safe_load(TEXT))}
    inner = {path for path in comments(TEXT) if ".resources." not in path}
    assert told | blocks == inner
    for path in told - blocks:
        assert f"| `{path}` |" in README


def test_every_preset_is_told_of() -> None:
    """A file that nobody knows is used by nobody."""
    assert {path.name for path in PRESETS} == set(
        re.findall(r"\[`presets/([a-z-]+\.yaml)`\]\(presets/\1\) \|", README)
    )


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)[^)]*\)", README))))
def test_every_link_leads_somewhere(path: str) -> None:
    """In the repository, where it is read."""
    assert (CHART / path).resolve().exists(), path


def test_every_value_that_the_prose_names_exists() -> None:
    """Prose is not generated, so it is the first to lie."""
    prose = README.partition("## Values")[0]
    known = set(comments(TEXT)) | {"matcher.networkPolicy.enabled"}  # told as the old name
    named = set(re.findall(r"`((?:[a-z]+[A-Za-z]*\.)+[A-Za-z]+)(?:: [^`]*|=[^`]*)?`", prose))
    ours = {name for name in named if name.split(".")[0] in yaml.safe_load(TEXT)}
    assert len(ours) > 10
    assert ours - known == set()


def test_the_chart_tells_what_changed_in_it() -> None:
    """Where people look before an upgrade: on Artifact Hub and in the README."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load(chart["annotations"]["artifacthub.io/changes"])
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert changes
    for change in changes:
        assert change["kind"] in kinds
        assert change["description"]
    assert CHANGE.findall(README)[0] == chart["version"]


def test_an_air_gapped_cluster_asks_one_registry_for_everything() -> None:
    """Images, databases and mirrors; what has another default would wait for a time-out."""
    told = values(CHART / "presets" / "air-gap.yaml")
    mirror = told["imageRegistry"]
    settings = told["settings"]
    for name in ("TRIVY_DB_REPOSITORY", "TRIVY_JAVA_DB_REPOSITORY"):
        assert settings[name].startswith(f"{mirror}/")
    for each in settings["SLUICE_REGISTRY_MIRRORS"].split(","):
        assert each.partition("=")[2].startswith(f"{mirror}/")
    outside = [name for name in BY_NAME if name.endswith("_REPOSITORY")]
    assert set(outside) <= set(settings)
