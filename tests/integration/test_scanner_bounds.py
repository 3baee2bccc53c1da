"""What one image may cost the scanner: disk, time and room, with the real Trivy and registry."""

from __future__ import annotations

import secrets
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from common.model.errors import NoRoomError, SluiceError, TerminalError
from common.model.evidence import left_out
from common.ops.trivy_program import Trivy
from common.state.images import pack
from sandbox import oci
from sandbox.images import Pushed, Sample, push
from sandbox.packages import alpine, apk
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job, scanner_process, with_parts
from worker.evidence.image.inventory import InventoryJob, InventoryResult

pytestmark = pytest.mark.integration

MB = 1024 * 1024
ZSTD_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd"
SYSTEM = alpine("3.18.2", [apk("musl", "1.2.4-r0", "MIT")])


def gzip_zeros(head: bytes, size_bytes: int) -> bytes:
    """Return `head` and zeros as gzip files, one behind the other: a thousandth of their size."""
    part = bytes(64 * MB)
    parts = size_bytes // len(part)
    return _gzip(head) + _gzip(part) * parts + _gzip(bytes(size_bytes - parts * len(part)))


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(content) + packer.flush()


def zstd_zeros(head: bytes, size_bytes: int) -> bytes:
    """Return `head` and zeros as zstd: four bytes for each 128 KB, as RFC 8878 has it."""

    def block(kind: int, size: int, *, last: bool = False) -> bytes:
        return (last | kind << 1 | size << 3).to_bytes(3, "little")

    size, whole = 128 * 1024, size_bytes // (128 * 1024)
    rest = size_bytes - whole * size
    return (
        b"\x28\xb5\x2f\xfd\x00\x68"  # no checksum, no size, a window of 8 MB
        + block(0, len(head))
        + head
        + (block(1, size) + b"\0") * whole
        + block(1, rest, last=True)
        + b"\0"
    )


def pushed_bomb(registry: Registry, packing: str, size_bytes: int) -> Pushed:
    """Push an image with one file of zeros that Trivy looks into."""
    file = tarfile.TarInfo(f"opt/{secrets.token_hex(8)}.txt")
    file.size = size_bytes
    head = file.tobuf(format=tarfile.GNU_FORMAT)
    tail = -size_bytes % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE
    pack, kind = (zstd_zeros, ZSTD_TYPE) if packing == "zstd" else (gzip_zeros, oci.LAYER_TYPE)
    blob = oci.Blob(media_type=kind, body=pack(head, size_bytes + tail))
    diff_id = f"sha256:{secrets.token_hex(32)}"  # nobody gets far enough to know it
    layer = oci.Layer(blob=blob, diff_id=diff_id, created_by="COPY . # test")
    return pushed(registry, [layer])


def pushed(registry: Registry, layers: list[oci.Layer]) -> Pushed:
    """Push an image of these layers, under a name of its own."""
    name = f"bounds-{secrets.token_hex(8)}"
    content = oci.image(layers, entrypoint=["/none"])
    return push(registry.address, [Sample(name=name, tags=("1",), build=lambda: content)])[name]


def system(registry: Registry) -> Pushed:
    """Push a small system."""
    return pushed(registry, [oci.layer({**SYSTEM, "etc/x": secrets.token_hex(8)}, "ADD . # test")])


def take(scanner: RunningScanner, job: InventoryJob) -> InventoryResult:
    """Take stock as a worker does, layers checked."""
    full = with_parts(job)
    assert full.parts is not None
    parts = msgspec.structs.replace(full.parts, verify=True)
    return scanner.scanner.inventory(replace(full, parts=parts))


def jobs_left(scanner: RunningScanner) -> list[Path]:
    """Return what jobs left behind."""
    return list(scanner.temporary.glob("*/job-*"))


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """Mount a disk of its own for a scanner's TMPDIR; where nobody may mount, the test lacks it."""
    mounted = folder / "tmp"
    mounted.mkdir()
    argv = ("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "scratch", str(mounted))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of the test's own can be mounted: {done.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(("umount", "--lazy", str(mounted)), check=False)


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_ten_gigabytes_in_a_few_megabytes_are_refused_before_they_are_unpacked(
    packing: str, scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """A bomb costs neither the disk nor the deadline; the reason names limit and setting."""
    image = pushed_bomb(registry, packing, 10_000 * MB)
    with pytest.raises(TerminalError) as caught:
        take(scanner, inventory_job(image.pinned, match_url))
    assert caught.value.reason == "ImageTooLarge"
    assert "250 times" in str(caught.value)
    assert "SLUICE_MAX_UNPACK_RATIO" in str(caught.value)
    assert jobs_left(scanner) == []


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_layers_unpack_to_counts_against_the_largest_image(
    packing: str, scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """Also where nobody verifies layers, and where nobody here can unpack them."""
    image = pushed_bomb(registry, packing, 200 * MB)
    job = with_parts(inventory_job(image.pinned, match_url, max_bytes=100 * MB))
    with pytest.raises(TerminalError) as caught:
        scanner.scanner.inventory(job)
    assert caught.value.reason == "ImageTooLarge"
    assert "TRIVY_MAX_IMAGE_SIZE" in str(caught.value)


@pytest.mark.parametrize("proxy", [True, False])
def test_a_file_beyond_the_share_of_a_job_ends_the_job_and_not_the_disk(
    proxy: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    trivy: Trivy,
    registry: Registry,
    match_url: str,
) -> None:
    """Trivy copies a file of more than 100 MB; the bound holds for a Trivy that pulls by itself."""
    image = pushed_bomb(registry, "gzip", 900 * MB)
    job = inventory_job(image.pinned, match_url)
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path, SLUICE_SCRATCH_MB="50") as own:
        with pytest.raises(TerminalError) as caught:
            own.scanner.inventory(with_parts(job) if proxy else job)
        assert caught.value.reason == "ImageTooLarge"
        assert "SLUICE_SCRATCH_MB" in str(caught.value)
        assert jobs_left(own) == []
        well = own.scanner.inventory(inventory_job(system(registry).pinned, match_url))
        assert well.inventory.has_packages


def test_many_files_within_the_bound_of_one_count_together(
    tmp_path: Path, trivy: Trivy, registry: Registry, match_url: str
) -> None:
    """Several are copied at once, and deleted while they are open: their sum is what counts."""
    line = b"nothing to see here\n"
    files = {
        f"opt/{at}.txt": secrets.token_hex(8).encode() + line * (150 * MB // len(line))
        for at in range(3)
    }
    image = pushed(registry, [oci.layer(files, "COPY . # test")])
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path, SLUICE_SCRATCH_MB="200") as own:
        with pytest.raises(TerminalError) as caught:
            own.scanner.inventory(with_parts(inventory_job(image.pinned, match_url)))
        assert caught.value.reason == "ImageTooLarge"
        assert "takes more than 200 MB" in str(caught.value)


def test_a_full_disk_is_nobodys_fault_and_heals(
    tmp_path: Path, trivy: Trivy, registry: Registry, match_url: str
) -> None:
    """Nothing is fetched before there is room; when there is, the same job ends well."""
    job = with_parts(inventory_job(system(registry).pinned, match_url))
    with (
        small_disk(tmp_path, 100) as disk,
        scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as own,
    ):
        foreign = disk / "foreign"
        foreign.write_bytes(bytes(60 * MB))
        before = registry.mark()
        with pytest.raises(NoRoomError) as caught:
            own.scanner.inventory(job)
        assert caught.value.reason == "ScratchFull"
        assert caught.value.wait_s > 0
        assert registry.requests(since=before) == []
        assert jobs_left(own) == []
        foreign.unlink()
        assert own.scanner.inventory(job).inventory.has_packages


def test_a_job_that_fills_the_disk_is_ended_and_tried_again(
    tmp_path: Path, trivy: Trivy, registry: Registry, match_url: str
) -> None:
    """Without a share of its own a job has what the disk has; that is no fault of the image."""
    image = pushed_bomb(registry, "gzip", 900 * MB)
    with small_disk(tmp_path, 300), scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as own:
        with pytest.raises(SluiceError) as caught:
            own.scanner.inventory(with_parts(inventory_job(image.pinned, match_url)))
        assert caught.value.reason == "ScratchFull"
        assert not isinstance(caught.value, TerminalError | NoRoomError)
        assert jobs_left(own) == []
        well = own.scanner.inventory(inventory_job(system(registry).pinned, match_url))
        assert well.inventory.has_packages


def test_an_image_of_too_many_layers_is_refused_by_its_manifest(
    registry: Registry, match_url: str
) -> None:
    """Each layer is a lease in Redis; the kernel runs no image with so many."""
    layer = oci.layer({"etc/x": "x"}, "ADD . # test")
    image = pushed(registry, [layer] * 1_001)
    with pytest.raises(TerminalError) as caught:
        with_parts(inventory_job(image.pinned, match_url))
    assert caught.value.reason == "ImageTooLarge"
    assert "1001 layers" in str(caught.value)


def test_an_image_of_tens_of_thousands_of_packages_keeps_its_counts(
    scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """Its SBOM could be in no report, so nobody carries it through Redis; nothing else is lost."""
    packages = 32_000
    files: dict[str, str | bytes | oci.Executable] = {
        f"opt/node_modules/p{at}/package.json": f'{{"name":"p{at}","version":"1.0.{at}"}}'
        for at in range(packages)
    }
    files["etc/x"] = secrets.token_hex(8)
    image = pushed(registry, [oci.layer(files, "COPY . # test")])
    found = take(scanner, inventory_job(image.pinned, match_url)).inventory
    assert found.has_packages
    assert found.sbom is not None
    components, dependencies = left_out(found.sbom)
    assert components >= packages
    assert dependencies >= packages
    assert found.sbom["components"] == []
    assert len(pack(found)) < 10_000
