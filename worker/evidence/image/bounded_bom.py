"""Trivy's CycloneDX file, read within bounds: too long a one is counted instead of kept.

Pure. The bytes are what Trivy wrote about a foreign image: hundreds of megabytes of them would take
a multiple in memory here, in Redis, and in every worker that reads the record.
"""

from __future__ import annotations

import msgspec

from common.model.bounded import UNREADABLE
from common.model.errors import TransientError
from common.model.evidence import SBOM_LIMIT_BYTES, without_lists
from worker.evidence.image.cyclonedx import reduce_bom


class _Lists(msgspec.Struct, frozen=True):
    components: tuple[msgspec.Raw, ...] | None = ()
    dependencies: tuple[msgspec.Raw, ...] | None = ()


class _Head(msgspec.Struct, frozen=True, omit_defaults=True):
    bomFormat: str = ""  # noqa: N815 - CycloneDX' own name
    specVersion: str = ""  # noqa: N815 - the same
    version: int = 0
    metadata: dict[str, object] = {}


def read_bom(
    written: bytes, *, scanner_version: str, limit_bytes: int = SBOM_LIMIT_BYTES
) -> dict[str, object]:
    """Return the reduced document; beyond the limit without its lists, but with their lengths.

    Raises TransientError for what is no such document.
    """
    try:
        if len(written) <= limit_bytes:
            document = msgspec.json.decode(written, type=dict[str, object])
            return reduce_bom(document, scanner_version=scanner_version)
        lists, head = (msgspec.json.decode(written, type=kind) for kind in (_Lists, _Head))
    except UNREADABLE as exc:
        raise TransientError(
            f"Trivy's SBOM cannot be read: {exc}", reason="ReportUnreadable"
        ) from exc
    assert isinstance(lists, _Lists)  # noqa: S101 # for mypy: one decoder each
    counts = {
        "components": len(lists.components or ()),
        "dependencies": len(lists.dependencies or ()),
    }
    reduced = reduce_bom(msgspec.to_builtins(head), scanner_version=scanner_version)
    return without_lists(reduced, counts)
