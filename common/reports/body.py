"""A report's content on its way from a projector to the API server, and the hash over it.

Pure. A body holds no timestamps: they are added when the object is assembled, so that equal
content has an equal hash whenever it is built.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model.canonical import ContentHash, content_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody:
    """What stands under `.report`, without timestamps; nobody changes it after it is built."""

    kind: str
    report: dict[str, object]
    covered: bool = True  # False: nothing that Trivy can judge, so zero findings prove nothing
    truncated: tuple[str, ...] = ()  # what `fit` left out, in its order; empty: complete


def body_hash(body: ReportBody) -> ContentHash:
    """Hash kind and content; labels, owner and annotations are compared by themselves.

    A label or owner that changes costs a metadata patch. Were it part of this hash, it would
    cost a write of the whole body.
    """
    return content_hash([body.kind, body.report])
