"""Candidates on their threads, against an API server that misbehaves when told to."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry

from common.kube.lease import Lease, LeasePlace
from common.kube.session import Session
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import cut, hang, refuse
from tests.waiting import eventually
from watcher.ballot import Pace
from watcher.candidate import Candidate
from watcher.electing import own_identity
from watcher.metrics import ElectionMetrics
from watcher.pulse import Pulse

pytestmark = pytest.mark.integration

PLACE = LeasePlace(namespace="ours", name="kube-sluice")
LEASES = "/apis/coordination.k8s.io/v1/leases"
# A leader renews every 0.4 s and ends after 2 s without; a busy machine may need that long.
FAST = Pace(lease_s=3)
USUAL = Pace()
SLOW = Pace(lease_s=3600)
MANY = 10_000


class Election:
    """One API server, and candidates that come and go."""

    def __init__(self, api: FakeKubeApi, session: Session) -> None:
        self.api, self.session = api, session
        self.registries: dict[str, CollectorRegistry] = {}

    @contextlib.contextmanager
    def standing(self, me: str, pace: Pace = FAST, *, reached: bool = True) -> Iterator[Candidate]:
        """Let a candidate stand for the length of the block, with a Redis that just answered."""
        registry = self.registries.setdefault(me, CollectorRegistry())
        candidate = Candidate(
            Lease(self.session, PLACE, request_s=pace.request_s),
            ElectionMetrics(registry),
            me=me,
            pace=pace,
            pulse=Pulse(monotonic=time.monotonic, draw=lambda: 0.0),
        )
        if reached:
            candidate.reached_redis(time.monotonic() + MANY)
        with candidate:
            yield candidate
        assert not candidate.alive

    def said(self) -> tuple[str, int]:
        """Return the holder and the number of transitions."""
        spec = self.api.store.get(LEASES, f"{PLACE.namespace}/{PLACE.name}")["spec"]
        return spec["holderIdentity"], spec["leaseTransitions"]


@pytest.fixture
def election() -> Iterator[Election]:
    """Give an election without candidates."""
    with FakeKubeApi() as api, contextlib.closing(api.session()) as session:
        yield Election(api, session)


def test_a_lone_candidate_leads_and_gives_the_lease_back(election: Election) -> None:
    """The whole life of one watcher."""
    with election.standing("a") as one:
        assert eventually(one.term)
        assert (one.other, one.fault) == ("", "")
        assert election.said() == ("a", 0)
        renewals = election.api.count("patch")
        assert eventually(lambda: election.api.count("patch") > renewals + 3)
        assert one.term()
    assert election.said() == ("", 0)
    assert election.registries["a"].get_sample_value("sluice_watcher_terms_total")


def test_the_second_waits_and_takes_over_when_the_first_ends(election: Election) -> None:
    """At once, although the lease lasts an hour: it was given back."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(election.standing("a", SLOW))
        assert eventually(first.term)
        with election.standing("b") as second:
            assert eventually(lambda: second.other == "a")
            assert second.term() == 0
            stack.close()
            assert eventually(second.term)
            assert election.said() == ("b", 1)


def test_a_leader_that_hears_nothing_leads_no_more_and_comes_back(election: Election) -> None:
    """Its own clock ends the term; nobody has to tell it."""
    with election.standing("a") as one:
        assert eventually(one.term)
        with structlog.testing.capture_logs() as lines:
            election.api.fail("patch", cut, times=MANY)
            election.api.fail("get", cut, times=MANY)
            assert eventually(lambda: not one.term())
            assert eventually(lambda: one.fault)
            told = [line for line in lines if "no answer" in line["event"]]
            assert len(told) == 1, "once, however long it lasts"
        failures = election.registries["a"].get_sample_value("sluice_watcher_lease_failures_total")
        assert failures is not None
        assert failures > 1
        election.api._faults.clear()
        assert eventually(lambda: one.term() > 1)
        assert one.fault == ""


def test_a_server_that_hangs_does_not_hold_the_leader_or_its_end(election: Election) -> None:
    """The request has a deadline, and the term a clock of its own."""
    with election.standing("a") as one:
        assert eventually(one.term)
        election.api.fail("patch", hang, times=MANY)
        election.api.fail("get", hang, times=MANY)
        assert eventually(lambda: not one.term())


def test_a_right_that_is_missing_is_told_and_waited_for(election: Election) -> None:
    """It may be granted late; meanwhile the probe says what is wrong."""
    election.api.fail("get", refuse(403, "Forbidden"), times=MANY)
    with structlog.testing.capture_logs() as lines, election.standing("a") as one:
        assert eventually(lambda: one.fault)
        assert eventually(lambda: any(line.get("reason") == "Forbidden" for line in lines))
        election.api._faults.clear()
        assert eventually(one.term)


def test_a_lease_that_somebody_deletes_is_created_again_within_the_term(
    election: Election,
) -> None:
    """Nobody else had it, so nothing has to begin anew."""
    with election.standing("a", USUAL) as one:
        assert eventually(one.term)
        key = f"{PLACE.namespace}/{PLACE.name}"
        uid = election.api.store.get(LEASES, key)["metadata"]["uid"]
        election.api.store.delete(LEASES, key, {})

        def created() -> bool:
            found = election.api.store.all(LEASES)
            return bool(found) and found[0]["metadata"]["uid"] != uid

        assert eventually(created)
        assert eventually(lambda: one.term() == 1)


def test_who_resigns_leads_no_more_at_once(election: Election) -> None:
    """The loop asks in the very next turn; the API server is told when it can be."""
    with election.standing("a", SLOW) as one:
        assert eventually(one.term)
        assert one.resign(1)
        assert one.term() == 0
        assert eventually(lambda: election.said()[0] == "")


def test_a_candidate_stands_as_soon_as_redis_answers(election: Election) -> None:
    """Its next look may be far away: eight minutes at this pace."""
    with election.standing("a", SLOW, reached=False) as one:
        assert eventually(lambda: election.api.count("get") == 1)
        one.reached_redis(time.monotonic())
        assert eventually(one.term)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_shows(election: Election) -> None:
    """The watcher's loop ends with it: a candidate that never stands looks like a calm standby."""

    class Broken:
        def read(self) -> None:
            raise RuntimeError("a defect")

        create = replace = read

    candidate = Candidate(
        Broken(),  # type: ignore[arg-type] # on purpose
        ElectionMetrics(CollectorRegistry()),
        me="a",
        pace=FAST,
        pulse=Pulse(monotonic=time.monotonic, draw=lambda: 0.0),
    )
    with candidate:
        assert eventually(lambda: not candidate.alive)


def test_an_identity_tells_several_watchers_of_one_host_apart() -> None:
    """`kubectl get lease` shows it: which of three processes is the one to look at."""
    host, pid, nonce = own_identity().rsplit("_", 2)
    assert host == socket.gethostname()
    assert pid == str(os.getpid())
    assert own_identity().rsplit("_", 1)[1] != nonce
