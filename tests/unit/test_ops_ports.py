"""Ports for children: none is told to two of them."""

from __future__ import annotations

import random

import pytest

from common.ops import ports


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sluice run` asks more than once before anybody listens; its watcher met its own worker."""
    drawn = iter([21_001, 21_001, 21_002])
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports, "_first_outgoing", lambda: 32_768)
    monkeypatch.setattr(random, "randrange", lambda *_: next(drawn))
    first = ports.free_ports(1)
    assert ports.free_ports(1) != first
