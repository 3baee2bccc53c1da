"""Edges of the command line: registries' front doors, numbers, signals, odd installations."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli.checks.evidence import (
    check_match_server,
    check_registry,
    eased,
    is_fresh_database,
    judge_database,
)
from common.cli.command import positive, seconds
from common.cli.interrupts import interrupts
from common.cli.layout import columns
from common.cli.main import main
from common.cli.subject import Image, Known, keys_meant
from common.cli.terminal import printable
from common.cli.version import versions
from common.model.finding import Fault, Good, Notice
from common.model.image import ImageUse
from common.model.key import ImageKey
from common.settings.parse import parse
from common.settings.table import ROWS
from common.state.database import DatabaseRow
from tests.cli_values import NOW_S, FakeSettled
from tests.fakes.web import Say, web

# --- the registry's and the match server's front doors


@pytest.mark.parametrize("status", [200, 401])
def test_a_registry_may_greet_strangers_either_way(status: int) -> None:
    """Docker Hub asks for a token at once; a local registry asks for nothing."""
    with web(lambda _: Say(status=status)) as registry:
        found = check_registry(registry.address, plain=True, unverified=True)
        assert registry.paths()[-1] == "GET /v2/"
    assert isinstance(found, Good)
    assert "over http" in found.said


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_what_is_no_registry_is_a_fault_with_its_status(status: int) -> None:
    """A proxy's error page answers too."""
    with web(lambda _: Say(status=status)) as registry:
        found = check_registry(registry.address, plain=True, unverified=True)
    assert isinstance(found, Fault)
    assert f"status {status}" in found.said


def test_plain_http_is_never_tried_unless_it_is_allowed() -> None:
    """What goes over it may be changed on its way; the database decides what is a finding."""
    with web(lambda _: Say(status=200)) as registry:
        found = check_registry(registry.address, plain=False, unverified=False)
        assert registry.asked == []
    assert isinstance(found, Fault)


def test_a_match_server_that_answers_is_good() -> None:
    """Its own health page says so."""
    with web(lambda asked: Say(status=200 if asked.path == "/healthz" else 404)) as server:
        assert isinstance(check_match_server(server.url), Good)


def test_a_match_server_that_does_not_answer_from_here_is_no_fault() -> None:
    """Only workers need to reach it."""
    with web(lambda _: Say(status=500)) as server:
        found = check_match_server(server.url)
    assert isinstance(found, Notice)


def test_only_a_database_that_is_fresh_eases_the_registrys_fault() -> None:
    """An old one may be old because of the very fault."""
    fresh = DatabaseRow(version="2026-11-25T06:00:00Z", server_url="u")
    old = DatabaseRow(version="2026-11-01T06:00:00Z", server_url="u")
    assert is_fresh_database(judge_database(fresh, now_s=NOW_S))
    assert not is_fresh_database(judge_database(old, now_s=NOW_S))
    assert not is_fresh_database(judge_database(None, now_s=NOW_S))
    assert not is_fresh_database(Good(topic="Redis", said="8"))
    fault = Fault(topic="registry", said="away", remedy="open it")
    assert isinstance(eased(fault), Notice)
    good = Good(topic="registry", said="here")
    assert eased(good) is good


# --- numbers


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "٣", "1_0", "x"])
def test_what_is_no_count_is_refused(text: str) -> None:
    """Python reads more as a number than people mean."""
    with pytest.raises(argparse.ArgumentTypeError):
        positive(text)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "", "1s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """A wait of NaN never ends, or never begins."""
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


@given(st.integers(1, 10**9))
def test_numbers_are_read_as_they_are_written(number: int) -> None:
    """Also large ones."""
    assert positive(str(number)) == number
    assert seconds(f"{number}.5") == number + 0.5


# --- text


@given(st.text())
def test_printable_text_is_printable_and_only_control_is_lost(text: str) -> None:
    """Names in any script stay what they are."""
    found = printable(text)
    assert len(found) == len(text)
    assert all(char.isprintable() or char in "\n\t" for char in found)
    kept = zip(text, found, strict=True)
    assert all(a == b for a, b in kept if a.isprintable() or a in "\n\t")


words = st.text(alphabet="abc xyz", max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_the_second_column_begins_at_one_place(rows: list[tuple[str, str]]) -> None:
    """That is what a column is."""
    shown = columns([(first, f"|{second}") for first, second in rows])
    widest = max(len(" ".join(first.split())) for first, _ in rows)
    assert {line.index("|") for line in shown.split("\n")} == {widest + 2}


# --- signals


def test_signals_are_handled_during_the_block_and_as_before_after_it() -> None:
    """A command that is called from a test or a script owns them only while it runs."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    given = [signal.signal(number, signal.SIG_DFL) for number in numbers]  # ignored in a background
    try:
        with interrupts() as handler:
            until = handler.watched()
            os.kill(os.getpid(), signal.SIGHUP)  # the terminal was closed
            assert until.wait(30)
        assert {signal.getsignal(number) for number in numbers} == {signal.SIG_DFL}
    finally:
        for number, was in zip(numbers, given, strict=True):
            signal.signal(number, was)


# --- odd references and installations


class OddImages:
    """An image whose user names it in a way that is no reference."""

    def keys(self) -> list[ImageKey]:
        """Return it."""
        return [ImageKey(digest="sha256:" + "cd" * 32, platform="linux-amd64", options="0f")]

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return its use."""
        assert key in self.keys()
        return [ImageUse(workload="workload/Pod/a/b", reference="UPPER/Bad:tag", namespace="a")]


class NoRows:
    """No workloads."""

    def keys(self) -> list[object]:
        """Return nothing."""
        return []

    def all(self) -> list[object]:
        """Return nothing."""
        return []


def test_an_image_that_is_no_reference_is_still_found_by_its_words() -> None:
    """It is exactly the one that somebody asks about."""
    known = Known(rows=NoRows(), images=OddImages(), settled=FakeSettled())  # type: ignore[arg-type] # rows are not asked
    assert keys_meant(Image(text="UPPER/Bad:tag"), known) == OddImages().keys()
    assert keys_meant(Image(text="other/Bad:tag"), known) == []


class OneImage(OddImages):
    """An image of a private registry, or of another one."""

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return its use."""
        assert key in self.keys()
        return [ImageUse(workload="workload/Pod/a/b", reference=self.reference, namespace="a")]


@pytest.mark.parametrize(
    ("reference", "text", "is_meant"),
    [
        ("registry.example.com/team/app:1", "team/app:1", True),
        ("registry.example.com:5000/app:1", "app:1", True),
        ("mirror.example.com/library/nginx:1", "nginx:1", True),
        ("registry.example.com/app", "app", True),
        ("registry.example.com/team/app:1", "team/app:2", False),
        ("registry.example.com/team/app:1", "app:1", False),
        ("registry.example.com/team/app:1", "docker.io/team/app:1", False),
        ("registry.example.com/team/app:1", "other.example.com/team/app:1", False),
        ("docker.io/library/nginx:1", "nginx:1", True),
    ],
)
def test_an_image_is_found_by_what_kubectl_shows_of_it(
    reference: str, text: str, *, is_meant: bool
) -> None:
    """`kubectl get vulns` has columns for repository and tag, and none for the registry."""
    images = OneImage(reference)
    known = Known(rows=NoRows(), images=images, settled=FakeSettled())  # type: ignore[arg-type] # rows are not asked
    assert keys_meant(Image(text=text), known) == (images.keys() if is_meant else [])


def test_what_is_not_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`sluice version` is most wanted where something is missing."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    notes: list[str] = []
    environ = {"SLUICE_TRIVY_PATH": str(tmp_path / "none"), "PATH": ""}
    found = versions(environ, note=notes.append)
    assert notes
    assert "no usable Trivy" in notes[0]
    assert (found["rq"], found["trivy"]) == (None, None)
    assert found["python"]


def test_wrong_settings_do_not_hide_the_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug report about settings begins with this command too."""
    monkeypatch.setenv("SLUICE_NONSENSE", "1")
    assert main(["version"]) == 0
    text, said = capsys.readouterr()
    assert "sluice " in text
    assert "SLUICE_NONSENSE" in said
    assert "trivy: settings" not in said


def test_a_malformed_setting_is_not_blamed_on_trivy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`trivy: settings: …` made people install another Trivy, and hid the version of theirs."""
    program = tmp_path / "trivy"
    program.write_text('#!/bin/sh\necho \'{"Version": "0.76.0"}\'\n', encoding="utf-8")
    program.chmod(0o755)
    notes: list[str] = []
    environ = {"SLUICE_TRIVY_PATH": f" {program}", "SLUICE_LEASE_S": "soon", "PATH": ""}
    assert versions(environ, note=notes.append)["trivy"] == "0.76.0"
    (note,) = notes
    assert note.startswith("settings: SLUICE_LEASE_S ")


@pytest.mark.parametrize("row", [row for row in ROWS if row.default], ids=lambda row: row.name)
def test_a_default_written_out_means_the_default(row: object) -> None:
    """A chart that spells every value out must not change a report, or warn."""
    name, default = row.name, row.default  # type: ignore[attr-defined] # a Setting of some value
    spelt, plain = parse({name: default}), parse({})
    assert spelt == plain
    assert spelt.projection_digest() == plain.projection_digest()
