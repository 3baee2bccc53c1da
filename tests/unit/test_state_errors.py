"""Errors of redis-py, sorted by what to do about them; none of its types passes the port."""

from __future__ import annotations

import pytest
from redis import exceptions

from common.model.errors import PreconditionError, SluiceError, SourceUnavailableError
from common.ops.refusals import arranged_first
from common.queue.contract import Hold
from common.queue.policy import decide
from common.state.connect import PasswordFileError
from common.state.scripts import wrapped

AWAY = [
    exceptions.ConnectionError("Connection refused"),
    exceptions.TimeoutError("Timeout reading from socket"),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"),
    exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    exceptions.ResponseError("BUSY Redis is busy running a script."),
    exceptions.ResponseError("MASTERDOWN Link with MASTER is down"),
    exceptions.NoScriptError("No matching script. Please use EVAL."),  # flushed while it was sent
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: str(error).split()[0])
def test_what_passes_by_itself_is_waited_out(error: exceptions.RedisError) -> None:
    """Restarts, failovers and full disks end; the loops wait, and the message says for what."""
    found = wrapped(error)
    assert isinstance(found, SourceUnavailableError)
    assert str(error)[:20] in str(found)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
    ],
    ids=["error", "error of a script"],
)
def test_a_full_redis_is_named_with_its_remedy(error: exceptions.RedisError) -> None:
    """Trap 21. The first thing to know is that nothing of ours is broken."""
    found = wrapped(error)
    assert found.reason == "RedisFull"
    assert "maxmemory; raise it" in str(found)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            exceptions.AuthenticationError("WRONGPASS invalid username-password pair"),
            "check SLUICE_REDIS_PASSWORD_FILE",
        ),
        (exceptions.NoPermissionError("may not run the 'evalsha' command"), "ACL SETUSER"),
    ],
    ids=["password", "permission"],
)
def test_a_refused_user_is_waited_out_with_the_remedy_in_the_message(
    error: exceptions.RedisError, remedy: str
) -> None:
    """A rotated password ended a running product; the file is read again for each connection."""
    found = wrapped(error)
    assert isinstance(found, SourceUnavailableError)
    assert found.reason == "RedisRefused"
    assert remedy in str(found)
    assert isinstance(arranged_first(found), PreconditionError)


def test_a_password_file_that_is_being_replaced_is_waited_out() -> None:
    """Between `rm` and `mv` there is no file; a mount is late."""
    found = wrapped(PasswordFileError("SLUICE_REDIS_PASSWORD_FILE: cannot read /p: gone"))
    assert isinstance(found, SourceUnavailableError)
    assert str(found) == "SLUICE_REDIS_PASSWORD_FILE: cannot read /p: gone"


def test_a_fault_of_ours_is_no_outage() -> None:
    """A script that fails on its data would otherwise look like a Redis that never comes back."""
    found = wrapped(exceptions.ResponseError("WRONGTYPE Operation against a key"))
    assert type(found) is SluiceError
    assert found.reason == "RedisFault"


def test_a_message_is_cut() -> None:
    """Foreign text is as long as its writer likes."""
    assert len(str(wrapped(exceptions.ResponseError("x" * 9000)))) <= 256


@pytest.mark.parametrize(
    "error",
    [*AWAY, exceptions.OutOfMemoryError("OOM")],
    ids=lambda error: str(error).split()[0],
)
def test_no_key_is_charged_for_a_fault_of_redis(error: exceptions.RedisError) -> None:
    """A restart of Redis in the middle of a thousand runs must not use up a thousand budgets."""
    found = decide(wrapped(error), {}, draw=0.5)
    assert isinstance(found, Hold)
    assert found.source == "redis"


def test_a_fault_of_our_own_scripts_is_charged() -> None:
    """It will not go away by itself: such a key must end where people see it."""
    assert wrapped(exceptions.ResponseError("ERR wrong number of arguments")).fault is None
