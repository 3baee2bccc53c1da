"""Which generation is published, and which workers are of another one: those stand back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from common.overview.view import Document
from common.overview.words import counted

_DIGEST_CHARACTERS = 12  # enough to tell generations apart
# A published generation: number, digest, version. A loop: name, digest, version.
Published = tuple[int, str, str]
Loop = tuple[str, str, str]

REMEDY = (
    "let it end if this is an upgrade; else give watcher and workers one version and the same "
    "settings (OPERATOR_…, TRIVY_…)"
)


def described(published: Published, loops: Sequence[Loop]) -> dict[str, object]:
    """Return what `status --json` shows. A loop that does not say what it is, is not judged."""
    number, digest, version = published
    return {
        "number": number,
        "digest": digest[:_DIGEST_CHARACTERS],
        "version": version,
        "standing_back": [
            {"worker": name, "digest": own[:_DIGEST_CHARACTERS], "version": own_version}
            for name, own, own_version in loops
            if number and own and own != digest
        ],
    }


def shown(generation: Document) -> str:
    """Return the published generation in a few words."""
    if not generation["number"]:
        return "none is published yet"
    version = f" (version {generation['version']})" if generation["version"] else ""
    return f"{generation['number']}{version}"


def said(generation: Document, *, workers: int) -> str:
    """Return how many workers stand back; empty: none does."""
    standing = generation["standing_back"]
    if not standing:
        return ""
    of = f"{len(standing)} of {counted(workers, 'worker')}"
    verb = "stands" if len(standing) == 1 else "stand"
    return f"{of} {verb} back: generation {shown(generation)} is published"


def differences(generation: Document) -> list[str]:
    """Return for each worker that stands back how it differs."""
    return [_difference(each, generation) for each in generation["standing_back"]]


def _difference(worker: Document, generation: Document) -> str:
    if worker["version"] != generation["version"]:
        return f"{worker['worker']} is of version {worker['version'] or 'unknown'}"
    return f"{worker['worker']} has other settings"
