"""Documentation as a whole: links and anchors lead somewhere, and what a page names exists."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.cli.command import parser_of
from common.cli.main import find_command
from common.settings.table import BY_NAME

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "charts/**/*.md", "tests/**/*.md", "changelog.d/*.md")
    for page in ROOT.glob(pattern)
)
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_TOP = ("common", "watcher", "worker", "sandbox", "tests", "charts", "docs", "requirements")
_PATH = re.compile(rf"(?:{'|'.join(_TOP)})(?:/[\w.*-]+)+/?")
_SETTING = re.compile(r"\b(?:SLUICE|OPERATOR)_[A-Z0-9_]+\b(?!…)")


def name_of(page: Path) -> str:
    """Return a page's name in the repository."""
    return str(page.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    """Return a page."""
    return page.read_text(encoding="utf-8")


@cache
def prose_of(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", text_of(page))


def spans(page: Path) -> Iterator[str]:
    """Yield what stands in backticks within a line."""
    yield from _SPAN.findall(prose_of(page))


def commands(page: Path) -> Iterator[str]:
    """Yield what somebody may type: lines of a console, and spans."""
    for language, block in _FENCE.findall(text_of(page)):
        if language in ("console", "sh", "bash"):
            joined = block.replace("\\\n", " ")
            yield from (line.removeprefix("$ ") for line in joined.splitlines())
    yield from spans(page)


def _github(heading: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.strip().replace(" ", "-")


def _generator(heading: str) -> str:
    """Return what Markdown for Python makes of a heading, which site generators use."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower())


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page that are the same on GitHub and on a site."""
    headings = [
        re.sub(r"\[([^]]+)]\([^)]+\)", r"\1", one) for one in _HEADING.findall(prose_of(page))
    ]
    slugs = [_github(one) for one in headings]
    return frozenset(
        slug
        for slug, heading in zip(slugs, headings, strict=True)
        if slugs.count(slug) == 1 and slug == _generator(heading)
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_and_anchor_leads_somewhere(page: Path) -> None:
    """A dead link is the last thing that a reader tries."""
    for target in _LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{name_of(page)} links to {target}"
        assert found.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(found), f"{name_of(page)} links to {target}"


def _entries(level: object) -> Iterator[str]:
    match level:
        case str():
            yield level
        case list():
            for one in level:
                yield from _entries(one)
        case dict():
            for one in level.values():
                yield from _entries(one)
        case _:
            raise TypeError(level)


def test_the_sites_menu_has_every_page_once() -> None:
    """A page that no menu shows is found by nobody, and a dead entry breaks the site."""
    listed = list(_entries(SITE["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_index_links_to_every_page_but_decisions() -> None:
    """The same on GitHub, where there is no menu."""
    linked = {target.partition("#")[0] for target in _LINK.findall(text_of(DOCS / "index.md"))}
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    """Code moves, and prose stays behind."""
    for span in spans(page):
        if (found := _PATH.fullmatch(span)) is not None:
            assert any(ROOT.glob(found[0].rstrip("/"))), f"{name_of(page)} names {span}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    """A name with a typing error ends the start of whoever copies it."""
    for span in spans(page):
        for name in _SETTING.findall(span):
            assert name in BY_NAME or name.endswith("_"), f"{name_of(page)} names {name}"


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a command and of its actions."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= _options(below)
    return found


def _words(line: str) -> list[str] | None:
    """Return the words of a call of ours within a line; None if there is none."""
    found = re.search(r"(?:^|[|;&] |-- )sluice ([a-z][^|;&>]*)", line)
    if found is None:
        return None
    try:
        return shlex.split(found[1].replace("…", ""), comments=True)
    except ValueError:
        return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    """Commands and their options are copied as they stand."""
    for line in commands(page):
        words = _words(line)
        if not words:
            continue
        command = find_command(words[0])
        assert command is not None, f"{name_of(page)}: {line}"
        parser = parser_of(words[0], command)
        known = _options(parser)
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{name_of(page)}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_and_module_that_a_page_names_exists(page: Path) -> None:
    """`make` says only that there is no rule."""
    makefile = text_of(ROOT / "Makefile")
    for line in commands(page):
        for target in re.findall(r"^make ([a-z0-9-]+)", line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name_of(page)}: {line}"
        for module in re.findall(
            r"python -m ((?:common|watcher|worker|sandbox|tests|charts)[.\w]*)", line
        ):
            assert importlib.util.find_spec(module) is not None, f"{name_of(page)}: {line}"


@cache
def _tests() -> frozenset[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    functions = {name for text in sources for name in re.findall(r"def (test_\w+)", text)}
    return frozenset(functions | {path.stem for path in (ROOT / "tests").rglob("test_*.py")})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    """A proof that is gone is none."""
    for span in spans(page):
        if re.fullmatch(r"test_\w+", span):
            assert span in _tests(), f"{name_of(page)} names {span}"


VALUES: Any = yaml.safe_load(text_of(ROOT / "charts/kube-sluice/values.yaml"))
# What looks like a value of the chart and is none, by its whole name.
OTHERS = frozenset({"scanner.sock", "worker.host.Host", "matcher.networkPolicy.enabled"})
_MADE = re.compile(r"<!-- Generated by.*?<!-- End of", re.DOTALL)  # tables name others' values too


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_value_of_the_chart_that_a_page_names_exists(page: Path) -> None:
    """A misspelt one is refused, so whoever copies it is stopped."""
    for span in _SPAN.findall(_MADE.sub("", prose_of(page))):
        found = re.fullmatch(r"([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?:[=:].*)?", span)
        if found is None or found[1].partition(".")[0] not in VALUES or found[1] in OTHERS:
            continue
        level: Any = VALUES
        for part in found[1].split("."):
            if not isinstance(level, dict) or not level:
                break  # a map of yours
            assert part in level, f"{name_of(page)} names {span}"
            level = level[part]
