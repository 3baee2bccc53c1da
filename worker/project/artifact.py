"""What every image-based report says about scanner and image, as trivy-operator says it. Pure."""

from __future__ import annotations

from common.model.errors import BadReferenceError
from common.model.refs import ImageReference, parse_reference
from worker.project.context import ReportContext


def parsed(reference: str) -> ImageReference | None:
    """Return the parsed reference, or None for what a kubelet ran although it is none."""
    try:
        return parse_reference(reference)
    except BadReferenceError:
        return None


def header(context: ReportContext) -> dict[str, object]:
    """Return `scanner`, `registry` and `artifact`."""
    reference = parsed(context.reference)
    return {
        "scanner": {
            "name": "Trivy",
            "vendor": "Aqua Security",
            "version": context.scanner_version,
        },
        "registry": {"server": reference.registry} if reference else {},
        "artifact": _artifact(context, reference),
    }


def _artifact(context: ReportContext, reference: ImageReference | None) -> dict[str, object]:
    """Return repository (always), digest and tag (where there is one)."""
    if reference is None:
        named = {"repository": context.reference, "digest": context.digest, "tag": ""}
    else:
        named = {
            "repository": reference.repository,
            "digest": reference.digest or context.digest,
            "tag": _tag(context.reference, reference),
        }
    return {name: text for name, text in named.items() if text or name == "repository"}


def _tag(text: str, reference: ImageReference) -> str:
    """Return the tag as trivy-operator shows it.

    Beside a digest that is what remains of the user's text without the full name and the digest.
    So a short name of Docker Hub stays in it: `nginx:1.16@sha256:…` has the tag `nginx:1.16`.
    Dashboards group by this label; a nicer one would split their series.
    """
    if not reference.digest:
        return reference.tag
    rest = text.removeprefix(reference.name).removesuffix(f"@{reference.digest}")
    return rest.removeprefix(":")
