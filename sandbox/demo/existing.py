"""The demo on an existing cluster: the product at work on what runs there already.

Nothing is created but reports, their definitions and Events; the vulnerability database is
the one that the environment names. Without a registry and an API server of our own there is no
second book, so the proof is the product's ledger alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from common.model.errors import PreconditionError
from sandbox.demo.product import Product
from sandbox.demo.proof import Phase, Work
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey

_FIRST_S, _PHASE_S = 3600.0, 300.0  # a real database is 60 MB, a real cluster has real images
_LOOK_S = 2.0
_EMPTY_S = 30.0  # a cluster without a workload after this has none


def play(
    place: Place, stack: Stack, *, context: str, say: Callable[[str], None]
) -> tuple[Product, dict[str, Any]]:
    """Let the product scan the cluster of a kubeconfig context; return it with the measurements."""
    kept = ("KUBECONFIG", "TRIVY_", "OPERATOR_")
    environ = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    valkey = Valkey(place, stack).start()
    product = Product(
        place,
        stack,
        redis_url=valkey.socket_url,
        environ={**environ, "SLUICE_CONTEXT": context, "SLUICE_LOG_FORMAT": "json"},
    )
    say(
        f"starting sluice run on context {context}: it writes reports there, their definitions "
        "where they are missing, and Events on workloads whose images cannot be scanned"
    )
    product.start()
    seconds = {"first": _first(product, say)}
    phases = {
        "second_pass": _phase(product, lambda: product.force_sweep(timeout_s=_PHASE_S)),
        "after_restart": _phase(product, lambda: _again(product, product.restart)),
        "after_redis_restart": _phase(product, lambda: _again(product, valkey.restart)),
    }
    for name, phase in phases.items():
        seconds[name] = phase.seconds
        say(f"  {name.replace('_', ' ')}: {phase.work}")
    return product, document(product, phases, seconds)


def document(
    product: Product, phases: Mapping[str, Phase], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the JSON of the measurements; what cannot be known from outside is left out."""
    coverage = _status(product)["coverage"]
    work = product.work()
    missing = product.untrue()
    moved = [name for name, phase in phases.items() if phase.work != Work()]
    return {
        "workloads": coverage["workloads"],
        "distinct_images": product.images(),
        "inventories": work.inventories,
        "matches": work.matches,
        "reports": product.reports(),
        "missing": missing,
        **{
            name: {
                "inventories": phase.work.inventories,
                "matches": phase.work.matches,
                "writes": phase.work.writes,
                "enqueued": phase.work.enqueued,
            }
            for name, phase in phases.items()
        },
        "seconds": dict(seconds),
        "faults": [f"{name} was not idle: {phases[name].work}" for name in moved]
        + [f"{workload} has no true reports" for workload in missing],
    }


def _first(product: Product, say: Callable[[str], None]) -> float:
    """Wait until the queue is empty; images that cannot be pulled stay uncovered."""
    began, told = time.monotonic(), ""
    while time.monotonic() - began < _FIRST_S:
        product.check()
        coverage = _status(product)["coverage"]
        line = f"  {coverage['true']} of {coverage['workloads']} workloads have true reports"
        if line != told:
            say(line)
            told = line
        if coverage["workloads"] and coverage["true"] == coverage["workloads"]:
            break
        seen = coverage["workloads"] or time.monotonic() - began > _EMPTY_S
        if seen and product.is_quiet():
            break
        time.sleep(_LOOK_S)
    return round(time.monotonic() - began, 1)


def _status(product: Product) -> dict[str, Any]:
    """Return `sluice status --json`; nothing is known before the product's tables are."""
    try:
        return dict(orjson.loads(product.sluice("status", "--json")))
    except PreconditionError:
        return {"coverage": {"workloads": 0, "true": 0}}


def _phase(product: Product, act: Callable[[], None]) -> Phase:
    began, before = time.monotonic(), product.work()
    act()
    product.await_settled(timeout_s=_PHASE_S)
    return Phase(work=product.work() - before, seconds=round(time.monotonic() - began, 1))


def _again(product: Product, restart: Callable[[], None]) -> None:
    sweeps = product.sweeps()
    restart()
    product.await_sweep(sweeps, timeout_s=_PHASE_S)
