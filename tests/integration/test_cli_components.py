"""`sluice watcher`, `worker`, `scanner`: the command becomes the component."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def sluice(tmp_path: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in an environment without other settings."""
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(
        [sys.executable, "-m", "common.cli.main", *words],
        env={**environ, "SLUICE_DATA_DIR": str(tmp_path), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [["watcher"], ["worker", "--pool", "scan"]])
def test_a_component_without_redis_ends_with_status_3_and_the_remedy(
    tmp_path: Path, words: list[str]
) -> None:
    """Its own words and its own status come through the command."""
    done = sluice(tmp_path, *words)
    assert done.returncode == 3
    assert "SLUICE_REDIS_URL is not set" in done.stderr
    assert done.stdout == ""


def test_a_worker_of_a_pool_that_nothing_serves_ends_with_status_3(tmp_path: Path) -> None:
    """It would look ready for ever and do nothing."""
    done = sluice(tmp_path, "worker", "--pool", "audit", SLUICE_REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 3
    assert "audit alone, which nothing serves" in done.stderr
    assert "one or more of reconcile" in done.stderr


def test_a_pool_that_nothing_serves_is_warned_of_in_the_log(tmp_path: Path) -> None:
    """What it stands for must not look done."""
    done = sluice(
        tmp_path,
        "worker",
        *("--pool", "reconcile,scan,audit"),
        SLUICE_REDIS_URL="redis://127.0.0.1:1",
        OPERATOR_METRICS_BIND_ADDRESS="192.0.2.1:1",  # not ours: it ends there, after its warnings
    )
    assert done.returncode == 3
    warnings = [line for line in done.stderr.splitlines() if '"level":"warning"' in line]
    assert any("SLUICE_WORKER_POOLS has audit" in line for line in warnings), done.stderr
    assert '"component":"worker-reconcile-scan"' in done.stderr


@pytest.mark.parametrize("name", ["watcher", "worker", "scanner"])
def test_wrong_settings_are_told_before_the_component_starts(tmp_path: Path, name: str) -> None:
    """All at once, as everywhere."""
    done = sluice(tmp_path, name, SLUICE_LEASE_S="x", SLUICE_LEASES="1")
    assert done.returncode == 3
    assert "2 settings are wrong" in done.stderr


def test_a_file_in_the_current_folder_is_never_run_instead(tmp_path: Path) -> None:
    """`python -m` looks into the current folder first; a stray watcher.py would be executed."""
    trap = tmp_path / "worker"
    trap.mkdir()
    (trap / "__init__.py").write_text("print('trapped')", encoding="utf-8")
    (trap / "__main__.py").write_text("print('trapped')", encoding="utf-8")
    code = "import sys; from common.cli.main import main; sys.exit(main(['worker']))"
    foreign = ("SLUICE_", "OPERATOR_", "TRIVY_", "KUBECONFIG", "PYTHONPATH")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**environ, "SLUICE_DATA_DIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "trapped" not in done.stdout
    assert done.returncode == 3
