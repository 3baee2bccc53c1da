"""Images that share layers as real ones do: a few bases, runtimes on them, an application each.

Pure; the same bytes in every run. Sizes are a tenth of real ones, so that many fit into a test.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox import oci
from sandbox.images import Pushed, Sample
from sandbox.packages import alpine, apk, deb, debian, node

BASES, RUNTIMES = 5, 10
_BASE_BYTES, _RUNTIME_BYTES, _OWN_BYTES = 2_000_000, 1_000_000, 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """What nobody can go below: each manifest, configuration and layer once."""

    requests: int
    bytes: int


def images(number: int) -> list[Sample]:
    """Return that many, each in a repository of its own."""
    bases = [_base(at) for at in range(BASES)]
    runtimes = [_layer(f"runtime-{at}", _RUNTIME_BYTES) for at in range(RUNTIMES)]

    def image(at: int) -> Sample:
        # Runtimes stand on one base each, as images of a language are built on one distribution.
        runtime = at % RUNTIMES
        layers = [bases[runtime % BASES], runtimes[runtime], _own(at)]
        content = oci.image(layers, entrypoint=["/none"], env=[f"NUMBER={at}"])
        return Sample(name=f"shared-{at:03d}", tags=("1",), build=lambda: content)

    return [image(at) for at in range(number)]


def minimum(samples: Sequence[Sample]) -> Minimum:
    """Return what it takes to know all of them."""
    blobs: dict[str, int] = {}
    for sample in samples:
        content = sample.build()
        if isinstance(content, oci.Image):
            parts = (content.manifest, *content.blobs)
            blobs |= {part.digest: len(part.body) for part in parts}
    return Minimum(requests=len(blobs), bytes=sum(blobs.values()))


def imaged(pushed: Pushed) -> tuple[str, str]:
    """Return the reference that a user writes, and the imageID that a kubelet tells."""
    return pushed.reference, f"{pushed.registry}/{pushed.repository}@{pushed.digest}"


def _base(at: int) -> oci.Layer:
    if at % 2:
        files = debian("12.1", [deb(f"package-{at}-{one}", "1.2.3-1", "MIT") for one in range(40)])
    else:
        files = alpine(
            "3.18.2", [apk(f"package-{at}-{one}", "1.2.3-r0", "MIT") for one in range(20)]
        )
    return oci.layer({**files, **_filling(f"base-{at}", _BASE_BYTES)}, "ADD rootfs / # bench")


def _own(at: int) -> oci.Layer:
    files = {**node({f"module-{at}": "1.0.0"}), **_filling(f"app-{at}", _OWN_BYTES)}
    return oci.layer(files, f"COPY app-{at} / # bench")


def _layer(name: str, size: int) -> oci.Layer:
    return oci.layer(_filling(name, size), f"COPY {name} / # bench")


def _filling(name: str, size: int) -> dict[str, bytes]:
    """Return a file that no compression makes smaller."""
    dice = random.Random(name)  # noqa: S311 -- filling, no secret
    return {f"opt/{name}.bin": dice.randbytes(size)}
