"""Fixtures of the status page's tests: a crowded cluster's tables, and what asks for its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from common.model.redis_address import parse_redis_url
from common.overview.tables import Tables, tables_on
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.browsing import Browse, browsing
from tests.crowded import IMAGES, WORKLOADS, Crowd, fill


@pytest.fixture
def tables(redis_client: Redis, valkey: Valkey, names: Names) -> Tables:
    """Give the tables of a cluster of the test's own."""
    return tables_on(redis_client, parse_redis_url(valkey.socket_url), names.cluster)


@pytest.fixture
def crowd(tables: Tables) -> Crowd:
    """Give a cluster in which some of everything is in trouble."""
    return fill(tables, workloads=WORKLOADS, images=IMAGES, trouble=True)


@pytest.fixture
def browse(tables: Tables, crowd: Crowd) -> Iterator[Browse]:
    """Give what asks for pages of the crowded cluster."""
    with browsing(tables, crowd) as made:
        yield made
