"""A database update: from the publication of a version to the last report that is true again.

A thousand images of a realistic size mix, each in a Pod of its own; every database has one finding
more in every tenth image. The product is `sluice run` with two workers on real parts. The baseline
is the same thousand requests to the same `trivy server` in a bare loop that throws the answers
away: on one connection and on four, of which the faster one counts.

Not measured here: the download of the database, pulls (there must be none), a network.
"""

from __future__ import annotations

import http.client
import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
import structlog

from common.model.errors import PreconditionError
from common.ops.match_token import token_file
from common.state.database_check import DatabaseCheck
from sandbox.place import Place
from sandbox.processes import Stack
from tests.bench.dbupdate_world import World, build
from tests.bench.process_tree import cpu_seconds, machine_cpu_seconds
from worker.evidence.image.match import request_of

RUNS = 3  # updates, one after the other
IMAGES = 1000
_LONG_S = 1200.0
_LOOK_S = 0.05
_GOAL = 0.33
_CONNECTIONS = (1, 4)
_LEDGER = 200_000
_SCAN = "/twirp/trivy.scanner.v1.Scanner/Scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update, and what the bare loop took right after it."""

    wall_s: float  # from the published row to the last report
    matched_s: float  # until the last match was stored
    bare_s: Mapping[int, float]  # by connections
    matches: int
    changed: int  # reports whose content changed
    writes: int  # that the API server counted
    registry_requests: int
    etcd_bytes: int
    product_cpu_s: float
    others_cpus: float  # cores busy with what is none of this


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure; `ok` tells whether the results were right, never how fast they came."""
    # The server that is filled runs in this process' care, and tells a line for each image.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    number = int(os.environ.get("SLUICE_BENCH_IMAGES", str(IMAGES)))
    with Place() as place, Stack() as stack:
        world = build(place, stack, number=number, say=_say)
        updates = []
        for at in range(1, runs + 1):
            _say(f"publishing database {at} of {runs}")
            updates.append(_update(world, at))
        faults = [fault for one in updates for fault in faults_of(one, world)]
    for fault in faults:
        _say(f"WRONG: {fault}")
    return {
        "name": "dbupdate",
        "machine": {"cores": os.cpu_count(), "images": number},
        "rows": rows(updates),
        "ok": not faults,
        "faults": faults,
    }


def _update(world: World, number: int) -> Update:
    before, asked, writes = world.hashes(), world.asked_of_registry(), world.report_writes()
    etcd, cpu_s = world.etcd_bytes(), cpu_seconds(world.product.pid)
    machine_s, own_s, began_at = machine_cpu_seconds(), cpu_seconds(os.getpid()), time.time()
    matches = world.ledger.counts()["matched"]
    version = world.publish(number)
    DatabaseCheck(world.queue.scripts.redis, world.queue.names).request()
    _await(world, lambda: world.product.database() == version)
    world.product.await_quiet(timeout_s=_LONG_S)
    took_s = time.time() - began_at
    others_s = machine_cpu_seconds() - machine_s - (cpu_seconds(os.getpid()) - own_s)
    wall_s, matched_s = _walls(world, version)
    after = world.hashes()
    return Update(
        wall_s=wall_s,
        matched_s=matched_s,
        bare_s={count: _bare(world, count) for count in _CONNECTIONS},
        matches=world.ledger.counts()["matched"] - matches,
        changed=sum(before.get(name) != content for name, content in after.items()),
        writes=world.report_writes() - writes,
        registry_requests=world.asked_of_registry() - asked,
        etcd_bytes=world.etcd_bytes() - etcd,
        product_cpu_s=cpu_seconds(world.product.pid) - cpu_s,
        others_cpus=others_s / took_s,
    )


def _walls(world: World, version: str) -> tuple[float, float]:
    """Return the seconds from the publication to the last end, and to the last match, by Redis."""
    facts = [fact for _, fact in world.ledger.tail(_LEDGER)]
    published = max(
        at
        for at, fact in enumerate(facts)
        if fact.kind == "database" and fact.data["version"] == version
    )
    ends = [fact for fact in facts[published:] if fact.kind == "converged"]
    matches = [fact for fact in ends if fact.key.startswith("match/")]
    began = facts[published].at
    return ends[-1].at - began, matches[-1].at - began


def _await(world: World, done: object) -> None:
    deadline = time.monotonic() + _LONG_S
    while callable(done) and not done():
        world.product.check()
        if time.monotonic() > deadline:
            raise PreconditionError("the product does not take the new database")
        time.sleep(_LOOK_S)


def _bare(world: World, connections: int) -> float:
    """Return the seconds that the server needs for the same requests; answers are thrown away."""
    row = world.databases.current()
    if row is None:
        raise PreconditionError("no database is published")
    token = token_file("", str(world.product.data), foreign=False).read() or ""
    headers = {"Content-Type": "application/json", "Trivy-Token": token}
    bodies = [msgspec.json.encode(request_of(layers)) for layers in world.layers()]
    own = threading.local()

    def ask(body: bytes) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(urlsplit(row.server_url).netloc)
        own.connection.request("POST", _SCAN, body, headers)
        answer = own.connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise PreconditionError(f"the match server answers {answer.status}")

    began_s = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, bodies))
    return time.monotonic() - began_s


def faults_of(one: Update, world: World) -> list[str]:
    """Return what is wrong with an update's result."""
    expected = sum(image.changes for image in world.images)
    found = []
    if one.registry_requests:
        found.append(f"{one.registry_requests} requests to image repositories")
    if one.changed != expected:
        found.append(f"{one.changed} reports changed, {expected} images have a new finding")
    if one.writes != one.changed:
        found.append(f"{one.writes} reports were written, {one.changed} changed")
    if one.matches != len(world.images):
        found.append(f"{one.matches} matches for {len(world.images)} images")
    return found


def rows(updates: Sequence[Update]) -> list[dict[str, object]]:
    """Return the rows: medians, with the smallest and the largest. Pure."""
    fastest = [min(one.bare_s.values()) for one in updates]
    ratios = [bare / one.wall_s for bare, one in zip(fastest, updates, strict=True)]
    walls = [one.wall_s for one in updates]
    wall = _row("wall-vs-match", walls, unit="s", beside="publication to last report")
    wall |= {
        "baseline": statistics.median(fastest),
        "baseline_name": "trivy server, same requests, bare loop",
        "ratio": statistics.median(ratios),
        "goal": _GOAL,
        "ratios": ratios,
    }
    return [
        wall,
        _row("last-match", [one.matched_s for one in updates], unit="s"),
        *(
            _row(f"bare-{count}-connections", [one.bare_s[count] for one in updates], unit="s")
            for count in _CONNECTIONS
        ),
        _row("registry-requests", [one.registry_requests for one in updates], unit="requests"),
        _row("needless-writes", [one.writes - one.changed for one in updates], unit="writes"),
        _row("reports-changed", [one.changed for one in updates], unit="reports"),
        _row("etcd-bytes", [one.etcd_bytes for one in updates], unit="bytes"),
        _row("product-cpu", [one.product_cpu_s for one in updates], unit="CPU s"),
        _row(
            "others-cpus",
            [one.others_cpus for one in updates],
            unit="cores",
            beside="busy with something else",
        ),
    ]


def _row(case: str, values: Sequence[float], *, unit: str, beside: str = "") -> dict[str, object]:
    return {
        "case": case,
        "ours": statistics.median(values),
        "baseline": None,
        "baseline_name": None,
        "unit": unit,
        "ratio": None,
        "goal": None,
        "runs": len(values),
        "spread": [min(values), max(values)],
        "beside": beside,
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
