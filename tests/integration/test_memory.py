"""A large image costs the network and Trivy; our own processes see it pass by in pieces.

The whole path with real parts; only the kubelet is a stand-in.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox import oci, upload
from sandbox.accesslog import count
from sandbox.images import single
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration

MB = 1024 * 1024
LIMIT_MB = 120
LAYERS, LAYER_BYTES = 4, 256 * MB
REPOSITORY = "sample/large"


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living(OPERATOR_SCAN_JOB_TIMEOUT="10m") as one:
            yield one
    except PreconditionError as error:
        lacking(error)


def layer(number: int) -> oci.Layer:
    """Return a layer that nothing makes smaller, packed by gzip's format all the same."""
    head = tarfile.TarInfo(f"opt/data-{number}.bin")
    head.size = LAYER_BYTES
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    packed, content = io.BytesIO(), hashlib.sha256()

    def add(piece: bytes) -> None:
        content.update(piece)
        packed.write(packer.compress(piece))

    add(head.tobuf())
    piece = os.urandom(MB)
    for _ in range(LAYER_BYTES // MB):
        add(piece)
    add(b"\0" * 2 * tarfile.BLOCKSIZE)
    packed.write(packer.flush())
    blob = oci.Blob(media_type=oci.LAYER_TYPE, body=packed.getvalue())
    return oci.Layer(
        blob=blob, diff_id=f"sha256:{content.hexdigest()}", created_by=f"COPY data-{number} /opt"
    )


def push_large(address: str) -> str:
    """Push an image of 1 GB, a layer at a time; return its reference."""
    image = single("alpine-app")
    with upload.Registry(address) as registry:
        for number in range(LAYERS):
            big = layer(number)
            registry.put_blob(REPOSITORY, big.blob)
            image = oci.with_layer(image, big)
        registry.push(REPOSITORY, image, "1.0")
    return f"{address}/{REPOSITORY}:1.0"


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kb,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kb) / 1024


def test_an_image_of_a_gigabyte_does_not_pass_through_our_memory(alive: Living) -> None:
    """Not the worker's, nor the scanner's, which streams and unpacks every layer."""
    reference = push_large(alive.world.registry.address)
    mark = alive.world.registry.mark()
    namespace = alive.namespace()
    alive.deploy(namespace, "large", reference)
    eventually(partial(alive.reports, namespace), within_s=300)
    requests = [
        one
        for one in alive.world.registry.requests(since=mark)
        if one.repository == REPOSITORY and one.method == "GET" and one.kind == "blob"
    ]
    assert sum(one.bytes for one in requests) > LAYERS * LAYER_BYTES  # it went through the network
    assert not [one for one in requests if one.user_agent.startswith("trivy")]
    assert count(requests, kind="blob") == LAYERS + 3  # two small ones, and the configuration
    peaks = {
        f"{word} {pid}": peak_mb(pid)
        for word in ("worker.scanner", "worker")
        for pid in ours(alive, word)
    }
    assert len(peaks) >= 3, peaks
    assert all(peak <= LIMIT_MB for peak in peaks.values()), peaks


def ours(alive: Living, module: str) -> list[int]:
    """Return the product's Python processes of a module."""
    return [
        pid
        for pid in alive.pids(module)
        if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
