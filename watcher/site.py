"""Builds the status page from settings: what it reads, and what it may show to whom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from common.model.key import WorkloadKey
from common.overview.documents import Document
from common.overview.gather import gather
from common.overview.tables import Tables
from common.overview.trouble import Promises
from common.overview.view import Overview
from common.overview.vulnerable import Pace
from common.settings.value import Settings
from watcher.status.front import PARKED_ROWS
from watcher.status.lookout import Lookout
from watcher.status.shelf import Shelf
from watcher.status.site import StatusSite


@contextlib.contextmanager
def status_site(
    settings: Settings,
    tables: Tables,
    pace: Pace,
    *,
    reports: Callable[[WorkloadKey], Sequence[Document]],
) -> Iterator[StatusSite]:
    """Keep the page's numbers during the block; give what answers.

    `reports` returns what is known of a workload's reports.
    """
    shelf = Shelf(tables, pace, findings=settings.ops.status_findings)
    gathered = overview_of(settings, tables)
    with Lookout(gathered, monotonic=time.monotonic, quiet=shelf.forget) as lookout:
        yield StatusSite(lookout, shelf, reports=reports, hosts=settings.ops.status_hosts)


def overview_of(settings: Settings, tables: Tables) -> Callable[[], Overview]:
    """Return what reads the page's numbers."""
    return lambda: gather(tables, Promises.of(settings), parked=PARKED_ROWS, whole=True)
