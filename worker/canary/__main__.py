"""`python -m worker.canary`: whether this scanner's Trivy may analyse everything again.

Where nothing differs on some images in use, the version is trusted: inventories that an older Trivy
made are then made again, each at its own turn. A candidate that is not rolled out (`--trivy`) is
compared and not trusted: the older one would go on analysing, and all would be due for ever.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import gethostname

import orjson

from common.kube.cluster import Cluster
from common.kube.identity import key_space
from common.kube.session import Session
from common.model.trivy_version import is_newer
from common.ops.exit_status import DONE, FAILED
from common.ops.startup import begin_logs, exit_status
from common.queue.workqueue import WorkQueue
from common.settings.load import with_files
from common.settings.overlay import adopt
from common.settings.parse import parse
from common.state.arrival import client_for, required_address
from common.state.clock import RedisClock
from common.state.images import ImageTable
from common.state.names import Names
from common.state.overlays import OverlayTable
from common.state.trusted import TrustTable
from worker.canary.candidate import candidate
from worker.canary.trial import Canary, document, doubt, lines, verdict
from worker.compose import image_reconciler
from worker.match_pool import Requeue
from worker.parts import Parts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the canary; return the exit status."""
    parser = argparse.ArgumentParser(prog="sluice canary")
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--trivy", default="")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    return exit_status(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    texts = with_files(os.environ)
    settings = parse(texts)
    begin_logs(settings.ops, component="canary", warnings=settings.warnings)
    number, as_json = arguments.images, arguments.json
    if not arguments.trivy:
        return _sing(texts, number, name=gethostname(), as_json=as_json)
    with candidate(arguments.trivy, os.environ) as environ:
        # Its faults are nobody's else: the name is no scanner's that works for the cluster.
        return _sing(with_files(environ), number, name="", as_json=as_json)


def _sing(texts: Mapping[str, str], number: int, *, name: str, as_json: bool) -> int:
    """Try images and tell; `name` is the scanner's, empty for a candidate's: none is trusted.

    `texts` is the environment, files read.
    """
    settings = parse(texts)
    with contextlib.closing(
        client_for(settings.redis, required_address(settings.redis), name="sluice-canary")
    ) as client:
        session = Session.auto(settings.kube.kubeconfig, settings.kube.context)
        names = Names(settings.redis.cluster or key_space(Cluster(session)))
        # Images are analysed as the workers do it, whose settings may stand in ConfigMaps.
        settings = adopt(texts, OverlayTable(client, names).current())
        parts = Parts(settings=settings, store=(client, names), session=session, draw=random.random)
        built = image_reconciler(
            parts,
            socket=Path(settings.trivy.scanner_socket),
            scanner_name=name or f"canary-{os.getpid()}",
        )
        tried = Canary(
            images=ImageTable(client, names), pull=built.pull, matcher=built.matcher
        ).run(number)
        version = verdict(tried)
        said = _said(version, doubt(tried), parts, trusts=bool(name))
    if as_json:
        shown = document(tried, version, trusts=bool(name))
        told = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
    else:
        told = "\n".join([*lines(tried), said])
    sys.stdout.write(told + "\n")
    return DONE if version else FAILED


def _said(version: str, why_not: str, parts: Parts, *, trusts: bool) -> str:
    """Return the last word on it; trust it where that is asked."""
    if not version:
        return f"{'not trusted' if trusts else 'do not roll it out'}: {why_not}"
    if trusts:
        return _trust(version, parts)
    return f"Trivy {version} agrees; it is trusted by `sluice canary` once it is rolled out"


def _trust(version: str, parts: Parts) -> str:
    """Trust it, and queue what an older one analysed; return what was done, in words."""
    table = TrustTable(*parts.store)
    before = table.current()
    if before is not None and not is_newer(version, than=before.version):
        return f"Trivy {before.version} is trusted already"
    table.trust(version, now_s=RedisClock(*parts.store).now_s())
    over_s = parts.settings.verify.refresh_over_s
    Requeue(
        images=ImageTable(*parts.store),
        queue=WorkQueue(*parts.store),
        over_s=over_s,
        cause=f"Trivy {version} is trusted",
    )()
    return f"Trivy {version} is trusted; older analyses are made again within {over_s} s"


if __name__ == "__main__":
    sys.exit(main())
