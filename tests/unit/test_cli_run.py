"""`sluice run`, the pure parts: what children may know, where things listen, what is told first."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

import pytest

from common.cli import parts, run
from common.cli.command import Context
from common.cli.definitions import missing
from common.cli.interrupts import Interrupts
from common.cli.parts import Served, certain, own_address
from common.cli.pipeline import Ports, Surroundings, child, names, scanner
from common.cli.preview import Preview, kinds_on, namespaces_text
from common.cli.progress import progress_line
from common.cli.run import how_to_stop, own_election
from common.cli.terminal import Terminal
from common.ops.process import ChildSpec
from common.ops.supervisor import Supervisor
from common.reports.catalog import CATALOG
from common.settings.formats import BindAddress
from common.settings.parse import parse
from common.settings.pools import queue_pools
from common.state.names import POOLS

PORTS = Ports(metrics=41_001, health=41_002)
LOOPBACK = BindAddress(host="127.0.0.1", port=0)


def around(**changes: Any) -> Surroundings:
    """Return what children share, with a password and a kubeconfig in it."""
    given: dict[str, Any] = {
        "environ": {
            "PATH": "/bin",
            "KUBECONFIG": "/home/ada/.kube/config",
            "SLUICE_REDIS_PASSWORD_FILE": "/run/password",
            "SLUICE_WORKER_POOLS": "match",
            "TRIVY_SEVERITY": "HIGH",
        },
        "overrides": {
            "SLUICE_REDIS_URL": "unix:///data/valkey.sock",
            "SLUICE_CLUSTER": "abcd1234",
            "SLUICE_KUBECONFIG": "/home/ada/.kube/config",
            "SLUICE_SCANNER_SOCKET": "/data/scanner.sock",
        },
        "workers": 2,
        "scanner_jobs": 3,
        "own_matcher": True,
        "status_address": BindAddress(host="127.0.0.1", port=8081),
        "matcher_address": BindAddress(host="127.0.0.1", port=4954),
        "drain_s": 25.0,
        "line": lambda name, text: None,
    }
    return Surroundings(**{**given, **changes})


def environ_of(spec: ChildSpec) -> dict[str, str]:
    """Return the child's whole environment."""
    assert spec.env is not None
    return dict(spec.env)


def made(name: str) -> ChildSpec:
    """Return one child's specification."""
    return child(name, PORTS, around(), lambda url: True)


def test_the_scanner_knows_neither_cluster_nor_redis() -> None:
    """Law 9: the process that parses what strangers built holds no way into anything."""
    environ = environ_of(scanner(around()))
    assert not {name for name in environ if "KUBE" in name or "REDIS" in name}
    assert "SLUICE_CLUSTER" not in environ
    assert environ["SLUICE_SCANNER_SOCKET"] == "/data/scanner.sock"
    assert environ["TRIVY_SEVERITY"] == "HIGH"


def test_no_child_gets_anything_but_its_module_as_an_argument() -> None:
    """Arguments are read by every user of the machine; the environment is not."""
    for name in ("watcher", "worker-1", "matcher"):
        argv = made(name).argv
        assert argv[:3] == (sys.executable, "-P", "-m")
        assert len(argv) == 4


def test_children_listen_on_loopback_only() -> None:
    """`sluice run` on a laptop opens no port to its network."""
    for name in ("watcher", "worker-1", "matcher"):
        environ = environ_of(made(name))
        assert environ["OPERATOR_METRICS_BIND_ADDRESS"] == "127.0.0.1:41001"
        assert environ["OPERATOR_HEALTH_PROBE_BIND_ADDRESS"] == "127.0.0.1:41002"


@pytest.mark.parametrize(
    ("jobs", "workers", "shares"),
    [(2, 1, [2]), (2, 2, [1, 1]), (3, 2, [1, 2]), (8, 3, [2, 3, 3]), (1, 3, [1, 1, 1])],
)
def test_workers_share_the_slots_of_their_one_scanner(
    jobs: int, workers: int, shares: list[int]
) -> None:
    """A job that waits for a slot uses up its own deadline; an idle slot is of no use."""
    one_run = around(scanner_jobs=jobs, workers=workers)
    told = [
        environ_of(child(f"worker-{number}", PORTS, one_run, lambda url: True))
        for number in range(1, workers + 1)
    ]
    assert [int(one["SLUICE_SCANNER_JOBS"]) for one in told] == shares


def test_every_pool_is_served_by_somebody() -> None:
    """A pool without a worker is a queue that only grows."""
    pools = [environ_of(made(name))["SLUICE_WORKER_POOLS"] for name in ("worker-1", "matcher")]
    assert pools == ["reconcile,scan", "match"]
    assert set(queue_pools(pools[0].split(","))) == set(POOLS)


def test_workers_drain_together_and_before_the_rest() -> None:
    """Four workers that drain one after the other take four drain deadlines."""
    assert made("worker-1").stage == made("worker-2").stage != ""
    assert made("watcher").stage == made("matcher").stage == ""
    assert made("worker-1").stop_s > around().drain_s
    assert names(around()) == ["matcher", "watcher", "worker-1", "worker-2"]


def test_a_match_server_that_is_set_replaces_ours() -> None:
    """Two matchers would announce two databases."""
    assert "matcher" not in names(around(own_matcher=False))


def test_a_child_is_ready_when_its_own_page_says_so() -> None:
    """A running process is not a synced watcher."""
    asked: list[str] = []

    def ask(url: str) -> bool:
        asked.append(url)
        return False

    ready = child("watcher", PORTS, around(), ask).ready
    assert ready is not None
    assert not ready()
    assert asked == ["http://127.0.0.1:41002/readyz"]


@pytest.mark.parametrize(
    ("environ", "stands"),
    [
        ({}, False),
        ({"SLUICE_REDIS_URL": " "}, False),
        ({"SLUICE_REDIS_URL": "redis://cache"}, True),
        ({"SLUICE_LEADER_ELECTION": "true"}, True),
        ({"SLUICE_REDIS_URL": "redis://cache", "SLUICE_LEADER_ELECTION": "false"}, False),
    ],
    ids=["own Redis", "blank", "shared Redis", "own Redis and chosen", "shared Redis and refused"],
)
def test_a_run_stands_for_election_where_others_could_work_with_its_redis(
    environ: dict[str, str], *, stands: bool
) -> None:
    """Two runs over one Redis must not depose each other; one over its own writes no Lease."""
    told = {"SLUICE_LEADER_ELECTION": own_election(environ), **environ}
    assert parse(told).pipeline.leader_election == stands


# --- where it listens


def test_an_address_that_is_set_is_kept() -> None:
    """Who opened a port to the network meant it."""
    address = BindAddress(host="", port=8080)
    assert own_address({"A": ":8080"}, "A", address) == address


def test_an_address_that_is_not_set_is_loopback() -> None:
    """Nobody asked for the network."""
    found = own_address({}, "A", BindAddress(host="", port=0))
    assert found.host == "127.0.0.1"


def test_a_port_for_a_child_is_chosen_before_it_is_told() -> None:
    """Port 0 cannot be printed."""
    assert certain(BindAddress(host="127.0.0.1", port=0)).port > 0
    assert certain(BindAddress(host="", port=81)).port == 81


def test_the_pages_are_told_as_urls_that_work() -> None:
    """`:8080` is no URL."""
    address = BindAddress(host="", port=8080)
    text = Served(metrics=address, health=address, status=address).shown()
    assert "http://127.0.0.1:8080/metrics" in text


# --- what is told first


def preview(**changes: Any) -> str:
    """Return what is told before anything is written."""
    given: dict[str, Any] = {
        "context": "kind-dev",
        "host": "https://127.0.0.1:6443",
        "server_version": "v1.36.3",
        "cluster": "abcd1234",
        "namespaces": "all",
        "kinds": ("VulnerabilityReport", "SbomReport"),
        "missing_definitions": (),
        "unseen": "",
        "redis": "an embedded Valkey in the data folder",
        "lease": "",
        "data_dir": "/data",
    }
    return Preview(**{**given, **changes}).shown()


def test_context_host_and_what_is_written_are_told() -> None:
    """The wrong context is the most expensive typing error there is."""
    text = preview()
    assert "kind-dev (https://127.0.0.1:6443, v1.36.3)" in text
    assert "VulnerabilityReports, SbomReports" in text
    assert "installs" not in text


def test_definitions_are_only_installed_after_telling() -> None:
    """A CRD changes the cluster for everybody."""
    assert "2 report definitions" in preview(missing_definitions=("a", "b"))


def test_a_lease_is_told_where_one_is_written() -> None:
    """It is an object in the cluster, and why this run may look idle."""
    assert "lease" not in preview()
    assert "stands by" in preview(lease="default/kube-sluice-abcd1234")
    assert "default/kube-sluice-abcd1234" in preview(lease="default/kube-sluice-abcd1234")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "all"),
        ({"OPERATOR_TARGET_NAMESPACES": "shop,cart"}, "shop, cart"),
        ({"OPERATOR_EXCLUDE_NAMESPACES": "kube-*"}, "all but kube-*"),
    ],
)
def test_the_namespaces_are_told(environ: dict[str, str], expected: str) -> None:
    """A forgotten variable in a shell would scan half of the cluster."""
    assert namespaces_text(parse(environ).scope) == expected


def test_kinds_that_are_switched_off_are_not_promised() -> None:
    """The list is what will be written, no more."""
    settings = parse({"OPERATOR_SBOM_GENERATION_ENABLED": "false"})
    assert kinds_on(settings) == ("VulnerabilityReport", "ExposedSecretReport")
    assert kinds_on(parse({}))[3:] == ("ClusterSbomReport", "ClusterVulnerabilityReport")


def test_all_definitions_that_lack_are_named() -> None:
    """Those that are there, trivy-operator's too, stay as they are."""
    found: dict[str, object] = dict.fromkeys(row.crd_name for row in CATALOG[1:])
    assert missing(found) == (CATALOG[0].crd_name,)


# --- progress and signals


def test_progress_is_one_line() -> None:
    """It is overwritten in place."""
    line = progress_line(
        {
            "coverage": {"workloads": 40, "true": 12},
            "queue": {"scan": {"fresh": {"queued": 2}, "bulk": {"queued": 3}}},
            "running": 1,
            "delayed": 0,
            "dead": 0,
            "database": {"version": None, "age_s": None},
        }
    )
    assert line == (
        "12/40 workloads true, 5 queued, 1 running, 0 delayed, 0 parked, no database yet"
    )


def test_a_signal_during_the_start_ends_the_start() -> None:
    """Nobody looks at the event while children are waited for."""
    with pytest.raises(KeyboardInterrupt):
        Interrupts()(signal.SIGINT, None)


def test_the_first_signal_asks_for_the_drain_and_the_second_for_the_end() -> None:
    """A drain may take half a minute; who presses twice does not want it."""
    now_s = [100.0]
    handler = Interrupts(lambda: now_s[0])
    until = handler.watched()
    handler(signal.SIGTERM, None)
    assert until.wait(30)
    now_s[0] += 3
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGTERM, None)


def test_an_echo_of_the_first_signal_does_not_cut_the_drain_short() -> None:
    """`timeout` and `make` signal the process and its group: one wish, two signals."""
    handler = Interrupts(lambda: 100.0)
    until = handler.watched()
    handler(signal.SIGINT, None)
    try:
        handler(signal.SIGTERM, None)
    except KeyboardInterrupt:  # left to itself it would end the whole suite
        pytest.fail("the echo was taken for a second wish")
    assert until.wait(30)


def test_a_signal_while_the_event_is_waited_for_does_not_wait_for_itself() -> None:
    """`Event.wait` holds the lock that `Event.set` needs, for a moment, every half second."""
    handler = Interrupts(lambda: 100.0)
    until = handler.watched()
    with until._cond:  # type: ignore[attr-defined] # the lock that `wait` takes
        handler(signal.SIGINT, None)
    assert until.wait(30)


class _Nothing:
    """Stands where a real part would: closes, and is a block."""

    def close(self) -> None: ...

    def __enter__(self) -> Any:
        return Served(metrics=LOOPBACK, health=LOOPBACK, status=LOOPBACK)

    def __exit__(self, *_: object) -> None: ...


class _Reader(io.StringIO):
    """A reader of stderr that signals the run as soon as it has read that the run is ready."""

    def __init__(self, signals: Interrupts) -> None:
        super().__init__()
        self._signals = signals

    def write(self, text: str) -> int:
        written = super().write(text)
        if "Ready." in text:
            self._signals(signal.SIGTERM, None)
        return written


def test_who_reads_that_it_is_ready_may_end_it_in_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script that waits for the line and stops the run must get a drain and status 0."""
    for name in ("start_components", "redis_of_its_own", "scanner_socket"):
        monkeypatch.setattr(parts, name, lambda *_: "")
    monkeypatch.setattr(parts, "serve", lambda *_: _Nothing())
    monkeypatch.setattr(run, "client_for", lambda *_, **__: _Nothing())
    monkeypatch.setattr(run, "require_answer", lambda *_: None)
    monkeypatch.setattr(run, "examine", lambda *_: None)
    monkeypatch.setattr(run, "tables_on", lambda *_: None)
    environ = {"SLUICE_REDIS_URL": "unix:///nowhere"}
    signals = Interrupts()
    told = _Reader(signals)
    terminal = Terminal(stdin=sys.stdin, stdout=io.StringIO(), stderr=told)
    one = run.Run(
        context=Context(environ=environ, terminal=terminal),
        settings=parse(environ),
        cluster="c",
        owner=Supervisor(),
    )
    try:
        one.until_stopped(signals, workers=1)
    except KeyboardInterrupt:  # left to itself it would end the whole suite
        pytest.fail("the signal was taken for one during the start")
    assert told.getvalue().endswith("Draining …\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [(signal.default_int_handler, "Ctrl-C drains"), (signal.SIG_IGN, "`kill ")],
    ids=["terminal", "background"],
)
def test_a_run_says_what_stops_it(given: Any, said: str) -> None:
    """A background job of a script ignores Ctrl-C: `Ctrl-C stops` would be a lie there."""
    before = signal.signal(signal.SIGINT, given)
    try:
        assert how_to_stop().startswith(said)
    finally:
        signal.signal(signal.SIGINT, before)
