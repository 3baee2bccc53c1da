"""Pages that are not there, or cannot be read now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from common.model.errors import SluiceError, TransientError
from watcher.status.answer import Answer
from watcher.status.markup import Html, tag


def nothing() -> Answer:
    """Return the page of what is none."""

    def parts() -> Iterator[Html]:
        yield tag("h1", "There is no such page")
        yield tag("p", "A workload is written Kind/namespace/name, an image by its whole digest: "
                       "the search finds both by a part.")  # fmt: skip

    return Answer(title="No such page", document={"error": "no such page"}, parts=parts, status=404)


def failed(error: SluiceError) -> Answer:
    """Return the page of what could not be read."""
    if isinstance(error, TransientError):
        return away(str(error))
    return _trouble("This cannot be read", str(error))


def away(message: str) -> Answer:
    """Return the page of what Redis alone knows, while it is away."""
    return _trouble("Redis does not answer now", message)


def _trouble(title: str, message: str) -> Answer:
    def parts() -> Iterator[Html]:
        yield tag("h1", title)
        yield tag("p", tag("code", message), kind="note bad")

    return Answer(title=title, document={"error": message}, parts=parts, status=503)
