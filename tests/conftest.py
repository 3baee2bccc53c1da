"""What every test may ask for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures_sandbox",
    "tests.fixtures_queue",
    "tests.fixtures_redis",
    "tests.fixtures_trivy",
    "tests.fixtures_live",
    "tests.fixtures_docker",
    "tests.fixtures_statuspage",
]

# No test asserts an absolute time, and so does no example: others may use the machine.
settings.register_profile("default", deadline=None)
# `pytest --hypothesis-profile=thorough`: minutes instead of seconds, for the stateful tests.
settings.register_profile("thorough", max_examples=2_000, deadline=None)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a test, or the command that it calls, configures: logging is one per process."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
