"""How the watcher reads trivy-operator's ConfigMaps, follows them, and outlives what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest
import structlog

from common.kube.errors import DeniedError
from common.model.errors import SluiceError, SourceUnavailableError, StaleFenceError
from common.model.overlay import EMPTY, Entry, Overlay
from common.settings.operator_keys import MAPS, OPERATOR_MAP, TRIVY_MAP
from tests.waiting import eventually
from watcher.configmaps import ConfigMapSettings
from watcher.publishing import Published

HIGH = {TRIVY_MAP: {"trivy.severity": "HIGH"}}
WRONG = {TRIVY_MAP: {"trivy.severity": "HIHG"}}


class Maps:
    """ConfigMaps that a test changes, or that answer with an error."""

    namespace = "trivy-system"

    def __init__(self, found: dict[str, dict[str, str]]) -> None:
        self.found = found
        self.error: SluiceError | None = None
        self.reads = 0

    def read(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return those that exist."""
        assert tuple(names) == MAPS
        self.reads += 1
        if self.error is not None:
            raise self.error
        return {name: dict(data) for name, data in self.found.items()}


def denied(code: int) -> DeniedError:
    """Return a refusal."""
    error = DeniedError("no")
    error.code = code
    return error


def source(maps: Maps | None, last: Overlay | None = None) -> ConfigMapSettings:
    """Return what reads them."""
    return ConfigMapSettings(maps, {}, last=lambda: last)


def texts(one: ConfigMapSettings) -> dict[str, str]:
    """Return what counts of them."""
    return {entry.name: entry.text for entry in one.overlay.entries}


def test_a_change_is_seen_once_and_nothing_else_is_one() -> None:
    """Where something stands, or a key without effect, makes no process begin anew."""
    maps = Maps(HIGH)
    one = source(maps)
    assert one.begin().reports.severities == ("HIGH",)
    assert not one.look()
    maps.found = {TRIVY_MAP: {**HIGH[TRIVY_MAP], "trivy.command": "rootfs"}}
    assert not one.look()
    assert "file system" in one.overlay.notices[0]
    maps.found = {TRIVY_MAP: {"trivy.severity": "LOW"}}
    with structlog.testing.capture_logs() as logs:
        assert one.look()
    assert {"names": ["TRIVY_SEVERITY"]}.items() <= logs[0].items()


def test_a_config_map_that_goes_away_is_a_change() -> None:
    """Its settings have their defaults then, as at the next start."""
    maps = Maps(HIGH)
    one = source(maps)
    one.begin()
    maps.found = {}
    assert one.look()


def test_what_becomes_wrong_changes_nothing_and_is_told_once() -> None:
    """With ConfigMap, key, remedy, and what holds meanwhile; a correction is told too."""
    maps = Maps(HIGH)
    one = source(maps)
    one.begin()
    maps.found = WRONG
    with structlog.testing.capture_logs() as logs:
        assert not one.look()
        assert not one.look()
    (told,) = logs
    assert "ConfigMap trivy-system/trivy-operator-trivy-config, key trivy.severity" in told["what"]
    assert "kubectl -n trivy-system edit configmap" in told["what"]
    assert told["meanwhile"] == "the settings of before hold until then"
    assert texts(one) == {"TRIVY_SEVERITY": "HIGH"}
    assert (len(one.overlay.faults), one.overlay.kept) == (1, True)
    maps.found = HIGH
    assert not one.look()
    assert not one.overlay.faults


def test_a_start_with_something_wrong_takes_up_what_held_before() -> None:
    """A Pod that is moved in that moment must not undo the settings, nor crash."""
    before = Overlay(entries=(Entry("TRIVY_SEVERITY", "LOW", "?"),))
    one = source(Maps(WRONG), before)
    assert one.begin().reports.severities == ("LOW",)
    assert one.overlay.kept
    alone = source(Maps(WRONG))
    assert len(alone.begin().reports.severities) == 5
    assert not alone.overlay.kept


def test_without_the_right_to_read_them_they_are_no_settings() -> None:
    """Said, not fatal: most who lack it never had a trivy-operator."""
    maps = Maps({})
    maps.error = denied(403)
    one = source(maps)
    assert len(one.begin().reports.severities) == 5
    (notice,) = one.overlay.notices
    assert "may not get the ConfigMaps" in notice
    assert "SLUICE_OPERATOR_CONFIGMAPS=false" in notice
    assert not one.look()
    maps.error, maps.found = None, HIGH
    assert one.look()  # it was granted


def test_a_right_that_is_taken_away_changes_no_setting() -> None:
    """Nobody said that they say something else."""
    maps = Maps(HIGH)
    one = source(maps)
    one.begin()
    maps.error = denied(403)
    assert not one.look()
    assert texts(one) == {"TRIVY_SEVERITY": "HIGH"}
    maps.error = None
    assert not one.look()
    assert not one.overlay.notices


def test_who_is_nobody_to_the_server_waits() -> None:
    """A token that is being rotated is no answer about ConfigMaps."""
    maps = Maps(HIGH)
    maps.error = denied(401)
    with pytest.raises(DeniedError):
        source(maps).begin()


def test_switched_off_nobody_is_asked() -> None:
    """And workers are told that nothing stands over the defaults."""
    one = source(None)
    assert len(one.begin().reports.severities) == 5
    assert not one.look()
    assert one.overlay == EMPTY


def test_an_outage_is_outlived() -> None:
    """One line when it begins; what changed meanwhile is seen when it is over."""
    maps = Maps(HIGH)
    one = source(maps)
    one.begin()
    maps.error = SourceUnavailableError("away")
    renewed, stop = threading.Event(), threading.Event()
    with structlog.testing.capture_logs() as logs:
        thread = threading.Thread(
            target=one.follow, args=(stop, renewed.set), kwargs={"every_s": 0.001}
        )
        thread.start()
        seen = maps.reads
        assert eventually(lambda: maps.reads > seen + 3)
        maps.found, maps.error = {OPERATOR_MAP: {"scanJob.skipInitContainers": "true"}}, None
        assert renewed.wait(30)
        thread.join()
    assert [each["event"] for each in logs] == ["configmaps not read", "settings changed"]


# --- publishing ---------------------------------------------------------------------------------


class Redis:
    """Notes what is written, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.fault: SluiceError | None = None

    def current(self) -> int:
        """Return an epoch."""
        return 7

    def publish(self, digest: str, at_least: int = 0, *, fence: int) -> int:
        """Publish an epoch."""
        self.calls.append((digest, at_least, fence))
        return 7

    def alive(self, *, fence: int) -> None:
        """Leave a sign of life."""
        self.calls.append(f"alive {fence}")


class Overlays:
    """Notes the settings among the calls of another."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def publish(self, overlay: Overlay, *, fence: int) -> None:
        """Publish them."""
        if self._redis.fault is not None:
            raise self._redis.fault
        self._redis.calls.append(f"{len(overlay.faults)} faults {fence}")


def test_settings_are_published_before_their_epoch_and_again_when_redis_lost_them() -> None:
    """Who sees the epoch finds what it is made of; a flush loses both."""
    redis = Redis()
    said = [Overlay()]
    one = Published(redis, redis, Overlays(redis), lambda: said[0])
    assert one.publish("d", 5, fence=3) == one.current() == 7
    one.alive(fence=3)
    assert one.publish("d", fence=3) == 7
    assert redis.calls == [
        "0 faults 3", ("d", 5, 3), "alive 3", "0 faults 3", ("d", 0, 3),
    ]  # fmt: skip


def test_what_is_wrong_goes_out_with_a_sign_of_life() -> None:
    """It changes no epoch, and must be seen."""
    redis = Redis()
    said = [Overlay()]
    one = Published(redis, redis, Overlays(redis), lambda: said[0])
    one.publish("d", fence=3)
    redis.calls.clear()
    said[0] = Overlay(faults=(source_fault(),))
    redis.fault = StaleFenceError("another leads")
    with pytest.raises(StaleFenceError):
        one.alive(fence=3)
    redis.fault = None
    one.alive(fence=3)
    one.alive(fence=3)
    assert redis.calls == ["1 faults 3", "alive 3", "alive 3"]


def source_fault() -> Any:
    """Return what is wrong with a key."""
    one = source(Maps(WRONG))
    one.begin()
    return one.overlay.faults[0]
