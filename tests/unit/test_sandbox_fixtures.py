"""What happens to a test whose real part cannot be had."""

from __future__ import annotations

import pytest

from common.model.errors import PreconditionError
from tests.fixtures_sandbox import lacking


def test_ci_fails_without_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A skipped suite would be green."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must have every part: no etcd"):
        lacking(PreconditionError("no etcd"))


def test_elsewhere_a_test_without_a_part_is_skipped_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A laptop without Go still runs the rest of the suite."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no etcd: install Go"):
        lacking(PreconditionError("no etcd: install Go"))
