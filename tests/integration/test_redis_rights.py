"""The rights that the product needs in Redis: the page's line is enough, nothing in it is spare."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.cli.main import main
from common.model.errors import PreconditionError
from common.model.redis_address import RedisAddress, parse_redis_url
from common.state.connect import connect, redis_errors
from common.state.examine import look
from common.state.names import Names
from common.state.overwritten import _PROBES as PROBES
from common.state.rights import COMMANDS, acl_line
from tests.deployments import (
    OPERATIONS,
    PASSWORD,
    USER,
    Deployment,
    acl_words,
    commands_used,
)
from tests.fixtures_queue import forget, pass_time
from tests.fixtures_redis import DeploymentOf
from tests.redis_exercise import exercise

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
# What a connection needs to exist, what Redis grants everybody, and what this test asks itself.
NOT_RIGHTS = {"auth", "hello", "acl", "config|resetstat", "client|setinfo"}


@pytest.fixture(params=["valkey8-tls-acl", "redis7-tls-acl"])
def restricted(request: pytest.FixtureRequest, deployment_of: DeploymentOf) -> Deployment:
    """Give a deployment whose user has the rights of docs/operations.md."""
    return deployment_of(request.param)


def test_the_line_on_the_page_is_enough_for_everything_the_product_does(
    restricted: Deployment,
) -> None:
    """A right that is missing shows in the middle of the night, in the one script that needs it."""
    names = Names(f"t{secrets.token_hex(5)}")
    with restricted.client() as client, restricted.admin() as admin:
        admin.acl_log_reset()
        exercise(client, names.cluster, lambda s: pass_time(admin, names, s))
        refused: Any = admin.acl_log()
        forget(admin, names)
    assert [entry["object"] for entry in refused] == []


def test_no_right_of_the_page_is_spare(restricted: Deployment) -> None:
    """Least rights: what the product never does, its user may not do either."""
    names = Names(f"t{secrets.token_hex(5)}")
    used: set[str] = set()
    with restricted.client() as client, restricted.admin() as admin:

        def later(seconds: float) -> None:
            """Let time pass, and leave out what that takes."""
            used.update(commands_used(admin))
            pass_time(admin, names, seconds)
            admin.config_resetstat()

        admin.script_flush()
        admin.config_resetstat()
        exercise(client, names.cluster, later)
        used |= commands_used(admin)
        forget(admin, names)
    assert COMMANDS.keys() - used == set()
    assert used - COMMANDS.keys() <= NOT_RIGHTS


# --- the page and the code


def test_the_line_on_the_page_is_what_the_code_needs() -> None:
    """Administrators copy it; one that is edited by hand is wrong after the next change."""
    page = OPERATIONS.read_text(encoding="utf-8")
    assert f"> {acl_line()}\n" in page, (
        "replace the line by what common.state.rights.acl_line() returns"
    )


def test_every_command_of_the_scripts_is_a_right() -> None:
    """Also in a branch that no test runs: the exercise cannot see those."""
    scripts = (ROOT / "common" / "queue" / "lua").glob("*.lua")
    called = {
        name.lower()
        for script in scripts
        for name in re.findall(r"call\('([A-Z]+)'", script.read_text(encoding="utf-8"))
    }
    assert len(called) > 30
    assert called - COMMANDS.keys() == set()


# redis-py's methods that are not named as their commands are.
METHODS = {
    "config_get": {"config|get"},  # asked only where it is granted
    "delete": {"del"},
    "execute": {"multi", "exec"},
    "execute_command": {words[0].lower() for words in PROBES.values()},  # what stands in our keys
    "pipeline": {"multi", "exec"},
    "register_script": {"script|load", "evalsha"},
}
NO_COMMANDS = {"close", "set_retry", "connection_pool"}


def test_every_plain_command_is_a_right() -> None:
    """What the tables call by redis-py's own methods."""
    called = {
        name
        for package in ("common/queue", "common/state", "common/cli", "common/overview", "worker")
        for source in (ROOT / package).rglob("*.py")
        for name in re.findall(
            r"\b(?:redis|pipe|client)\.([a-z_]+)\(", source.read_text(encoding="utf-8")
        )
    } - NO_COMMANDS
    commands = {command for name in called for command in METHODS.get(name, {name})}
    assert {"hscan", "blpop", "xrevrange"} <= commands
    assert commands - COMMANDS.keys() == {"config|get"}


# --- what the doctor says


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A user of the test's own, who has the rights of the page at first."""

    name: str
    admin: Redis
    deployment: Deployment

    def change(self, *rules: str) -> None:
        """Give or take rights."""
        admin: Any = self.admin
        admin.execute_command("ACL", "SETUSER", self.name, *rules)

    def lacks(self) -> tuple[str, ...]:
        """Return the rights that a look misses."""
        file, ca_file = self.deployment.password_file, self.deployment.ca_file
        with connect(self.address, password_file=file, ca_file=ca_file) as client:
            return look(client, Names("x")).lacking

    @property
    def address(self) -> RedisAddress:
        """Return the deployment's address for this user."""
        return replace(parse_redis_url(self.deployment.url), username=self.name)


@pytest.fixture
def visitor(restricted: Deployment) -> Iterator[Visitor]:
    """Give a user with the rights of the page."""
    with restricted.admin() as admin:
        found = Visitor(name=f"u{secrets.token_hex(4)}", admin=admin, deployment=restricted)
        found.change(*acl_words()[3:])
        yield found
        admin.acl_deluser(found.name)


def test_each_right_that_is_missing_is_named(visitor: Visitor) -> None:
    """One at a time: `NOPERM` out of a script would name one command, and not the next."""
    assert visitor.lacks() == ()
    for command in sorted(COMMANDS.keys() - {"evalsha", "script|load", "client|setname"}):
        visitor.change(f"-{command}")
        assert visitor.lacks() == (f"+{command}",)
        visitor.change(f"+{command}")


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ("resetkeys ~sluice:*", ("~rq:*",)),
        ("resetkeys ~rq:*", ("~sluice:*",)),
        ("resetkeys %R~rq:* ~sluice:*", ("~rq:*",)),
        ("resetkeys ~rq:job:* ~sluice:*", ("~rq:*",)),
        ("resetkeys", ("~rq:*", "~sluice:*")),
        ("-hset -time", ("+hset", "+time")),
        ("resetkeys ~rq:* -hset", ("+hset", "~sluice:*")),
    ],
)
def test_keys_that_are_out_of_reach_are_told_from_commands(
    visitor: Visitor, rules: str, lacking: tuple[str, ...]
) -> None:
    """Redis says only whether a call is allowed; the remedy must not add the wrong half."""
    visitor.change(*rules.split())
    assert visitor.lacks() == lacking


@pytest.mark.parametrize("command", ["evalsha", "script|load", "client|setname", "info", "lpos"])
def test_the_doctor_names_the_right_and_the_rule_that_grants_it(
    visitor: Visitor,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is missing, down to what the question itself needs."""
    for name, text in visitor.deployment.environ().items():
        monkeypatch.setenv(name, text)
    url = visitor.deployment.url.replace(f"{USER}@", f"{visitor.name}@")
    monkeypatch.setenv("SLUICE_REDIS_URL", url)
    monkeypatch.setenv("SLUICE_CLUSTER", "x")
    monkeypatch.setenv("SLUICE_KUBECONFIG", "/nowhere/kubeconfig")
    visitor.admin.script_flush()
    visitor.change(f"-{command}")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    (at,) = [at for at, text in enumerate(told.splitlines()) if command in text and "FAULT" in text]
    remedy = told.splitlines()[at + 1]
    assert "docs/operations.md" in remedy
    assert "ACL SETUSER" in remedy
    assert PASSWORD not in told


def test_another_database_needs_one_more_right(visitor: Visitor) -> None:
    """The page says so beside the line."""
    address = replace(visitor.address, db=2)
    file, ca_file = visitor.deployment.password_file, visitor.deployment.ca_file
    with connect(address, password_file=file, ca_file=ca_file) as client:
        with (
            pytest.raises(PreconditionError, match=r"'select' command.*ACL SETUSER.*\+select"),
            redis_errors(address),
        ):
            client.ping()
        visitor.change("+select")
        assert client.ping()
