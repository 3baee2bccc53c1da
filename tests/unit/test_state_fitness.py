"""Is a Redis fit: what a look says, to `sluice doctor` and at a start, on good ground and bad."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from common.model.errors import PreconditionError
from common.model.finding import Fault, Finding, Good, Notice, line
from common.model.redis_address import parse_redis_url
from common.state.arrival import tell_fitness
from common.state.examine import Server
from common.state.fitness import judge

HEALTHY: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "cluster_enabled": 0,
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "used_memory": 1_000_000,
}
NO_SNAPSHOTS = {"save": "", "appendfsync": "everysec"}
ADDRESS = parse_redis_url("redis://ada:hunter2@cache:6379/0")


def server(**changes: Any) -> Server:
    """Return a healthy Redis with some changes to INFO."""
    return Server(info={**HEALTHY, **changes}, config=NO_SNAPSHOTS)


def findings(seen: Server) -> list[Finding]:
    """Return what there is to say."""
    return list(judge(seen, shown=ADDRESS.shown, user=ADDRESS.username))


def faults(seen: Server) -> list[Fault]:
    """Return the faults."""
    return [finding for finding in findings(seen) if isinstance(finding, Fault)]


def notices(seen: Server) -> list[str]:
    """Return what the notices say."""
    return [finding.said for finding in findings(seen) if isinstance(finding, Notice)]


def test_a_healthy_redis_has_no_faults() -> None:
    """A doctor who always finds something is not listened to."""
    assert {type(finding) for finding in findings(server())} == {Good}
    assert line(findings(server())[0]) == "ok     Redis: Redis 7.2.4 at redis://cache:6379/0"


def test_valkey_is_told_as_valkey() -> None:
    """It reports redis_version 7.2.4 for compatibility and its own beside it."""
    assert "Valkey 8.1.8" in line(findings(server(valkey_version="8.1.8"))[0])


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"redis_version": "6.2.14"}, "use Redis 7 or newer"),
        ({"redis_version": "nightly"}, "use Redis 7 or newer"),
        ({"cluster_enabled": 1}, "cluster-enabled no"),
        ({"role": "slave", "master_host": "a", "master_port": 1}, "redis+sentinel://"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 10**9}, "maxmemory-policy noeviction"),
        ({"aof_enabled": 0}, "appendonly yes"),
        ({"aof_last_write_status": "err"}, "free space"),
        ({"maxmemory": 1_100_000}, "raise maxmemory"),
    ],
)
def test_each_fault_has_its_remedy(changes: dict[str, Any], remedy: str) -> None:
    """Each of these loses keys or work, sooner or later (traps 2 and 21)."""
    (fault,) = faults(server(**changes))
    assert remedy in fault.remedy


def test_an_eviction_policy_without_a_limit_is_only_a_notice() -> None:
    """Without maxmemory nothing is ever evicted; managed services set such policies."""
    seen = server(maxmemory_policy="volatile-lru")
    assert faults(seen) == []
    assert "harmless while maxmemory is 0" in notices(seen)[0]


def test_snapshots_alone_are_a_notice_and_their_failure_is_a_fault() -> None:
    """A crash then costs what was done since the last one: work, and told."""
    config = {"save": "3600 1 300 100", "appendfsync": "everysec"}
    seen = Server(info={**HEALTHY, "aof_enabled": 0}, config=config)
    assert faults(seen) == []
    assert "save 3600 1 300 100" in notices(seen)[0]
    failing = {**HEALTHY, "aof_enabled": 0, "rdb_last_bgsave_status": "err"}
    (fault,) = faults(Server(info=failing, config=config))
    assert "last snapshot failed" in fault.said


def test_a_log_that_is_never_synced_is_a_notice() -> None:
    """The kernel writes within half a minute: that much may be lost."""
    seen = Server(info=HEALTHY, config={"save": "", "appendfsync": "no"})
    assert "appendfsync everysec" in notices(seen)[0]


def test_what_the_user_may_not_ask_is_told_as_unknown() -> None:
    """Silence would be read as health."""
    unasked = Server(info=None, config=None, lacking=("+info",))
    assert "could not be checked" in notices(unasked)[0]
    assert [fault.said for fault in faults(unasked)] == ["this user lacks +info"]
    no_config = Server(info={**HEALTHY, "aof_enabled": 0}, config=None)
    assert "whether snapshots are taken could not be checked" in notices(no_config)[0]
    no_policy = {name: value for name, value in HEALTHY.items() if name != "maxmemory_policy"}
    assert "could not be checked" in notices(Server(info=no_policy, config=None))[0]


def test_a_log_file_needs_no_look_at_the_configuration() -> None:
    """The rights of docs/operations.md do not include it, and must not cost a notice."""
    assert {type(finding) for finding in findings(Server(info=HEALTHY, config=None))} == {Good}


def test_missing_rights_come_with_the_rule_that_grants_them() -> None:
    """For this user, ready to be typed."""
    (fault,) = faults(Server(info=HEALTHY, config=None, lacking=("+hset", "~rq:*")))
    assert fault.remedy.startswith("ACL SETUSER ada +hset ~rq:*")
    refused = Server(info=HEALTHY, config=None, refusal="no permissions to run the 'ping' command")
    assert faults(refused)[0].remedy.startswith("ACL SETUSER ada +ping,")


def test_an_old_server_is_not_blamed_for_rights_that_it_cannot_tell() -> None:
    """Redis 6 does not know our question."""
    seen = Server(info={"redis_version": "6.2.14"}, config=None, refusal="Error compiling script")
    assert [fault.topic for fault in faults(seen)] == ["Redis"]


# --- at a start


@pytest.mark.parametrize(
    ("changes", "topic"),
    [
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 10**9}, "Redis eviction"),
        ({"aof_enabled": 0}, "Redis persistence"),
        ({"role": "slave", "master_host": "a", "master_port": 1}, "Redis role"),
    ],
)
def test_a_start_warns_of_what_endangers_data_and_goes_on(
    changes: dict[str, Any], topic: str
) -> None:
    """It costs work, not correctness; one who cannot change the server can still use it."""
    with capture_logs() as logs:
        tell_fitness(server(**changes), ADDRESS)
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == (topic, "warning")
    assert warning["remedy"]
    assert "hunter2" not in str(warning)


def test_a_start_says_nothing_about_a_healthy_redis() -> None:
    """A line at every start is a line that nobody reads."""
    with capture_logs() as logs:
        tell_fitness(server(), ADDRESS)
    assert logs == []


def test_a_start_names_everything_with_which_nothing_works_and_ends() -> None:
    """All at once: a restart per fault would be a walk through the dark."""
    seen = Server(info={**HEALTHY, "cluster_enabled": 1}, config=None, lacking=("+hset",))
    with pytest.raises(PreconditionError) as caught:
        tell_fitness(seen, ADDRESS)
    assert "Redis Cluster" in str(caught.value)
    assert "+hset" in str(caught.value)
    with pytest.raises(PreconditionError, match="older than 7"):
        tell_fitness(server(redis_version="6.2.14"), ADDRESS)
