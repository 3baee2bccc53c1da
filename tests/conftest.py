"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = [
    "tests.fixtures_sandbox",
    "tests.fixtures_queue",
    "tests.fixtures_redis",
    "tests.fixtures_trivy",
    "tests.fixtures_live",
]

# No test asserts an absolute time, and so does no example: others may use the machine.
settings.register_profile("default", deadline=None)
# `pytest --hypothesis-profile=thorough`: minutes instead of seconds, for the stateful tests.
settings.register_profile("thorough", max_examples=2_000, deadline=None)
