"""`python -m sandbox`: bring the sandbox up by hand, or build its programs.

Results on standard output, progress on standard error. Exit status: 0 done, 2 wrong usage, 3 a
precondition is not met (the message says which, and what to do).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox import controlplane, registry
from sandbox import node as real_node
from sandbox.browser import chromium
from sandbox.controlplane import ControlPlane
from sandbox.docker_programs import docker_programs
from sandbox.kubelet import Kubelet
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from sandbox.redis7 import redis_server
from sandbox.registry import Registry

_EPILOG = """\
examples:
  python -m sandbox up                    a cluster of its own; stays until Ctrl-C
  export KUBECONFIG=…                     as it prints; then use kubectl or `sluice run`
  crane push image.tar HOST:PORT/app:1    the registry it prints; Pods name images the same way
  python -m sandbox build                 only make the programs: minutes once, never again
  python -m sandbox build --node          and what a real node and a Docker engine need
"""
_PRECONDITION = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "build":
            _build(node=parsed.node)
        else:
            _up(parsed)
    except PreconditionError as error:
        _say(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            _say(note)
        return _PRECONDITION
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A real Kubernetes control plane, registry and kubelet stand-in on loopback.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring everything up; stay until Ctrl-C")
    up.add_argument(
        "--dir", type=Path, help="keep data and logs here (default: a folder of its own)"
    )
    up.add_argument("--registry-port", type=int, default=0, help="default: any free port")
    up.add_argument("--no-kubelet", action="store_true", help="leave Pods Pending")
    build = commands.add_parser("build", help="find or build the programs, print their paths")
    build.add_argument(
        "--node", action="store_true", help="also those of a real node and a Docker engine"
    )
    return parser


def _build(*, node: bool) -> None:
    names = [*controlplane.PROGRAMS, *registry.PROGRAMS, "kubectl"]
    if node:
        names += [*real_node.PROGRAMS, "helm"]
    for name, path in find(names, say=_say).items():
        print(f"{name}\t{path}")
    if node:
        print(f"dockerd\t{docker_programs(say=_say).dockerd}")
        _print_if_had("chromium", lambda: chromium(say=_say).program)
    _print_if_had("redis-server", lambda: redis_server(say=_say))


def _print_if_had(name: str, get: Callable[[], Path]) -> None:
    """Print where a program is that some tests alone need, which skip without it."""
    try:
        print(f"{name}\t{get()}")
    except PreconditionError as error:
        _say(f"note: {error}")


def _up(parsed: argparse.Namespace) -> None:
    programs = find([*controlplane.PROGRAMS, *registry.PROGRAMS], say=_say)
    began = time.monotonic()
    with Place(parsed.dir) as place, Stack() as stack:
        images = Registry(place, programs, stack, port=parsed.registry_port).start()
        cluster = ControlPlane(place, programs, stack).start()
        if not parsed.no_kubelet:
            Kubelet(cluster, stack).start()
        # Who reads the last line may end us before the next instruction; that is no failure.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            took_s = time.monotonic() - began
            _say(f"ready in {took_s:.1f} s; Ctrl-C ends it; logs: {place.sub('log')}")
            print(f"export KUBECONFIG={cluster.kubeconfig}")
            print(f"export REGISTRY={images.address}", flush=True)
            threading.Event().wait()
        _say("stopping")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
