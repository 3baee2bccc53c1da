"""Serves the status page of tables as the watcher does, and asks it for pages."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from common.ops.probes import ProbeServer
from common.overview.tables import Tables
from common.overview.vulnerable import Pace
from common.settings.parse import parse
from tests.crowded import Crowd, reports_of
from tests.statussite import Elements
from watcher.site import status_site


class Browse:
    """Asks for pages and follows what they say."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, *, host: str = "localhost", method: str = "GET") -> tuple[int, bytes]:
        """Return status and body."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request(method, path, headers={"Host": host})
            answer = connection.getresponse()
            self.headers = dict(answer.getheaders())
            return answer.status, answer.read()

    def page(self, path: str) -> Elements:
        """Return a page that is there."""
        status, body = self.ask(path)
        assert status == 200, (path, body)
        found = Elements(body)
        assert not found.open
        return found

    def json(self, path: str) -> Any:
        """Return a document that is there."""
        status, body = self.ask(path)
        assert status == 200, (path, body)
        return json.loads(body)


@contextlib.contextmanager
def browsing(
    tables: Tables,
    crowd: Crowd,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    pace: Pace | None = None,
) -> Iterator[Browse]:
    """Serve the site as the watcher does with these settings."""
    pace = pace or Pace(monotonic=time.monotonic, rest=threading.Event().wait)
    with (
        status_site(parse(settings), tables, pace, reports=reports_of(crowd)) as site,
        ProbeServer("127.0.0.1", 0, site) as server,
    ):
        yield Browse(server.port)
