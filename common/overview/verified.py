"""How long ago what is known of images was verified, for people and as JSON shows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.model.image import ImageState
from common.overview.view import Document
from common.overview.words import age, counted


def described(verified_at: Iterable[float | None], *, now_s: float) -> dict[str, object]:
    """Return what `--json` shows of the images in use; None: one was never matched."""
    times = list(verified_at)
    known = [at for at in times if at is not None]
    return {
        "images": len(times),
        "never": len(times) - len(known),
        "oldest_age_s": round(max(0.0, now_s - min(known)), 3) if known else None,
    }


def shown(verified: Document) -> str:
    """Return a line of `sluice status`."""
    images = counted(verified["images"], "image")
    if verified["oldest_age_s"] is None:
        return f"none of {images} yet" if verified["images"] else "no image is known"
    never = f", {verified['never']} not yet" if verified["never"] else ""
    return f"{images} within the last {age(verified['oldest_age_s'])}{never}"


def said(images: Sequence[ImageState], *, now_s: float) -> str:
    """Return a sentence about an image, or about those of one workload; empty: there is none."""
    if not images:
        return ""
    whose = "Findings" if len(images) == 1 else f"Findings of {len(images)} images"
    times = [image.verified_at for image in images if image.verified_at is not None]
    if not times:
        return f"{whose} not verified yet."
    when = f"{age(now_s - min(times))} ago"
    if len(images) > 1:
        never = len(images) - len(times)
        when = f"{age(now_s - min(times))} ago or later{f', {never} not yet' if never else ''}"
    databases = sorted({image.database for image in images if image.database})
    return f"{whose} verified {when}, by database {' and '.join(databases) or 'unknown'}."
