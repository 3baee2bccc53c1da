"""Keys, shares and moments as pages write them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from common.model.key import WORKLOAD_KINDS, ImageKey, WorkloadKey, image_of, try_key
from common.overview.story import key_shown
from watcher.status.markup import Html, link, path, tag, text

_SHORT_DIGEST = 19  # `sha256:` and 12 more: `history` and `rescan` take such a beginning


def key_link(key: str, shown: str = "", *, root: str = "") -> Html:
    """Return a key, as people write it or as `shown`, leading to its page if it has one."""
    known = try_key(key)
    words = shown or key_shown(key) or "-"
    match known:
        case WorkloadKey():
            return link(f"{root}{workload_path(known)}", words)
        case None:
            return text(words)
        case _:
            image = image_of(known)
            return link(f"{root}{image_path(image)}", words) if image else text(words)


def workload_link(shown: str, *, root: str = "") -> Html:
    """Return `Kind/namespace/name` leading to its page; other text as it is."""
    match shown.split("/"):
        case [kind, namespace, name] if kind in WORKLOAD_KINDS and namespace and name:
            key = WorkloadKey(kind=kind, namespace=namespace, name=name)
            return link(f"{root}{workload_path(key)}", shown)
        case _:
            return text(shown)


def workload_path(key: WorkloadKey) -> str:
    """Return where a workload's page is."""
    return path("workload", key.kind, key.namespace, key.name)


def image_path(key: ImageKey) -> str:
    """Return where an image's page is."""
    return path("image", key.digest, key.platform, key.options)


def short(digest: str) -> str:
    """Return the beginning of a digest."""
    return digest[:_SHORT_DIGEST]


def version(text: object) -> str:
    """Return a database's version, which is a time, to the minute; another text as it is."""
    try:
        made = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    made = made.astimezone(UTC) if made.tzinfo else made
    return made.strftime("%Y-%m-%d %H:%M")


def share(part: int, whole: int) -> str:
    """Return the share rounded down: 1,999 of 2,000 is not `100%`. `whole` is not 0."""
    tenths = part * 1000 // whole
    return f"{tenths // 10}%" if tenths % 10 == 0 else f"{tenths / 10:.1f}%"


def moment(at: float) -> Html:
    """Return a time, to the second."""
    when = datetime.fromtimestamp(at, tz=UTC)
    attributes = {"datetime": when.isoformat(timespec="seconds")}
    shown = when.strftime("%Y-%m-%d %H:%M:%S")
    return tag("time", shown, kind="when", attributes=attributes)
