"""How the API server's own counters are read."""

from __future__ import annotations

from sandbox.metrics import RequestCount, parse_request_counts

TEXT = """\
# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="namespaces",\
scope="resource",subresource="",verb="POST",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="aquasecurity.github.io",\
resource="vulnerabilityreports",scope="cluster",subresource="status",verb="LIST"} 1.2e+06
apiserver_request_total_of_others{code="200"} 9
apiserver_requested_deprecated_apis{group="x"} 1
"""


def test_every_sample_of_the_counter_is_read_and_nothing_else() -> None:
    """Large counts are printed in scientific notation; names may start alike."""
    assert parse_request_counts(TEXT) == [
        RequestCount(
            verb="POST", group="", resource="namespaces", subresource="", code="201", count=3
        ),
        RequestCount(
            verb="LIST",
            group="aquasecurity.github.io",
            resource="vulnerabilityreports",
            subresource="status",
            code="200",
            count=1_200_000,
        ),
    ]


def test_a_server_that_counted_nothing_gives_nothing() -> None:
    """Right after its start the metric is not there."""
    assert parse_request_counts("") == []
