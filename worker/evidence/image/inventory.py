"""Inventories: what is in an image's layers, found once per digest, platform and options.

The port that image subjects call, its values, and the adapter that hands the job to the scanner
process over a Unix socket. Images are unpacked only there: by a process without a cluster token,
without Redis, with its own deadline and memory limit.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, assert_never

from common.model.errors import ScannerDiedError, SourceUnavailableError
from common.model.image import Inventory
from worker.evidence.image import wire
from worker.evidence.image.access import Access
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.parts import ImageParts
from worker.evidence.image.told import Told

__all__ = ["InventoryJob", "InventoryResult", "ScanOptions", "Scanner", "SocketScanner"]

_CONNECT_S = 5.0  # a local socket whose backlog is full
_MARGIN_S = 15.0  # beyond the deadline: SIGTERM, grace, SIGKILL, wiping, and the answer's way back


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryJob:
    """One image to take stock of."""

    reference: str  # `registry/repository@sha256:…`, the name to pull
    access: Access
    platform: str  # `linux-amd64`, as image keys spell it
    options: ScanOptions
    server_url: str  # the match server; it keeps the layer cache too
    deadline_s: float  # from the moment the scanner accepts the job, waiting for a slot included
    docker_config: bytes | None = field(default=None, repr=False)  # secret; None: anonymous
    # Let nothing else run beside it, and give it the memory of all slots: for the one retry after
    # an OutOfMemoryError.
    alone: bool = False
    # What was read of the image already; None: Trivy pulls by itself, with the credential.
    parts: ImageParts | None = field(default=None, repr=False)
    max_bytes: int = 0  # of all layers; 0: no limit
    canary: bool = False  # tell Trivy's own findings too
    java: JavaOrigin | None = None  # None: as the scanner's own settings say


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryResult:
    """What came of it."""

    inventory: Inventory
    seconds: float  # wall time of the job in the scanner
    told: tuple[Told, ...] = ()  # what Trivy's own command line found; for a canary
    # Digests of layers that were seen to unpack to what the image says.
    proven: frozenset[str] = frozenset()


class Scanner(Protocol):
    """Whatever takes stock of an image."""

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """Take stock of one image. Blocks at most the job's deadline and 15 s.

        Raises what `failures.classify` returns; `ScanTimeoutError` at the deadline,
        `ScannerDiedError` when the scanner process vanished, `SourceUnavailableError` when it does
        not listen.
        """
        ...


class SocketScanner:
    """The scanner process behind a Unix socket. Thread-safe: one connection per job."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """Hand the job over and wait for its end; see `Scanner.inventory`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            self._connect(connection)
            connection.settimeout(job.deadline_s + _MARGIN_S)
            try:
                wire.send_frame(connection, _job(job))
                answer = wire.decode_answer(wire.receive_frame(connection, wire.ANSWER_LIMIT_BYTES))
            except TimeoutError as exc:
                raise ScannerDiedError(
                    f"the scanner did not answer within {job.deadline_s + _MARGIN_S:g} s"
                ) from exc
            except (EOFError, OSError) as exc:
                raise ScannerDiedError("the scanner process ended during the scan") from exc
        match answer:
            case wire.Done(inventory=inventory, seconds=seconds, told=told, proven=proven):
                return InventoryResult(
                    inventory=inventory, seconds=seconds, told=told, proven=frozenset(proven)
                )
            case wire.Failed():
                raise wire.raised(answer)
            case _:
                assert_never(answer)

    def _connect(self, connection: socket.socket) -> None:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(str(self._path))
        except OSError as exc:
            raise SourceUnavailableError(
                f"no scanner listens at {self._path}; start `sluice scanner`, or name its socket "
                "with SLUICE_SCANNER_SOCKET or its folder with SLUICE_DATA_DIR",
                reason="ScannerUnavailable",
            ) from exc


def _job(job: InventoryJob) -> wire.Job:
    return wire.Job(
        reference=job.reference,
        access=job.access,
        platform=job.platform,
        options=job.options,
        server_url=job.server_url,
        deadline_s=job.deadline_s,
        docker_config=job.docker_config,
        alone=job.alone,
        parts=job.parts,
        max_bytes=job.max_bytes,
        canary=job.canary,
        java=job.java,
    )
