"""Documentation: what is generated is up to date, what exists is documented."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from common.settings import document, value
from common.settings.setting import Setting
from common.settings.table import BY_NAME, GROUPS, ROWS
from common.state import bounds_page
from tests import metrics_page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def test_the_configuration_page_is_what_the_code_generates() -> None:
    """A page that is edited by hand is wrong after the next change of the code."""
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == document.markdown(), (
        "run: python -m common.settings.document > docs/configuration.md"
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_setting_is_documented_in_one_row(row: Setting[object]) -> None:
    """A setting that nobody can find is a setting that nobody uses, or worse, guesses."""
    lines = document.markdown().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{row.name}`")]
    assert (row.meaning if row.honoured else row.instead) in line
    assert row.default in line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_default_parses(row: Setting[object]) -> None:
    """The default is documented as text, so it must mean something as text."""
    row.format.read(row.default)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_complete(row: Setting[object]) -> None:
    """Prose is proofread as code: a sentence ends with a full stop; a refusal has its reason."""
    assert row.group in GROUPS
    assert row.meaning.endswith(".")
    assert row.honoured != bool(row.instead)
    assert row.upstream != row.name.startswith("SLUICE_")


def test_no_name_stands_twice() -> None:
    """The second row would never be read."""
    assert len(BY_NAME) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_our_numbers_carry_their_unit_in_the_name(row: Setting[object]) -> None:
    """SLUICE_LEASE=15000 would be read as milliseconds by half of its users."""
    if row.name.startswith("SLUICE_") and row.unit in {"s", "MB"}:
        assert row.name.endswith(f"_{row.unit.upper()}")


# Fields of `Settings` whose rows are not honoured yet, by the row that fills them.
WAITING = {
    "exclude_images": "SLUICE_EXCLUDE_IMAGES",
    "skip_init_containers": "SLUICE_SKIP_INIT_CONTAINERS",
    "token_file": "SLUICE_TRIVY_TOKEN_FILE",
    "insecure_databases": "SLUICE_DB_REPOSITORY_INSECURE",
    "database_username_file": "SLUICE_DB_REPOSITORY_USERNAME_FILE",
    "database_password_file": "SLUICE_DB_REPOSITORY_PASSWORD_FILE",
    "provider_config": "SLUICE_CREDENTIAL_PROVIDER_CONFIG",
    "provider_bin_dir": "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR",
    "ignore_file": "TRIVY_IGNOREFILE",
    "ignore_rules": "SLUICE_IGNORE_RULES",
    "ignore_policy": "TRIVY_IGNORE_POLICY",
    "ignore_policies": "SLUICE_IGNORE_POLICIES",
    "vex_files": "TRIVY_VEX",
    "package_types": "TRIVY_PKG_TYPES",
    "ignore_statuses": "TRIVY_IGNORE_STATUS",
    "sbom_sources": "TRIVY_SBOM_SOURCES",
    "report_ttl_s": "SLUICE_RESCAN_WINDOW",
    "rescan_window": "SLUICE_RESCAN_WINDOW",
    "refresh_over_s": "SLUICE_REFRESH_OVER_S",
    "max_image_bytes": "TRIVY_MAX_IMAGE_SIZE",
    "scratch_mb": "SLUICE_SCRATCH_MB",
    "layer_cache_gb": "SLUICE_LAYER_CACHE_GB",
    "pulls_per_min": "SLUICE_REGISTRY_PULLS_PER_MIN",
    "concurrent_pulls": "SLUICE_REGISTRY_CONCURRENT_PULLS",
    "pull_proxy": "SLUICE_PULL_PROXY",
    "verify_layers": "SLUICE_VERIFY_LAYERS",
}


def test_every_setting_is_read_by_the_product() -> None:
    """A setting that is honoured on paper only is worse than one that is refused."""
    groups = [kind for kind in get_type_hints(value.Settings).values() if is_dataclass(kind)]
    assert value.OpsSettings in groups
    names = {field.name for group in groups for field in fields(group)}
    sources = [
        path.read_text(encoding="utf-8")
        for package in ("common", "watcher", "worker")
        for path in (ROOT / package).rglob("*.py")
        if path.parent.name != "settings"
    ]
    unread = {
        name for name in names if not any(re.search(rf"\.{name}\b", text) for text in sources)
    }
    assert unread == {field for field, name in WAITING.items() if not BY_NAME[name].honoured}


def test_the_table_of_redis_names_is_what_the_code_generates() -> None:
    """Every Redis name has an owner and a bound, and the page must not lag behind."""
    page = (DOCS / "limits.md").read_text(encoding="utf-8")
    assert bounds_page.table() in page, "replace the table by: python -m common.state.bounds_page"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_generated_table_says_once_that_it_is_one(page: Path) -> None:
    """Whoever replaces a table by what a command prints must not keep the old one's marks."""
    text = page.read_text(encoding="utf-8")
    marks = re.findall(r"<!-- (?:Generated by|End of) [^>]*-->\n*(?=<!--)", text)
    assert marks == []


METRICS = {row.name: row for row in metrics_page.rows()}
_METRIC = re.compile(r"\b(?:sluice|trivy)_[a-z_]+")
# What Prometheus makes of a histogram.
_PARTS = re.compile(r"_(?:bucket|sum|count)$")


def test_the_table_of_metrics_is_what_the_processes_serve() -> None:
    """What is not on the page is on no dashboard; what is only there, on a broken one."""
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert metrics_page.table() in page, "replace the table by: python -m tests.metrics_page"


def test_every_metric_in_the_code_is_in_the_table() -> None:
    """Whoever adds one in a new place must add the place to `tests.metrics_page`."""
    sources = [
        path.read_text(encoding="utf-8")
        for package in ("common", "watcher", "worker")
        for path in (ROOT / package).rglob("*.py")
    ]
    named = {name for text in sources for name in re.findall(r'"(sluice_[a-z_]+)"', text)}
    assert named <= METRICS.keys()


def test_every_metric_that_a_page_names_exists() -> None:
    """An alert on a name with a typing error never fires."""
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for name in _METRIC.findall(page.read_text(encoding="utf-8")):
            assert _PARTS.sub("", name) in METRICS or name in METRICS, f"{page.name}: {name}"


@pytest.mark.parametrize("row", METRICS.values(), ids=METRICS)
def test_a_metric_stands_once_and_says_what_it_is(row: metrics_page.Row) -> None:
    """Two processes that serve one name make every sum wrong."""
    assert [each.served_by for each in metrics_page.rows() if each.name == row.name] == [
        row.served_by
    ]
    assert row.text[0].isupper() or row.text[0].isdigit()


_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *DOCS.rglob("*.md")], ids=lambda page: page.name
)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A dead link is the last thing that a reader tries."""
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("adr", sorted((DOCS / "adr").glob("*.md")), ids=lambda page: page.name)
def test_every_decision_has_its_parts(adr: Path) -> None:
    """Without "Must not" and "Evidence" a decision is an opinion."""
    text = adr.read_text(encoding="utf-8")
    for part in ("Context", "Decision", "Must not", "Alternatives", "Evidence"):
        assert f"## {part}" in text
    assert len(text.splitlines()) <= 60


def test_every_change_is_one_sentence() -> None:
    """Fragments become the changelog as they are."""
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.suffix == ".md"]
    kinds = {"security", "removed", "deprecated", "added", "changed", "fixed"}
    for fragment in fragments:
        assert fragment.name.split(".")[-2] in kinds
        text = fragment.read_text(encoding="utf-8").strip()
        assert text.endswith(".")
        assert "\n" not in text
