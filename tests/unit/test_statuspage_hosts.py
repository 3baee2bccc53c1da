"""Under which names the status page answers."""

from __future__ import annotations

import pytest

from common.overview.view import Overview
from tests.overviews import overview
from tests.statussite import ask
from watcher.status.answer import Seen
from watcher.status.hosts import is_ours


def seen(found: Overview | None = None) -> Seen:
    """Return a look of a calm cluster."""
    return Seen(overview=found or overview(), age_s=1.0, unread=None)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8081",
        "127.0.0.1:8081",
        "10.0.0.7",
        "[::1]:8081",
        "[fe80::1]",
        "kube-sluice-watcher",
        "kube-sluice-watcher:8081",
        "kube-sluice-watcher.kube-sluice.svc",
        "kube-sluice-watcher.kube-sluice.svc.cluster.local:8081",
        "KUBE-SLUICE.SVC.",
        "page.localhost",
        "",
    ],
)
def test_usual_names_are_ours(host: str) -> None:
    """Port-forwards, Services and probes work without a setting."""
    assert is_ours(host, ())


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8081",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "svc.evil.example",
        "1.2.3.4.5",
        "evil.example.",
        " evil.example ",
    ],
)
def test_names_that_anybody_can_register_are_not(host: str) -> None:
    """They may lead to us, and then belong to a page that reads what we answer."""
    assert not is_ours(host, ())


def test_settings_allow_more() -> None:
    """An Ingress has a name with a dot."""
    names = ("sluice.corp.example", "other.example")
    assert is_ours("Sluice.Corp.Example:443", names)
    assert not is_ours("x.sluice.corp.example", names)
    assert is_ours("anything.example", ("*",))


def test_what_is_refused_says_which_setting_allows_it() -> None:
    """Whoever put an Ingress before it sees this page first."""
    refused = ask("/", seen(), host="sluice.corp.example")
    assert refused.status == 421
    assert b"SLUICE_STATUS_HOSTS" in refused.body
    assert b"workloads" not in refused.body
    assert (
        ask("/", seen(), host="sluice.corp.example", hosts=("sluice.corp.example",)).status == 200
    )
