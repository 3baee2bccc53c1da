"""The sample images: small, real, and each different in what Trivy finds in it.

Promise: built in milliseconds from nothing but this package, with the same digests in every run.
Every amd64 image runs on a real node: its entrypoint waits for SIGTERM, and `/done` in it succeeds
at once, for Jobs. The arm64 image holds packages only and cannot run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from sandbox import oci, planted
from sandbox.packages import Package, alpine, apk, deb, debian, node, python
from sandbox.pause_elf import done, go_build_info, pause
from sandbox.upload import Registry

Content: TypeAlias = "oci.Image | oci.Index"

WAIT = ["/pause"]
SUCCEED = ["/done"]

_OLD_ALPINE = (
    apk("alpine-baselayout", "3.4.3-r1", "GPL-2.0-only"),
    apk("musl", "1.2.4-r0", "MIT"),
    apk("busybox", "1.36.1-r0", "GPL-2.0-only"),
    apk("busybox-binsh", "1.36.1-r0", "GPL-2.0-only", source="busybox"),
    apk("ssl_client", "1.36.1-r0", "GPL-2.0-only", source="busybox"),
    apk("libcrypto3", "3.1.1-r1", "Apache-2.0", source="openssl"),
    apk("libssl3", "3.1.1-r1", "Apache-2.0", source="openssl"),
    apk("zlib", "1.2.13-r1", "Zlib"),
    apk("apk-tools", "2.14.0-r2", "GPL-2.0-only"),
)
_PATCHED_ALPINE = (
    apk("alpine-baselayout", "3.4.3-r1", "GPL-2.0-only"),
    apk("musl", "1.2.4-r3", "MIT"),
    apk("busybox", "1.36.1-r7", "GPL-2.0-only"),
    apk("libcrypto3", "3.1.8-r0", "Apache-2.0", source="openssl"),
)
_DEBIAN = (
    deb("base-files", "12.4+deb12u1", "GPL-2.0-or-later"),
    deb("libc6", "2.36-9+deb12u1", "LGPL-2.1", source="glibc"),
    deb("libc-bin", "2.36-9+deb12u1", "LGPL-2.1", source="glibc"),
    deb("zlib1g", "1:1.2.13.dfsg-1", "Zlib", source="zlib"),
    deb("libssl3", "3.0.9-1", "Apache-2.0", source="openssl"),
    deb("openssl", "3.0.9-1", "Apache-2.0"),
    deb("coreutils", "9.1-1", "GPL-3.0"),
    deb("libapt-pkg6.0", "2.6.1", "GPL-2.0", source="apt"),
)
_PYTHON = {
    "Django": "4.2.1",
    "Jinja2": "3.1.2",
    "PyYAML": "5.3.1",
    "requests": "2.28.1",
    "urllib3": "1.26.14",
}
_NODE = {"express": "4.18.2", "lodash": "4.17.11", "minimist": "1.2.5", "semver": "7.5.1"}
_GO_MODULES = {"golang.org/x/net": "v0.7.0", "golang.org/x/text": "v0.14.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample: where it is pushed, and how it is made."""

    name: str
    tags: tuple[str, ...]
    build: Callable[[], Content]
    has_packages: bool = True  # False: Trivy recognises no package in it

    @property
    def repository(self) -> str:
        """Its place in the registry."""
        return f"sample/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Where a sample stands in a registry."""

    registry: str
    repository: str
    tags: tuple[str, ...]
    digest: str  # of the manifest, or of the index for several platforms
    platforms: Mapping[str, str]  # `linux/amd64` → digest of its manifest

    @property
    def reference(self) -> str:
        """`host:port/repository:tag` with the first tag."""
        return self.references[0]

    @property
    def references(self) -> tuple[str, ...]:
        """The same, for every tag."""
        return tuple(f"{self.registry}/{self.repository}:{tag}" for tag in self.tags)

    @property
    def pinned(self) -> str:
        """`host:port/repository@digest`."""
        return f"{self.registry}/{self.repository}@{self.digest}"

    def seen_at(self, registry: str) -> Pushed:
        """Return the same content under another name of the registry, such as a node has."""
        return replace(self, registry=registry)


def samples() -> list[Sample]:
    """Return all samples; the first eight are an ordinary cluster's, the others are special."""
    return [
        Sample(name="alpine-app", tags=("1.0", "stable"), build=_on_alpine),
        Sample(name="alpine-python", tags=("1.0",), build=lambda: _on_alpine(python(_PYTHON))),
        Sample(name="alpine-node", tags=("1.0",), build=lambda: _on_alpine(node(_NODE))),
        Sample(name="debian-app", tags=("1.0",), build=_on_debian),
        Sample(name="debian-node", tags=("1.0",), build=lambda: _on_debian(node(_NODE))),
        Sample(name="go-app", tags=("1.0",), build=_go_app),
        Sample(name="secrets", tags=("1.0",), build=_with_secrets),
        Sample(name="clean", tags=("1.0",), build=_clean),
        Sample(name="empty", tags=("1.0",), build=_empty, has_packages=False),
        Sample(name="multi", tags=("1.0",), build=_multi),
    ]


def sample(name: str) -> Sample:
    """Return one sample. Raises KeyError for a name that is none."""
    return {each.name: each for each in samples()}[name]


def single(name: str) -> oci.Image:
    """Return the content of the sample `name`. Raises TypeError if it is an index."""
    content = sample(name).build()
    if isinstance(content, oci.Index):
        raise TypeError(f"sample {name} is an index; ask for one of the single images")
    return content


def touch(name: str, version: str) -> Sample:
    """Return the sample `name` with a new digest and the same findings, for a tag that moves.

    The tags are the sample's own. `multi` cannot be touched: TypeError.
    """
    before, content = sample(name), single(name)
    mark = oci.layer({"etc/sample-version": f"{version}\n"}, f"RUN echo {version} # sample")
    return replace(before, build=lambda: oci.with_layer(content, mark))


def push_samples(address: str, names: Iterable[str] | None = None) -> dict[str, Pushed]:
    """Push the named samples (None: all) to the plain-http registry at `address`, by name.

    Costs one request for each tag that is there already.
    """
    wanted = None if names is None else set(names)
    return push(address, [each for each in samples() if wanted is None or each.name in wanted])


def push(address: str, wanted: Iterable[Sample]) -> dict[str, Pushed]:
    """Push `wanted` and return where each stands."""
    with Registry(address) as registry:
        return {each.name: _push(registry, each) for each in wanted}


def _push(registry: Registry, one: Sample) -> Pushed:
    content = one.build()
    registry.push(one.repository, content, *one.tags)
    images = content.images if isinstance(content, oci.Index) else (content,)
    return Pushed(
        registry=registry.address,
        repository=one.repository,
        tags=one.tags,
        digest=content.digest,
        platforms={str(image.platform): image.digest for image in images},
    )


# --- what the samples are made of -----------------------------------------------------------------


@cache
def _runtime() -> oci.Layer:
    """Return the layer that makes images run; all share it, so a registry stores it once."""
    programs = {
        "pause": oci.Executable(content=pause()),
        "done": oci.Executable(content=done()),
    }
    return oci.layer(programs, "COPY pause done / # sample")


@cache
def _alpine_layer(packages: tuple[Package, ...], release: str, architecture: str) -> oci.Layer:
    files = alpine(release, packages, architecture=architecture)
    return oci.layer(files, "ADD alpine-minirootfs.tar.gz / # sample")


def _on_alpine(application: oci.Files | None = None) -> oci.Image:
    return _image(_alpine_layer(_OLD_ALPINE, "3.18.2", "x86_64"), application)


def _on_debian(application: oci.Files | None = None) -> oci.Image:
    return _image(oci.layer(debian("12.1", _DEBIAN), "ADD rootfs.tar.xz / # sample"), application)


def _image(base: oci.Layer, application: oci.Files | None) -> oci.Image:
    own = [oci.layer(application, "COPY . / # sample")] if application else []
    return oci.image([base, _runtime(), *own], entrypoint=WAIT)


def _clean() -> oci.Image:
    return _image(_alpine_layer(_PATCHED_ALPINE, "3.18.12", "x86_64"), None)


def _empty() -> oci.Image:
    return oci.image([_runtime()], entrypoint=WAIT)


def _go_app() -> oci.Image:
    """Return an image of one Go binary; it is `pause` with Go's build information as its data."""
    info = go_build_info("example.com/app", version="v1.4.0", go="go1.20.1", needs=_GO_MODULES)
    binary = oci.layer({"app": oci.Executable(content=pause(info))}, "COPY app / # sample")
    return oci.image([_runtime(), binary], entrypoint=["/app"], user="65532")


def _with_secrets() -> oci.Image:
    base = _alpine_layer(_PATCHED_ALPINE, "3.18.12", "x86_64")
    own = oci.layer(planted.files(), "COPY settings.env ci.env id_rsa /app/ # sample")
    return oci.image([base, _runtime(), own], entrypoint=WAIT, env=planted.environment())


def _multi() -> oci.Index:
    """Return one name for two platforms, whose OpenSSL is old on amd64 and patched on arm64."""
    patched = tuple(
        replace(each, version="3.1.8-r0") if each.source == "openssl" else each
        for each in _OLD_ALPINE
    )
    arm64 = oci.image(
        [_alpine_layer(patched, "3.18.2", "aarch64")],
        entrypoint=WAIT,
        platform=oci.Platform(architecture="arm64", variant="v8"),
    )
    return oci.index([_on_alpine({"etc/sample-multi": "amd64\n"}), arm64])
