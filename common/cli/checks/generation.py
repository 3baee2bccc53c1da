"""Are all workers of the generation that the watcher published. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from common.model.finding import Fault, Finding, Good, Notice
from common.ops.version import VERSION
from common.overview.generation import REMEDY, differences, said, shown
from common.overview.view import Document
from common.state.epoch import Published

_TOPIC = "generation"


def judge_generation(generation: Document, *, workers: int) -> Finding:
    """Return a fault where nobody may work, a notice where some stand back."""
    told = said(generation, workers=workers)
    if not told:
        return Good(topic=_TOPIC, said=shown(generation))
    told = "; ".join([told, *differences(generation)])
    if len(generation["standing_back"]) < workers:
        return Notice(topic=_TOPIC, said=f"{told}; {REMEDY}")
    return Fault(topic=_TOPIC, said=told, remedy=REMEDY)


def judge_here(published: Published, digest: str) -> Iterator[Finding]:
    """Yield a notice where this command's settings are not the published ones.

    It tells what its own environment says, and a shell rarely has that of the installation.
    """
    if not published.number or published.digest == digest:
        return
    if published.version != VERSION:
        said = f"the watcher is of version {published.version or 'unknown'}, this is {VERSION}"
    else:
        said = (
            "what shapes reports is set otherwise here than for the watcher, so what is told of "
            "settings holds for this shell alone; run it in a worker's Pod, or with the watcher's "
            "environment"
        )
    yield Notice(topic=_TOPIC, said=said)
