"""Decides which images a workload needs. Pure, total: runs first for every workload key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from common.model.key import ImageKey
from common.model.workload import Container, Running, WorkloadRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Nothing may be scanned; what is stored stays."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """An old revision without pods: its reports live until the successor's are stored."""

    successor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The containers that must have reports, each with what is known about its image."""

    containers: tuple[ContainerNeed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Kubelets run these contents; the newest pod's first."""

    images: tuple[ImageKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Kubelets run these configurations; the reference must mean them, or the image has no name."""

    configs: tuple[Running, ...]
    options: str  # digest, for the images' keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """No kubelet will tell (soon): ask the registry what the reference means."""

    platform: str
    options: str  # digest, for the image's key


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForKubelet:
    """A kubelet is about to tell; look again in `delay_s` at the latest."""

    delay_s: float


ImageNeed: TypeAlias = Ran | Verify | Resolve | WaitForKubelet


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerNeed:
    """One container and where its image's digest comes from."""

    container: Container
    image: ImageNeed


Needs: TypeAlias = Skip | Retired | Scan


def needs(row: WorkloadRow, *, options: str, image_wait_s: float, now_s: float) -> Needs:
    """Choose what to do with the workload before any image is looked up.

    `options` is the digest of the scan options, `now_s` Unix seconds by Redis' clock,
    `image_wait_s` how long a young workload waits for its kubelet.
    """
    if row.skip:
        return Skip(why=row.skip)
    if not row.current and not row.runs:
        if row.has_pods or not row.successor:
            return Skip(why="OldRevision")
        return Retired(successor=row.successor)
    if row.expects_pods and not row.has_pods and not row.runs:
        return Skip(why="NoPods")
    left_s = image_wait_s - (now_s - row.created_at)
    return Scan(
        containers=tuple(
            ContainerNeed(
                container=container, image=_image_need(row, container, options, left_s=left_s)
            )
            for container in row.containers
        )
    )


def _image_need(
    row: WorkloadRow, container: Container, options: str, *, left_s: float
) -> ImageNeed:
    """Prefer what runs; a pull error, no kubelet or a long wait lets the registry answer."""
    if container.running:
        return Ran(
            images=tuple(
                ImageKey(digest=seen.digest, platform=seen.platform, options=options)
                for seen in container.running
            )
        )
    if container.loaded:
        return Verify(configs=container.loaded, options=options)
    if container.pull_error or not row.expects_pods or left_s <= 0:
        return Resolve(platform=row.default_platform, options=options)
    return WaitForKubelet(delay_s=left_s)


def describe(need: ImageNeed) -> str:
    """Return the need in a word, for logs."""
    match need:
        case Ran():
            return "ran"
        case Verify():
            return "verify"
        case Resolve():
            return "resolve"
        case WaitForKubelet():
            return "wait"
        case _:
            assert_never(need)
