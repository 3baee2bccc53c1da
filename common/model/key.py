"""Names of work: what to look at, never what happened.

Wire format v1, one line of ASCII: `workload/<Kind>/<namespace>/<name>`,
`image/<digest>/<os-arch[-variant]>/<options hash>`, `match/<the same three>`, `cluster/<what>`.
Names only: no uid and no content hash, so that any key can be dropped and derived again. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

# The seven kinds that own reports. Deployments never do: their current ReplicaSet does.
WORKLOAD_KINDS = (
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "Job",
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLATFORM = re.compile(r"[a-z0-9]+-[a-z0-9_]+(-[a-z0-9.]+)?")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class WorkloadKey:
    """One workload whose reports must be true."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"workload/{self.kind}/{self.namespace}/{self.name}"

    @property
    def shown(self) -> str:
        """The name users type: `Kind/namespace/name`."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageKey:
    """One image content: digest, platform (`linux-amd64`) and the hash of the scan options."""

    digest: str
    platform: str
    options: str

    def __str__(self) -> str:
        return f"image/{self.digest}/{self.platform}/{self.options}"

    @property
    def shown(self) -> str:
        """`sha256:… (linux/amd64)`."""
        return f"{self.digest} ({self.platform.replace('-', '/')})"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MatchKey:
    """The findings of an image whose inventory is known: a call of milliseconds, never a pull.

    A key of its own, and a pool of its own: it must not wait behind what takes minutes (ADR 9).
    """

    digest: str
    platform: str
    options: str

    def __str__(self) -> str:
        return f"match/{self.digest}/{self.platform}/{self.options}"

    @property
    def image(self) -> ImageKey:
        """The image whose findings they are."""
        return ImageKey(digest=self.digest, platform=self.platform, options=self.options)

    @property
    def shown(self) -> str:
        """`match of sha256:… (linux/amd64)`."""
        return f"match of {self.image.shown}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ClusterKey:
    """Something that exists once in a cluster."""

    what: str

    def __str__(self) -> str:
        return f"cluster/{self.what}"

    @property
    def shown(self) -> str:
        """The same as the wire form."""
        return str(self)


WorkKey: TypeAlias = WorkloadKey | ImageKey | MatchKey | ClusterKey


def parse_key(text: str) -> WorkKey:
    """Return the key that `str(key)` wrote.

    Raises ValueError, naming the text, for anything else.
    """
    match text.split("/"):
        case ["workload", kind, namespace, name] if kind in WORKLOAD_KINDS and namespace and name:
            return WorkloadKey(kind=kind, namespace=namespace, name=name)
        case ["image" | "match" as what, digest, platform, options] if (
            _DIGEST.fullmatch(digest) and _PLATFORM.fullmatch(platform) and options
        ):
            image = ImageKey(digest=digest, platform=platform, options=options)
            return image if what == "image" else match_key(image)
        case ["cluster", what] if what:
            return ClusterKey(what=what)
        case _:
            raise ValueError(f"not a work key: {text[:256]!r}")


def try_key(text: str) -> WorkKey | None:
    """Return the key that `str(key)` wrote; None for what others wrote."""
    try:
        return parse_key(text)
    except ValueError:
        return None


def pool_of(key: WorkKey) -> str:
    """Return the pool of the queue that takes the key: `reconcile`, `scan` or `rematch`."""
    match key:
        case ImageKey():
            return "scan"
        case MatchKey():
            return "rematch"
        case _:
            return "reconcile"


def image_of(key: WorkKey) -> ImageKey | None:
    """Return the image whose record a run of the key writes; None: it writes none."""
    match key:
        case ImageKey():
            return key
        case MatchKey():
            return key.image
        case _:
            return None


def match_key(image: ImageKey) -> MatchKey:
    """Return the key of the image's findings."""
    return MatchKey(digest=image.digest, platform=image.platform, options=image.options)
