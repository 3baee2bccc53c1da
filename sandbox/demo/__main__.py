"""`python -m sandbox.demo`: the main job on a real cluster, with progress and a proof.

Exit status: 0 everything holds, 1 something in the proof does not, 3 a precondition is not met.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from common.model.errors import PreconditionError
from sandbox.demo import existing, shown
from sandbox.demo.product import Product
from sandbox.demo.proof import Measured, document, faults
from sandbox.demo.stage import FIRST_DATABASE, Stage
from sandbox.demo.world import World, build
from sandbox.place import Place
from sandbox.processes import Stack

_FAILED, _PRECONDITION = 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        _require_writable(parsed.json)
        with Place(parsed.keep, keep=parsed.keep is not None) as place, Stack() as stack:
            if parsed.context is not None:
                return _play_existing(place, stack, parsed)
            return _play(place, stack, parsed)
    except PreconditionError as error:
        say(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            say(note)
        return _PRECONDITION
    except KeyboardInterrupt:
        say("stopped")
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.demo",
        description="Scans about forty sample workloads of a real cluster and proves the laws.",
        epilog="example: make demo ONCE=1 JSON=out.json",
    )
    parser.add_argument("--once", action="store_true", help="stop after the proof")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--node", action="store_true", help="a real kubelet runs the workloads")
    parser.add_argument("--keep", type=Path, help="keep logs and data in this folder")
    parser.add_argument("--context", help="an existing cluster of your kubeconfig instead")
    return parser


def _require_writable(path: Path | None) -> None:
    """Raise PreconditionError unless the measurements can be written, before they are made."""
    if path is None:
        return
    try:
        path.open("ab").close()
    except OSError as exc:
        raise PreconditionError(
            f"--json {path}: {exc.strerror}; name a file in a folder that exists and is yours"
        ) from exc


def say(text: str) -> None:
    """Tell progress."""
    print(text, file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Print a part of the result at once, into a pipe too."""
    print(text, flush=True)


def _play(place: Place, stack: Stack, parsed: argparse.Namespace) -> int:
    began = time.monotonic()
    world = build(place, stack, node=parsed.node, say=say)
    product = Product(place, stack, redis_url=world.valkey.socket_url, environ=world.environ())
    stage = Stage(place=place, world=world, product=product, say=say)
    stage.publish_database(1, at=FIRST_DATABASE)
    say("starting sluice run; creating the sample workloads")
    product.start()
    stage.create_workloads()
    try:
        measured = _measure(stage, began)
    except PreconditionError as error:  # the product did not do in time what it promises
        say(f"not so: {error}")
        return _FAILED
    found = faults(measured)
    result(shown.table(world))
    result(shown.summary(measured, found))
    if parsed.json is not None:
        parsed.json.write_bytes(orjson.dumps(document(measured), option=orjson.OPT_INDENT_2))
    if not parsed.once:
        _stay(world, product)
    return _FAILED if found else 0


def _play_existing(place: Place, stack: Stack, parsed: argparse.Namespace) -> int:
    """Play on the user's own cluster."""
    product, measured = existing.play(place, stack, context=parsed.context, say=say)
    text = orjson.dumps(measured, option=orjson.OPT_INDENT_2)
    if parsed.json is not None:
        parsed.json.write_bytes(text)
    result(text.decode())
    if not parsed.once:
        _until_ctrl_c(f"It stays up until Ctrl-C; logs: {product.log}")
    return _FAILED if measured["faults"] else 0


def _measure(stage: Stage, began: float) -> Measured:
    """Play every phase."""
    titles = {
        "first": ("the first pass", stage.first_pass),
        "second_pass": ("a second pass (forced sweep)", stage.second_pass),
        "after_restart": ("restarting every process", stage.restart),
        "after_redis_restart": ("restarting Redis with its data", stage.restart_redis),
        "after_db_update": ("publishing a later vulnerability database", stage.update_database),
    }
    phases = {}
    for name, (title, play) in titles.items():
        say(f"{title} …")
        phases[name] = play()
        stage.seconds[name] = phases[name].seconds
        say(f"  {shown.phase(phases[name])}")
    stage.seconds["total"] = round(time.monotonic() - began, 1)
    return stage.measured(phases)


def _stay(world: World, product: Product) -> None:
    """Stay up until Ctrl-C."""
    _until_ctrl_c(shown.next_steps(world, product))


def _until_ctrl_c(told: str) -> None:
    """Tell and wait; Ctrl-C is the wanted end from the first word on, and no failure."""
    with contextlib.suppress(KeyboardInterrupt):
        result(told)
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
