"""Which Trivy is newer than which."""

from __future__ import annotations

import pytest

from common.model.trivy_version import is_newer, release


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        ("0.77.0", "0.76.2", True),
        ("0.100.0", "0.99.0", True),
        ("1.0.0", "0.99.9", True),
        ("v0.77.0", "0.76.0", True),
        ("0.76.3", "0.76.0", False),  # a patch release stores what the others read
        ("0.76.0", "0.76.3", False),
        ("0.75.9", "0.76.0", False),
        ("dev", "0.76.0", False),
        ("0.76.0", "dev", False),
        ("", "", False),
    ],
)
def test_a_later_minor_is_newer(version: str, than: str, *, newer: bool) -> None:
    """A build of one's own is neither: nobody can say what it reads."""
    assert is_newer(version, than=than) is newer


def test_a_version_of_absurd_length_is_none() -> None:
    """It comes from another's answer; thousands of digits would cost time."""
    assert release("1" * 100_000 + ".1") is None
