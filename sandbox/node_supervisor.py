"""The process inside a node that brings its parts up and ends when one of them ends.

Order: namespaces, ways in and out, then etcd, containerd and the API server at once; the pause
image while the API server starts; the rest when it is ready. Nothing is started again: a part that
dies ends the node, and its log's tail stands in the node's log.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NoReturn

from common.model.errors import PreconditionError, shorten
from sandbox import node_namespaces
from sandbox.node_components import FIRST, SECOND
from sandbox.node_plan import CONTAINERD, SERVER_PORT, Plan
from sandbox.processes import Command, Process

_READY_S = 90.0  # 3 s on two idle cores; loaded ones need several times that
_ASK_S = 2.0


def run(plan: Plan) -> NoReturn:
    """Bring everything up and wait. Raises PreconditionError when a part fails or ends."""
    began = time.monotonic()
    node_namespaces.prepare(plan)
    parts = {"way in": _way_in(plan), "way to the registry": _way_to_registry(plan)}
    parts |= _started(plan, FIRST)
    parts["containerd"].wait_ready(_containerd_answers, timeout_s=_READY_S)
    _import_pause(plan)
    parts["kube-apiserver"].wait_ready(lambda: _apiserver_is_ready(plan), timeout_s=_READY_S)
    print(f"API server ready after {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    parts |= _started(plan, SECOND)
    raise _first_to_end(parts).failure("ended, and with it the node")


def _started(plan: Plan, names: Sequence[str]) -> dict[str, Process]:
    environ = {**os.environ, "PATH": plan.search_path}
    return {name: _start(plan, name, plan.commands[name], environ=environ) for name in names}


def _start(
    plan: Plan,
    name: str,
    line: tuple[str, ...],
    *,
    environ: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Process:
    command = Command(name=name, argv=line, log=plan.log(name), environ=environ, pass_fds=pass_fds)
    return Process(command).start()


def _way_in(plan: Plan) -> Process:
    """Let the host reach the API server: the socket is the host's, the forwarder is inside."""
    line = _forwarder(plan.server_socket, SERVER_PORT)
    return _start(plan, "forward-server", line, pass_fds=(plan.server_socket,))


def _way_to_registry(plan: Plan) -> Process:
    """Let the node and its Pods reach the host's registry by the same port.

    The socket is the node's, the forwarder dials in the host's network.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", plan.registry_port))  # noqa: S104 -- the node's network has no way out
        listener.listen(256)
        inherited = (listener.fileno(), plan.host_network)
        line = (
            *("nsenter", f"--net=/proc/self/fd/{plan.host_network}", "--"),
            *_forwarder(listener.fileno(), plan.registry_port),
        )
        return _start(plan, "forward-registry", line, pass_fds=inherited)


def _forwarder(descriptor: int, port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "sandbox.node_forward", str(descriptor), str(port))


def _containerd_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ASK_S)
        connection.connect(CONTAINERD)
        return True


def _import_pause(plan: Plan) -> None:
    """Give containerd the image that holds a Pod's namespaces open."""
    line = (str(plan.ctr), "--namespace", "k8s.io", "images", "import", str(plan.pause_archive))
    done = subprocess.run(line, capture_output=True, check=False, text=True)
    if done.returncode:
        raise PreconditionError(f"the pause image cannot be imported: {shorten(done.stderr)}")


def _apiserver_is_ready(plan: Plan) -> bool:
    """Ask without a name: everybody may read /readyz."""
    tls = ssl.create_default_context(cafile=str(plan.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", SERVER_PORT, timeout=_ASK_S, context=tls)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    finally:
        connection.close()


def _first_to_end(parts: Mapping[str, Process]) -> Process:
    """Sleep until a part ends, and return it."""
    waiting = select.poll()
    by_descriptor = {os.pidfd_open(part.pid): part for part in parts.values()}
    for descriptor in by_descriptor:
        waiting.register(descriptor, select.POLLIN)
    (descriptor, _), *_ = waiting.poll()
    return by_descriptor[descriptor]
