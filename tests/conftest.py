"""What every test may ask for."""

pytest_plugins = [
    "tests.fixtures_sandbox",
    "tests.fixtures_queue",
    "tests.fixtures_redis",
    "tests.fixtures_trivy",
    "tests.fixtures_live",
]
