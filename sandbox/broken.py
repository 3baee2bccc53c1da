"""Content that a registry serves and that is no usable image, each broken in one way.

Promise: registries accept all of it (they check digests, not meaning), so a fault shows up where a
user meets it: at the scanner and at the kubelet. No blob is shared with another sample, because a
scanner's layer cache, or a registry that stores blobs once, would mend the fault (except
`borrowed-config`, which lives on that). Pure; `images.push` pushes it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace

from sandbox import oci
from sandbox.images import WAIT, Content, Sample, single
from sandbox.packages import alpine, apk, python

_CHART = "application/vnd.cncf.helm."


def broken() -> list[Sample]:
    """Return one sample for each fault, named after it, below `sample/`."""
    makers: dict[str, Callable[[], Content]] = {
        "truncated-layer": _truncated_layer,
        "missing-layer": _missing_layer,
        "missing-config": _missing_config,
        "not-a-tar": _not_a_tar,
        "wrong-diff-id": _wrong_diff_id,
        "borrowed-config": _borrowed_config,
        "helm-chart": _helm_chart,
        "other-platform": _other_platform,
    }
    return [
        Sample(name=name, tags=("1.0",), build=build, has_packages=False)
        for name, build in makers.items()
    ]


def _good(fault: str, *, platform: oci.Platform = oci.AMD64) -> oci.Image:
    """Return an image of two layers that are like no other's, to break."""
    base = alpine("3.18.2", [apk("musl", "1.2.4-r0", "MIT")])
    layers = [
        oci.layer({**base, "etc/fault": fault}, "ADD alpine-minirootfs.tar.gz / # sample"),
        oci.layer({**python({"requests": "2.28.1"}), "app/fault": fault}, "COPY . / # sample"),
    ]
    return oci.image(layers, entrypoint=WAIT, platform=platform)


def _truncated_layer() -> oci.Image:
    """Cut the first layer in half; its digest is right, as after an upload cut short."""
    config, first, second = _good("truncated-layer").blobs
    return oci.of_blobs(config, [replace(first, body=first.body[: len(first.body) // 2]), second])


def _missing_layer() -> oci.Image:
    """Leave the last layer out of the upload, as after a clean-up that went too far."""
    image = _good("missing-layer")
    return replace(image, blobs=image.blobs[:-1])


def _missing_config() -> oci.Image:
    """Leave the config out of the upload: the manifest names a digest that leads nowhere."""
    image = _good("missing-config")
    return replace(image, blobs=image.blobs[1:])


def _not_a_tar() -> oci.Image:
    noise = oci.layer_of_tar(b"this was never a tar archive\n" * 64, "ADD noise # sample")
    return oci.image([noise], entrypoint=WAIT)


def _wrong_diff_id() -> oci.Image:
    """Let the config promise other layers than there are: a kubelet refuses to unpack them."""
    promised = _good("promised").blobs[0]
    return oci.of_blobs(promised, _good("wrong-diff-id").blobs[1:])


def _borrowed_config() -> oci.Image:
    """Put the config of `alpine-app` over the layers of `clean`: an attack, not an accident.

    Trivy's layer cache believes the config's digests of layers. Whoever gets this image scanned
    first makes `alpine-app` look clean to every scan that shares the cache.
    """
    victim, clean = single("alpine-app"), single("clean")
    return oci.of_blobs(victim.blobs[0], clean.blobs[1:])


def _helm_chart() -> oci.Image:
    chart = oci.tar({"sample/Chart.yaml": "apiVersion: v2\nname: sample\nversion: 1.0.0\n"})
    packed = oci.Blob(
        media_type=f"{_CHART}chart.content.v1.tar+gzip", body=gzip.compress(chart, mtime=0)
    )
    return oci.artifact(packed, config_type=f"{_CHART}config.v1+json", title="sample-1.0.0.tgz")


def _other_platform() -> oci.Index:
    """Make an index without an image for the nodes of this machine."""
    s390x = oci.Platform(architecture="s390x")
    return oci.index([_good("other-platform", platform=s390x)])
