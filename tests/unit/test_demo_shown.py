"""What the demo tells a person to do next must work as it stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sandbox.demo.shown import next_steps

ENVIRON = {
    "SLUICE_REDIS_URL": "redis://127.0.0.1:1/0",
    "TRIVY_DB_REPOSITORY": "127.0.0.1:2/aqua/trivy-db:2",
    "TRIVY_INSECURE": "true",
    "HOME": "/home/somebody",
}


def test_the_next_steps_export_where_the_database_comes_from() -> None:
    """`sluice doctor` looked at another registry than the product and called it a fault."""
    world: Any = SimpleNamespace(plane=SimpleNamespace(kubeconfig="/k"))
    product: Any = SimpleNamespace(environ=lambda: ENVIRON, log="/log", pages=list, data="/d")
    lines = next_steps(world, product).splitlines()
    assert "  export TRIVY_DB_REPOSITORY='127.0.0.1:2/aqua/trivy-db:2'" in lines
    assert "  export SLUICE_DATA_DIR=/d" in lines  # `sluice canary` finds the scanner there
    assert "  export TRIVY_INSECURE='true'" in lines
    assert not any("HOME=" in line or "JAVA" in line for line in lines)
