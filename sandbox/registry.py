"""A real OCI registry (`crane registry serve`) behind a proxy that counts and injects faults."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from sandbox.accesslog import AccessLog, Request
from sandbox.faults import Fault, Rule
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.proxy import Proxy

PROGRAMS = ("crane",)
_READY_S = 30.0  # it needs 0.1 s; a loaded machine several times that


class Registry:
    """One registry in one place, at `address` ("127.0.0.1:PORT"), plain HTTP.

    Choose `port` when image references must stay valid over restarts; 0 takes a free one.
    crane keeps blobs on disk and manifests in memory: after a restart push again, which then
    uploads no blob.
    """

    def __init__(
        self, place: Place, programs: Mapping[str, Path], stack: Stack, *, port: int = 0
    ) -> None:
        """Nothing runs before `start`."""
        self._stack = stack
        self._port = place.port(port)
        self._backend_port = place.port()
        self.address = f"127.0.0.1:{self._port}"
        self.access_log = place.folder / "registry-access.jsonl"
        self._log = AccessLog(self.access_log)
        self._proxy: Proxy | None = None  # None: stopped
        self._program = Process(
            Command(
                name="registry",
                argv=(
                    *(str(programs["crane"]), "registry", "serve"),
                    *("--address", f"127.0.0.1:{self._backend_port}"),
                    # crane does not make the folder: every push would fail with 500.
                    *("--disk", str(place.sub("registry"))),
                ),
                log=place.log("registry"),
            )
        )

    def start(self) -> Self:
        """Start both; return when the registry answers. Raises PreconditionError."""
        self._stack.push(self)
        self._program.start()
        self._program.wait_ready(self._answers, timeout_s=_READY_S)
        self._proxy = Proxy(self._port, self._backend_port, self._log)
        self._proxy.start()
        return self

    def stop(self) -> None:
        """Stop both; the blobs, and what was logged, stay."""
        if self._proxy is not None:
            self._proxy.stop()
            self._proxy = None
        self._program.stop()

    def mark(self) -> int:
        """Return a mark in the access log, for `requests`."""
        return self._log.mark()

    def requests(self, *, since: int = 0) -> list[Request]:
        """Return the requests answered after the mark `since`; `accesslog.count` counts them."""
        return self._log.since(since)

    def fail(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        repository: str = "*",
        kind: str = "*",
        method: str = "*",
    ) -> Rule:
        """Let matching requests meet `fault`: the next `times`, or all until the rule ends.

        `repository`, `kind` (manifest, blob, tags, referrers, other) and `method` are shell
        patterns. The oldest rule that takes a request wins. Use it as a `with` block: the rule
        ends with the block.
        """
        rule = Rule(fault, times=times, repository=repository, kind=kind, method=method)
        if self._proxy is not None:
            self._proxy.rules.append(rule)
        return rule

    def heal(self) -> None:
        """End every rule."""
        if self._proxy is not None:
            self._proxy.heal()

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._backend_port), timeout=1):
            return True
