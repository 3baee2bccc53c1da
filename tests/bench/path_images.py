"""Eight images in the shape of those that the peer was measured with, and no smaller.

Promise: the same bytes in every run. Three small Alpines with a language, one of them with planted
secrets; one without findings; two small Debians; a Debian with 402 node packages; a Debian with the
122 MB of a real root file system, 50 MB of it over the wire. The peer's conditions are in
`docs/benchmarks.md`.
"""

from __future__ import annotations

import random

from sandbox import oci, planted
from sandbox.images import WAIT, Sample, sample
from sandbox.packages import Package, alpine, apk, deb, debian, node, python
from sandbox.pause_elf import pause

_NODE_PACKAGES = 402
_ROOT_BYTES = 122_000_000
_ROOT_FILES = 3_000
_RANDOM_SHARE = 0.4  # what a real root's compiled files leave of their size when compressed
_TEXT_EVERY = 6  # one file in six is text, which Trivy searches for secrets
_DEBS = 150


def images() -> list[Sample]:
    """Return them, in the order in which Deployments use them."""
    return [
        sample("alpine-python"),
        sample("alpine-node"),
        Sample(name="alpine-secrets", tags=("1.0",), build=_with_secrets),
        sample("clean"),
        sample("debian-app"),
        sample("debian-node"),
        Sample(name="debian-many", tags=("1.0",), build=_many_packages),
        Sample(name="debian-root", tags=("1.0",), build=_real_size),
    ]


def _runnable(*layers: oci.Layer, env: list[str] | None = None) -> oci.Image:
    runtime = oci.layer({"pause": oci.Executable(content=pause())}, "COPY pause / # bench")
    return oci.image([*layers, runtime], entrypoint=WAIT, env=env or [])


def _with_secrets() -> oci.Image:
    packages = [apk("musl", "1.2.4-r0", "MIT"), apk("zlib", "1.2.13-r1", "Zlib")]
    libraries = python({"requests": "2.28.1", "urllib3": "1.26.14"})
    files = {**alpine("3.18.2", packages), **libraries}
    return _runnable(
        oci.layer(files, "ADD rootfs / # bench"),
        oci.layer(planted.files(), "COPY . /app # bench"),
        env=planted.environment(),
    )


def _many_packages() -> oci.Image:
    versions = {f"module-{number}": f"1.{number}.0" for number in range(_NODE_PACKAGES)}
    return _runnable(
        oci.layer(debian("12.1", _debs(20)), "ADD rootfs / # bench"),
        oci.layer(node(versions), "COPY node_modules /app # bench"),
    )


def _real_size() -> oci.Image:
    files: dict[str, str | bytes | oci.Executable] = {**debian("12.1", _debs(_DEBS))}
    files |= {
        f"usr/lib/python3/part-{n}{'.py' if text else '.so'}": content
        for n, (text, content) in enumerate(_contents())
    }
    return _runnable(oci.layer(files, "ADD rootfs.tar.xz / # bench"))


def _contents() -> list[tuple[bool, bytes]]:
    """Return the files' contents, each with whether it is text."""
    dice = random.Random(8)  # noqa: S311 -- filling, no secret
    size = _ROOT_BYTES // _ROOT_FILES
    line = b"value = compute(first, second)  # a line as any other in a Python file\n"
    noisy = int(size * _RANDOM_SHARE * _TEXT_EVERY / (_TEXT_EVERY - 1))
    found = []
    for number in range(_ROOT_FILES):
        text = number % _TEXT_EVERY == 0
        content = line * (size // len(line)) if text else dice.randbytes(noisy).ljust(size, b"\0")
        found.append((text, content))
    return found


def _debs(count: int) -> list[Package]:
    return [deb(f"package-{number}", f"1.{number}-1", "MIT") for number in range(count)]
