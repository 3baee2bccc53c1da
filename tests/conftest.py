"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures_sandbox",
    "tests.fixtures_queue",
    "tests.fixtures_redis",
    "tests.fixtures_trivy",
    "tests.fixtures_live",
]

# `pytest --hypothesis-profile=thorough`: minutes instead of seconds, for the stateful tests.
settings.register_profile("thorough", max_examples=2_000, deadline=None)
