"""Trivy's own command line on an image: the oracle of what we tell of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from common.ops.trivy_program import Trivy
from worker.evidence.image.trivy_cli import child_environment


def told_by_trivy(trivy: Trivy, cache: Path, reference: str, *flags: str) -> dict[str, Any]:
    """Return the report of `trivy image` on its own, with the databases in `cache`."""
    argv = (
        trivy.path, "image", "--quiet", f"--cache-dir={cache}", "--image-src=remote",
        "--scanners=vuln,secret", "--image-config-scanners=secret", "--format=json",
        *flags, reference,
    )  # fmt: skip
    ended = subprocess.run(
        argv,
        env=child_environment({}, cache),
        cwd=cache,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    report: dict[str, Any] = json.loads(ended.stdout)
    return report
