"""One job of the scanner: run Trivy, read what it wrote, hand back the projection."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.model.errors import (
    BadReferenceError,
    NoPlatformError,
    ScanTimeoutError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    shorten,
)
from common.model.image import Inventory
from common.model.refs import parse_reference
from common.model.trivy_version import is_newer
from common.ops.match_token import TokenFile
from common.ops.trivy_program import Trivy
from worker.evidence.failures import classify
from worker.evidence.image.bounded_bom import read_bom
from worker.evidence.image.descriptors import readable
from worker.evidence.image.java_database import JavaDatabase, JavaSource
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.parts import ImageParts
from worker.evidence.image.recorder import Recorder
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.report import inventory_of
from worker.evidence.image.told import Told, told_by
from worker.evidence.image.trivy_cli import (
    ImageCommand,
    child_environment,
    convert_argv,
    image_argv,
    mirror_config,
)
from worker.evidence.image.trivy_process import TrivyRun, run_trivy
from worker.evidence.image.twirp import TrivyServerClient
from worker.evidence.image.wire import Job
from worker.scanner.layer_stream import LayerStream
from worker.scanner.pull_proxy import PullProxy
from worker.scanner.room import Allotment, Room
from worker.scanner.scratch import Scratch, Workshop

# 4108 findings gave 10 MB; ten times the packages of the largest image that was seen.
REPORT_LIMIT_BYTES = 256 * 1024 * 1024
_PLATFORM = re.compile(r"[a-z0-9]+-[a-z0-9_]+(-[a-z0-9.]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every job of one scanner shares."""

    trivy: Trivy
    environment: Mapping[str, str]  # the scanner's own; a child gets an allow-list of it
    workshop: Workshop
    java: JavaDatabase
    java_source: Callable[[JavaOrigin], JavaSource]  # with the scanner's own login
    token: TokenFile  # the match server's
    memory_mb: int  # per job; 0: no limit of our own
    jobs: int  # how many run at once
    room: Room
    unpack_ratio: int  # how many times its size a large layer may unpack to; 0: no limit


class Taken(NamedTuple):
    """What a job comes to."""

    inventory: Inventory
    told: tuple[Told, ...]  # what Trivy itself found; empty unless the job is a canary
    proven: frozenset[str]  # digests of layers that were seen to unpack to what the image says


class JobRun:
    """One job while it runs. `aborts`: file descriptors that end it when they become readable."""

    def __init__(self, bench: Bench, job: Job, aborts: Sequence[int], deadline_at_s: float) -> None:
        self._bench = bench
        self._job = job
        self._aborts = aborts
        self._deadline_at_s = deadline_at_s
        self._reference = parse_reference(job.reference)
        self._allotment: Allotment | None = None  # from the moment there is room for it

    def run(self) -> Taken:
        """Take the image's inventory.

        Raises what `classify` returns, NoRoomError before anything is fetched, and TerminalError
        when the image, or what is found in it, is too large.
        """
        self._check()
        self._check_server()
        if self._job.java is not None:
            self._bench.java.take_from(self._bench.java_source(self._job.java))
        self._bench.java.tend()
        room = self._bench.room.take(self._packed_bytes())
        with room as self._allotment, self._bench.workshop.job() as scratch:
            found, proven = self._found(scratch)
            told = told_by(self._read(_report(scratch))) if self._job.canary else ()
            if self._job.options.sbom and found.has_packages:
                bom = self._bom(scratch, found.scanner_version)
                found = msgspec.structs.replace(found, sbom=bom)
            return Taken(found, told, proven)

    def _found(self, scratch: Scratch) -> tuple[Inventory, frozenset[str]]:
        """Return what was found, and which layers are what the image says."""
        parts = self._job.parts
        if parts is None:
            return self._scan_with_jars(scratch, None), frozenset()
        with self._pull_proxy(parts) as proxy:
            try:
                found = self._scan_with_jars(scratch, proxy)
            except SluiceError as exc:
                if proxy.fault is not None:  # what Trivy says of it is a guess
                    raise proxy.fault from exc
                raise
            proxy.prove()
            return found, proxy.layers.proven()

    def _pull_proxy(self, parts: ImageParts) -> PullProxy:
        blobs = HttpRegistry().blobs(
            self._reference, self._job.docker_config, access=self._job.access
        )
        layers = LayerStream(
            blobs,
            parts.layers,
            limit_bytes=self._job.max_bytes,
            limit_ratio=self._bench.unpack_ratio,
            verify=parts.verify,
        )
        return PullProxy(parts.documents, layers, over=self._is_over)

    def _packed_bytes(self) -> int:
        """Return the size of the layers that nobody unpacked yet; 0: it is not known."""
        layers = self._job.parts.layers if self._job.parts is not None else ()
        sizes = {layer.digest: max(0, layer.size) for layer in layers if not layer.proven}
        return sum(sizes.values())

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline_at_s or bool(readable(self._aborts, 0))

    def _check(self) -> None:
        """Refuse what could be taken for something else on a command line."""
        if not self._reference.digest:
            raise BadReferenceError(f"not pinned by a digest: {self._reference.canonical}")
        if _PLATFORM.fullmatch(self._job.platform) is None:
            raise NoPlatformError(f"not a platform: {self._job.platform[:64]!r}")

    def _check_server(self) -> None:
        """Refuse to store what the match server would read in part, before anything is pulled."""
        ours = self._bench.trivy.version
        with contextlib.closing(TrivyServerClient(self._job.server_url)) as server:
            theirs = server.version().trivy
        if is_newer(ours, than=theirs):
            raise SourceUnavailableError(
                f"this scanner has Trivy {ours}, the match server {shorten(theirs)}, which would "
                "miss findings in what it stores; let the upgrade end, or upgrade the matcher",
                reason="ScannerTooNew",
            )

    def _scan_with_jars(self, scratch: Scratch, proxy: PullProxy | None) -> Inventory:
        """Scan; where a jar is met without a Java database, provide one and scan again."""
        try:
            return self._scan(scratch, proxy)
        except SourceUnavailableError as exc:
            if exc.reason != "JavaDatabaseMissing":
                raise
        self._bench.java.provide(self._deadline_at_s)
        return self._scan(scratch, proxy)

    def _scan(self, scratch: Scratch, proxy: PullProxy | None) -> Inventory:
        """Run Trivy; through a proxy it needs no credential."""
        report, config = _report(scratch), None
        if proxy is not None:
            config = scratch.files / "trivy.yaml"
            config.write_bytes(mirror_config(self._reference.registry, proxy.address))
        admits, token = None if proxy is None else proxy.admits, self._bench.token.read()
        with Recorder(self._job.server_url, token=token, admits=admits) as recorder:
            command = ImageCommand(
                reference=self._job.reference,
                platform=self._job.platform,
                options=self._job.options,
                server_url=recorder.url,
                cache_dir=self._bench.java.cache_dir,
                output=report,
                timeout_s=self._left_s(),
                insecure=config is None and self._job.access.insecure,
                max_bytes=self._job.max_bytes if config is None else 0,
                config=config,
            )
            self._run(image_argv(self._bench.trivy, command), scratch)
            recording = recorder.recording()
        return inventory_of(self._read(report), recording)

    def _bom(self, scratch: Scratch, version: str) -> dict[str, object]:
        output = scratch.files / "bom.json"
        self._run(convert_argv(self._bench.trivy, _report(scratch), output), scratch)
        return read_bom(self._read(output), scanner_version=version)

    def _run(self, argv: tuple[str, ...], scratch: Scratch) -> None:
        allotment = self._allotment
        run = TrivyRun(
            argv=argv,
            env=child_environment(
                self._bench.environment,
                scratch.files,
                more={"DOCKER_CONFIG": self._config(scratch)},
            ),
            cwd=scratch.cwd,
            log=scratch.files / "log",
            deadline_at_s=self._deadline_at_s,
            memory_mb=self._bench.memory_mb * (self._bench.jobs if self._job.alone else 1),
            file_bytes=allotment.quota_bytes if allotment is not None else 0,
            watch=allotment.watch(scratch.files) if allotment is not None else None,
        )
        ended = run_trivy(run, self._aborts)
        if ended.killed or ended.exit_code:
            raise classify(ended.exit_code, ended.log, killed_by_us=ended.killed)

    def _config(self, scratch: Scratch) -> str:
        """Return a folder with the job's credentials, if any, and none of anybody else's."""
        path = scratch.secrets / "config.json"
        ours = self._job.docker_config if self._job.parts is None else None
        if ours is not None and not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(ours)
        return str(scratch.secrets)

    def _left_s(self) -> float:
        left_s = self._deadline_at_s - time.monotonic()
        if left_s <= 0:
            raise ScanTimeoutError("the job's time was over before a scanner was free")
        return left_s

    def _read(self, path: Path) -> bytes:
        size = path.stat().st_size
        if size > REPORT_LIMIT_BYTES:
            limit = REPORT_LIMIT_BYTES // (1024 * 1024)
            raise TerminalError(
                f"Trivy's report has {size} bytes; the limit is {limit} MB", reason="ReportTooLarge"
            )
        return path.read_bytes()


def _report(scratch: Scratch) -> Path:
    return scratch.files / "report.json"
