"""The circuit's script does in Redis what its model says, whatever is asked, fails or answers."""

from __future__ import annotations

import itertools
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from common.model.circuit import (
    Circuit,
    CircuitOp,
    CircuitPolicy,
    Enter,
    Fail,
    Leave,
    Succeed,
    Verdict,
    step,
)
from common.state.circuits import CircuitTable, Probe, Refusal
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.fixtures_queue import forget

pytestmark = pytest.mark.integration

# Far apart from each other and from what the run takes, so that real time decides nothing.
POLICY = CircuitPolicy(threshold=2, first_s=100.0, cap_s=300.0, probe_s=40.0)
# A probe may take longer than an opening: then its end matters, not its time.
SLOW_PROBE = CircuitPolicy(threshold=2, first_s=100.0, cap_s=100.0, probe_s=1000.0)
SOURCE = "registry/r:5000"

fails = st.builds(
    Fail,
    key=st.sampled_from(["a", "b", "c"]),
    failed_before=st.booleans(),
    reason=st.just("RegistryUnavailable"),
    message=st.just("r does not answer"),
    rest_s=st.sampled_from([0.0, 0.0, 500.0, 1e9]),
)
steps = st.lists(
    st.one_of(
        fails,
        fails,
        st.just(Enter()),
        st.just(Enter()),
        st.just(Succeed()),
        st.just(Leave()),
        st.sampled_from([30.0, 150.0, 700.0, 4000.0]),  # time passes
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def client(valkey: Valkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.socket_url) as client:
        yield client


class Both:
    """The script and its model, told the same."""

    def __init__(self, client: Redis, policy: CircuitPolicy = POLICY) -> None:
        self.policy = policy
        self.client: Any = client  # redis-py types every reply as a union over modes
        self.names = Names(f"c{secrets.token_hex(5)}")
        self.table = CircuitTable(
            client, self.names, policies={"registry": policy}, monotonic_s=self._ticks
        )
        self.circuit: Circuit | None = None
        self.past = 0.0
        self._reads = 0.0

    def _ticks(self) -> float:
        """Never let the list of troubled sources be fresh: here it may not delay anything."""
        self._reads += 10.0
        return self._reads

    def now(self) -> float:
        seconds, micros = self.client.time()
        return float(seconds) + float(micros) / 1e6 + self.past

    def pass_time(self, seconds: float) -> None:
        """Make what Redis holds that much older; the model's clock goes forward."""
        self.past += seconds
        key = self.names.own("circuits")
        for source, text in self.client.hgetall(key).items():
            moved = re.sub(
                r'"(until|probe_until|since|touched)":([\d.e+]+)',
                lambda found: f'"{found[1]}":{float(found[2]) - seconds}',
                text.decode(),
            )
            self.client.hset(key, source, moved)

    def agree(self, op: CircuitOp) -> None:
        was_open = self.circuit is not None and self.circuit.openings > 0
        self.circuit, expected = step(self.circuit, op, policy=self.policy, now=self.now())
        match op:
            case Enter():
                refusal = self.table.enter(SOURCE)
                wait_s = refusal.wait_s if isinstance(refusal, Refusal) else 0.0
                assert wait_s == pytest.approx(expected, abs=2)
                assert isinstance(refusal, Probe) == (was_open and expected == 0.0)
            case Fail():
                found = self.table.failed(SOURCE, op)
                assert isinstance(expected, Verdict)
                assert (found.failures, found.spared) == (expected.failures, expected.spared)
                assert found.wait_s == pytest.approx(expected.wait_s, abs=2)
            case Succeed():
                self.table.succeeded(SOURCE)
            case Leave():
                self.table.left(SOURCE)
        troubles = {one.source: one for one in self.table.troubles()}
        assert (SOURCE in troubles) == (self.circuit is not None)
        if self.circuit is not None:
            assert troubles[SOURCE].failures == self.circuit.failures
            assert (troubles[SOURCE].state == "failing") == (self.circuit.openings == 0)


def _fail(key: str) -> Fail:
    return Fail(key=key, failed_before=False, reason="R", message="m")


# Opened, refused, probed by one, opened for longer, probed again, closed.
STORY: list[CircuitOp | float] = [
    *(_fail("a"), _fail("a"), Enter(), _fail("b"), Enter(), 150.0, Enter(), Enter(), 30.0),
    *(_fail("a"), Enter(), 150.0, Enter(), 150.0, Enter(), Enter(), 50.0, Enter(), Enter()),
    *(
        _fail("c"),
        250.0,
        Enter(),
        Leave(),
        Enter(),
        Enter(),
        70.0,
        Enter(),
        Succeed(),
        Enter(),
        _fail("a"),
        Enter(),
    ),
]


@given(plan=steps, policy=st.sampled_from([POLICY, SLOW_PROBE]))
@example(plan=STORY, policy=POLICY)
@example(plan=STORY, policy=SLOW_PROBE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_script_and_model_agree(
    client: Redis, plan: list[CircuitOp | float], policy: CircuitPolicy
) -> None:
    """Refusals, verdicts, openings and closings are the same, to what real time adds."""
    both = Both(client, policy)
    try:
        for op in plan:
            if isinstance(op, float):
                both.pass_time(op)
            else:
                both.agree(op)
        counted = Ledger(client, both.names).details()["circuit"]
        facts = Ledger(client, both.names).tail(100)
        told = Counter(fact.data["state"] for _, fact in facts if fact.kind == "circuit")
        assert (told["open"], told["closed"]) == (counted["open"], counted["closed"])
        assert told["probing"] <= min(counted["probing"], counted["open"])
    finally:
        forget(client, both.names)


@given(plan=st.lists(st.one_of(fails, st.just(Enter()), st.just(Succeed())), max_size=40))
def test_one_key_alone_never_opens_a_circuit(plan: list[CircuitOp]) -> None:
    """An image that a registry cannot serve must not stop the scans of all others."""
    circuit: Circuit | None = None
    for op in plan:
        one = replace(op, key="a") if isinstance(op, Fail) else op
        circuit, _ = step(circuit, one, policy=POLICY, now=1.0)
        assert circuit is None or circuit.openings == 0


@given(plan=steps)
def test_at_most_one_key_is_let_through_an_open_circuit(plan: list[CircuitOp | float]) -> None:
    """The probe is single: a source that just came back meets one request, not ten thousand."""
    circuit: Circuit | None = None
    now, probes = 1000.0, []
    for op in plan:
        if isinstance(op, float):
            now += op
            continue
        was_open = circuit is not None and circuit.openings > 0
        circuit, result = step(circuit, op, policy=POLICY, now=now)
        if isinstance(op, Enter) and was_open and result == 0.0:
            probes.append(now)
        elif not isinstance(op, Enter):
            probes.clear()  # it ended, or another did: the next one may come
    assert all(b - a >= POLICY.probe_s for a, b in itertools.pairwise(probes))


def test_a_source_that_nobody_asks_any_more_is_forgotten(client: Redis) -> None:
    """Registries and scanners come and go; the next trouble clears away what is a day old."""
    both = Both(client)
    try:
        both.table.failed(SOURCE, _fail("a"))
        both.pass_time(86_000.0)
        both.table.failed("registry/other", _fail("a"))
        assert len(both.table.troubles()) == 2
        both.pass_time(500.0)
        both.table.failed("registry/third", _fail("a"))
        assert [one.source for one in both.table.troubles()] == ["registry/other", "registry/third"]
    finally:
        forget(client, both.names)


def _record(**changed: str) -> str:
    """Return an open circuit's record, with these fields as JSON."""
    fields = {"failures": "3", "openings": "1", "until": "0", "probe_until": "0", "since": "0"}
    fields |= {"touched": "0", "keys": '["a"]', "reason": '"Away"', "message": '"no"'} | changed
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items() if value) + "}"


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": ""},
        {"reason": "{}"},
        {"message": "null"},
        {"keys": "3"},
        *({name: "1e999"} for name in ("failures", "until", "probe_until", "since")),
        {"failures": "nan"},
        {"touched": "-1e999"},
    ],
    ids=str,
)
def test_half_a_record_makes_no_run_fail(client: Redis, changed: dict[str, str]) -> None:
    """An error of the script would fail every run that asks the source, or send it off for ever."""
    both, key = Both(client), SOURCE
    circuits = both.names.own("circuits")
    try:
        for ask in (both.table.enter, both.table.left, both.table.succeeded):
            client.hset(circuits, key, _record(**changed))
            assert not ask(key)
        client.hset(circuits, key, _record(**changed))
        assert both.table.failed(key, _fail("a")).failures == 1
    finally:
        forget(client, both.names)


def test_a_reason_that_is_no_text_ends_no_run(client: Redis) -> None:
    """Only our own errors are sorted by what to do; any other one ends the loop."""
    both = Both(client)
    try:
        record = _record(until="9e9", reason='"\udcff"').encode(errors="surrogateescape")
        client.hset(both.names.own("circuits"), SOURCE, record)
        refusal = both.table.enter(SOURCE)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "\N{REPLACEMENT CHARACTER}"
    finally:
        forget(client, both.names)


@pytest.mark.parametrize(("field", "most_s"), [("until", 3600.0), ("probe_until", 100.0)])
def test_a_clock_that_was_wrong_closes_no_source_for_years(
    client: Redis, field: str, most_s: float
) -> None:
    """Redis' host came up with a wrong date, and then learned the right one."""
    both = Both(client)
    try:
        client.hset(both.names.own("circuits"), SOURCE, _record(**{field: "9e9"}))
        refusal = both.table.enter(SOURCE)
        assert isinstance(refusal, Refusal)
        assert refusal.wait_s <= most_s
    finally:
        forget(client, both.names)


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "3", '{"openings":1}', '{"openings":"x","keys":1}']
)
def test_a_record_that_cannot_be_read_blocks_nobody(client: Redis, garbage: str) -> None:
    """Somebody looked at it with the wrong tool, or a newer version wrote it."""
    both = Both(client)
    try:
        client.hset(both.names.own("circuits"), SOURCE, garbage)
        assert both.table.enter(SOURCE) is None
        assert both.table.troubles() == []
        both.table.failed("registry/other", _fail("a"))
        both.table.failed(SOURCE, _fail("a"))
        assert both.table.enter(SOURCE) is None
        assert SOURCE in {one.source for one in both.table.troubles()}
    finally:
        forget(client, both.names)
