"""How a worker takes up and follows the settings that the leading watcher published."""

from __future__ import annotations

import threading

import pytest
import structlog

from common.model.errors import SluiceError, SourceUnavailableError
from common.model.overlay import Entry, Overlay
from common.settings.operator_keys import SETTABLE
from worker.followed import Followed, concerning


class Table:
    """What is published."""

    def __init__(self, **said: str) -> None:
        self.overlay: Overlay | None = None
        self.error: SluiceError | None = None
        if said:
            self.say(**said)

    def say(self, **said: str) -> None:
        """Publish other settings."""
        self.overlay = Overlay(entries=tuple(Entry(*each, "?") for each in said.items()))

    def digest(self) -> str:
        """Return the digest of what is published."""
        if self.error is not None:
            raise self.error
        return self.overlay.digest if self.overlay is not None else ""

    def current(self) -> Overlay | None:
        """Return what is published."""
        return self.overlay


POOLS = ("reconcile", "scan")


def followed(table: Table, pools: tuple[str, ...] = POOLS) -> Followed:
    """Return what follows it."""
    return Followed(table, {}, pools=pools)


def test_it_takes_up_what_is_published_and_sees_a_change() -> None:
    """Once: the next life begins with it."""
    table = Table(TRIVY_SEVERITY="HIGH")
    one = followed(table)
    assert one.begin().reports.severities == ("HIGH",)
    assert not one.look()
    table.say(TRIVY_SEVERITY="LOW")
    assert one.look()


def test_the_first_that_is_published_is_a_change() -> None:
    """A worker may be there before the watcher."""
    table = Table()
    one = followed(table)
    assert len(one.begin().reports.severities) == 5
    assert not one.look()
    table.say(TRIVY_SEVERITY="HIGH")
    assert one.look()


def test_a_table_that_is_gone_says_nothing() -> None:
    """A flush of Redis must not undo settings; the watcher publishes them again within seconds."""
    table = Table(TRIVY_SEVERITY="HIGH")
    one = followed(table)
    one.begin()
    table.overlay = None
    assert not one.look()
    table.say(TRIVY_SEVERITY="HIGH")
    assert not one.look()


def test_what_only_rows_tell_begins_no_other_life() -> None:
    """No worker reads it, and an inventory under way is worth minutes."""
    table = Table(TRIVY_SEVERITY="HIGH")
    one = followed(table)
    one.begin()
    table.say(TRIVY_SEVERITY="HIGH", SLUICE_EXCLUDE_IMAGES="a")
    assert not one.look()
    table.say(TRIVY_SEVERITY="HIGH", TRIVY_DB_REPOSITORY="r.example/db")
    assert one.look()


def test_the_matcher_goes_on_where_only_reports_change() -> None:
    """It serves questions of all workers, and projects nothing."""
    table = Table(TRIVY_SEVERITY="HIGH")
    one = followed(table, ("match",))
    one.begin()
    table.say(TRIVY_SEVERITY="LOW")
    assert not one.look()
    table.say(TRIVY_SEVERITY="LOW", TRIVY_DB_REPOSITORY="r.example/db")
    assert one.look()
    assert concerning(("match",)) < concerning(POOLS) < SETTABLE


def test_settings_that_cannot_be_read_end_nothing() -> None:
    """Of another version, while an upgrade is under way: this worker stands back, alive."""
    table = Table(TRIVY_SEVERITY="NONE")
    with structlog.testing.capture_logs() as logs:
        settings = followed(table).begin()
    assert len(settings.reports.severities) == 5
    assert logs[0]["event"] == "the published settings cannot be read"


def test_redis_may_be_away() -> None:
    """At the start it is waited for; later the next look sees what changed."""
    table = Table(TRIVY_SEVERITY="HIGH")
    one = followed(table)
    one.begin()
    table.error = SourceUnavailableError("away")
    with pytest.raises(SourceUnavailableError):
        one.look()
    stop, renewed = threading.Event(), threading.Event()
    with one.until(stop, renewed.set):
        table.say(TRIVY_SEVERITY="LOW")
        table.error = None
        assert renewed.wait(30)
