"""What the demo shows a person."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.demo.product import CLUSTER, Product
from sandbox.demo.proof import Measured, Phase
from sandbox.demo.world import World

# What `sluice doctor` needs to look at the database's registry as the product does.
_DATABASE = ("TRIVY_DB_REPOSITORY", "TRIVY_JAVA_DB_REPOSITORY", "TRIVY_INSECURE")
_ROWS = 14  # enough to see the shape, short enough to leave the proof on the screen


def table(world: World) -> str:
    """Return the head of what kubectl shows of the reports."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(world.plane.kubeconfig), "get", "vulns", "-A", "-o", "wide"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines() or [done.stderr.strip()]
    more = [f"… and {len(lines) - _ROWS} more"] if len(lines) > _ROWS else []
    return "\n".join(["", "$ kubectl get vulns -A -o wide", *lines[:_ROWS], *more, ""])


def phase(measured: Phase) -> str:
    """Return one phase as a line."""
    work = measured.work
    return (
        f"{measured.seconds:g} s: {work.inventories} inventories, {work.matches} matches, "
        f"{work.writes} report writes, {work.enqueued} keys enqueued, "
        f"{measured.seen.registry_requests} requests to image repositories"
    )


def summary(measured: Measured, faults: Sequence[str]) -> str:
    """Return the verdict."""
    reports = ", ".join(f"{count} {kind}s" for kind, count in measured.reports.items())
    lines = [
        (
            f"{measured.workloads} workloads with {measured.containers} containers on "
            f"{measured.distinct_images} images: {reports}"
        ),
        f"took {measured.seconds.get('total', 0):g} s",
    ]
    if faults:
        return "\n".join([*lines, "", "NOT SO:", *(f"  - {fault}" for fault in faults)])
    return "\n".join([*lines, "every promise holds: nothing was done twice, nothing is missing"])


def next_steps(world: World, product: Product) -> str:
    """Return where to look next."""
    environ = product.environ()
    return "\n".join(
        [
            "",
            "It stays up until Ctrl-C. In another terminal:",
            f"  export KUBECONFIG={world.plane.kubeconfig}",
            f"  export SLUICE_REDIS_URL='{environ['SLUICE_REDIS_URL']}' SLUICE_CLUSTER={CLUSTER}",
            f"  export SLUICE_DATA_DIR={product.data}",
            *(f"  export {name}='{environ[name]}'" for name in _DATABASE if name in environ),
            "  export PATH=$PWD/.venv/bin:$PATH",
            "  kubectl get vulns,exposedsecrets,sboms -A",
            "  sluice status",
            "  sluice history Deployment/sample-shop/web",
            *product.pages(),
            f"logs of the product: {product.log}",
        ]
    )
