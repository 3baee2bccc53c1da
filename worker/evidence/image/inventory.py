"""Inventories: what is in an image's layers, found once per digest, platform and options.

The port that image subjects call, its values, and the adapter that hands the job to the scanner
process over a Unix socket. Images are unpacked only there: by a process without a cluster token,
without Redis, with its own deadline and memory limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.model.image import Inventory
from worker.evidence.image.options import ScanOptions

__all__ = ["InventoryJob", "InventoryResult", "ScanOptions", "Scanner", "SocketScanner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryJob:
    """One image to take stock of."""

    reference: str  # `registry/repository@sha256:…`, `ImageReference.pull_name`
    platform: str  # `linux-amd64`, as image keys spell it
    options: ScanOptions
    server_url: str  # the match server; it keeps the layer cache too
    deadline_s: float  # from the moment the scanner accepts the job, waiting for a slot included
    docker_config: bytes | None = field(default=None, repr=False)  # secret; None: anonymous
    insecure: bool = False  # plain HTTP and unknown certificates are fine


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryResult:
    """What came of it."""

    inventory: Inventory
    seconds: float  # wall time of the job in the scanner


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
        raise NotImplementedError
