"""Sweeps end to end over tables in memory: chunks, confirmations, rounds and Redis' lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry

from common.model.errors import SourceUnavailableError
from common.model.key import ClusterKey, RowKey, WorkKey, WorkloadKey
from common.queue.contract import Add, Lane
from common.state.settled import SettledRow
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.folding import folded
from watcher.fold.cluster import Cluster
from watcher.lead import Lead, LeadPorts
from watcher.metrics import WatchMetrics
from watcher.pulse import Pulse
from watcher.rounds import RoundPorts, Rounds
from watcher.stream.change import Change, Op
from watcher.sweeper import SLICE_KEYS, Ports, Sweep

KIND = "VulnerabilityReport"
NAME = "replicaset-web-app"
HASH = "ab" * 16
WEB = b.key("ReplicaSet", "web")
IDLE_S = 0.2
ANY = 1_000_000  # an allowance that no sweep here exceeds


def _away() -> int:
    raise SourceUnavailableError("Redis: gone")


def _workloads(count: int) -> list[Change]:
    return [b.upsert(b.replica_set(f"web-{n}"), kind="ReplicaSet") for n in range(count)]


def _ports(tables: FakeTables, cluster: Cluster) -> Ports:
    return Ports(
        queue=tables,
        rows=tables,
        settled=tables,
        known=cluster,
        references=tables,
        images=tables.images,
    )


def _sweep(tables: FakeTables, cluster: Cluster) -> Sweep:
    sweep = Sweep(_ports(tables, cluster), fence=tables.fence, epoch=tables.epoch, now_s=tables.now)
    while sweep.step(ANY):
        pass
    return sweep


def test_the_first_sweep_adds_everything_in_bulk_and_the_second_nothing() -> None:
    """Law 1: unchanged input, the next pass does 0 enqueues."""
    cluster, tables = folded(*_workloads(7)), FakeTables()
    assert _sweep(tables, cluster).tally.enqueued == 7
    assert {add.lane for add in tables.adds} == {Lane.BULK}
    tables.work()
    sent = len(tables.adds)
    tally = _sweep(tables, cluster).tally
    assert (tally.workloads, tally.enqueued, tally.stored, tally.forgotten) == (7, 0, 0, 0)
    assert len(tables.adds) == sent


def test_a_sweep_while_everything_waits_adds_nothing() -> None:
    """A queue that is an hour behind must not grow by a cluster's size every ten minutes."""
    cluster, tables = folded(*_workloads(5)), FakeTables()
    _sweep(tables, cluster)
    assert _sweep(tables, cluster).tally.enqueued == 0


def test_what_waits_and_changed_while_nobody_watched_waits_no_longer() -> None:
    """Its kubelet pulled the image in the seconds without a watcher: not a minute's wait more."""
    cluster, tables = folded(*_workloads(2)), FakeTables()
    _sweep(tables, cluster)
    changed = b.upsert(b.replica_set("web-1", b.container("app", "web:2")), kind="ReplicaSet")
    _sweep(tables, folded(_workloads(1)[0], changed))
    assert [add.lane for add in tables.adds] == [Lane.BULK, Lane.BULK, Lane.FRESH]
    assert tables.adds[-1].key == b.key("ReplicaSet", "web-1")


def test_a_restarted_watcher_stores_and_adds_nothing() -> None:
    """Law 1, after a restart: another fold of the same cluster gives the same fingerprints."""
    tables = FakeTables()
    _sweep(tables, folded(*_workloads(5)))
    tables.work()
    tally = _sweep(tables, folded(*reversed(_workloads(5)))).tally
    assert (tally.enqueued, tally.stored) == (0, 0)


def test_large_clusters_are_swept_in_slices() -> None:
    """Between two slices live changes are served."""
    cluster, tables = folded(*_workloads(SLICE_KEYS + 1)), FakeTables()
    sweep = Sweep(_ports(tables, cluster), fence=0, epoch=0, now_s=0)
    assert sweep.step(ANY)
    assert len(tables.waiting) == SLICE_KEYS
    assert sweep.step(ANY)
    assert len(tables.waiting) == SLICE_KEYS + 1


def test_keys_that_exceed_the_allowance_are_judged_again_in_the_next_slice() -> None:
    """By then they may have run: what is asked for is what is needed then."""
    cluster, tables = folded(*_workloads(9)), FakeTables()
    sweep = Sweep(_ports(tables, cluster), fence=0, epoch=0, now_s=0)
    assert sweep.step(4)
    assert (len(tables.waiting), sweep.held) == (4, True)
    assert sweep.step(0)
    assert (len(tables.waiting), sweep.held) == (4, True)
    for key in list(cluster.prints)[4:6]:  # a live change asks for two of them, a worker runs them
        tables.add([Add(key=key, row=cluster.row(key))], fence=0)
    tables.work()
    while sweep.step(4):
        pass
    assert len(tables.adds) == 9
    assert (sweep.tally.workloads, sweep.tally.enqueued, sweep.held) == (9, 7, False)


def test_clean_ups_count_against_the_allowance_and_go_to_bulk() -> None:
    """A namespace of 3,000 workloads is deleted while nobody watches: nothing live waits for it."""
    tables = FakeTables()
    _sweep(tables, folded(*_workloads(5)))
    tables.work()
    sweep = Sweep(_ports(tables, folded()), fence=0, epoch=0, now_s=0)
    assert sweep.step(2)
    assert (len(tables.waiting), sweep.held) == (2, True)
    while sweep.step(2):
        assert len(tables.waiting) <= 5
    assert {add.lane for add in tables.waiting.values()} == {Lane.BULK}
    assert (sweep.tally.forgotten, sweep.held) == (5, False)


def test_a_clean_up_that_a_live_change_asked_for_meanwhile_is_not_asked_for_again() -> None:
    """It was held, came back, and went again before its turn came."""
    tables = FakeTables()
    _sweep(tables, folded(*_workloads(3)))
    tables.work()
    sweep = Sweep(_ports(tables, folded()), fence=0, epoch=0, now_s=0)
    assert sweep.step(1)
    tables.forget(list(tables.stored), fence=0)
    tables.work()
    while sweep.step(1):
        pass
    assert sweep.tally.forgotten == 1


def test_rows_of_workloads_that_vanished_unwatched_are_forgotten_once() -> None:
    """The namespace was deleted while no watcher ran; workers clean up, then nothing is left."""
    tables = FakeTables()
    _sweep(tables, folded(*_workloads(3)))
    tables.work()
    empty = folded()
    assert _sweep(tables, empty).tally.forgotten == 3
    assert _sweep(tables, empty).tally.forgotten == 0, "the clean-up waits already"
    tables.work()
    assert tables.settled_rows == {}
    assert _sweep(tables, empty).tally.forgotten == 0


def test_a_settled_run_without_a_row_is_forgotten_too() -> None:
    """The row was deleted, and the queue lost the clean-up."""
    tables = FakeTables()
    _sweep(tables, folded(*_workloads(1)))
    tables.work()
    tables.stored.clear()
    assert _sweep(tables, folded()).tally.forgotten == 1


def test_what_cannot_be_decoded_is_not_forgotten() -> None:
    """Trap 23. Its reports are good, only our decoder is not."""
    tables = FakeTables()
    _sweep(tables, folded(b.upsert(b.replica_set("web"), kind="ReplicaSet")))
    tables.work()
    blind = folded(Change(resource="replicasets", op=Op.UNDECODABLE, key="shop/web"))
    assert _sweep(tables, blind).tally.forgotten == 0


class _EndsBetweenReads(FakeTables):
    """A run ends after the sweep read what is settled and before it asks who waits."""

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        self.work()
        return super().members(keys)


def test_a_run_that_ends_between_two_reads_is_not_repeated() -> None:
    """Not settled a moment ago, not waiting now: it has settled in between."""
    cluster, tables = folded(*_workloads(3)), _EndsBetweenReads()
    sweep = Sweep(_ports(tables, cluster), fence=0, epoch=0, now_s=tables.now)
    for key in cluster.prints:
        row = cluster.row(key)
        assert row is not None
        tables.stored[key] = row
        tables.waiting[key] = None  # type: ignore[assignment] # only that it waits matters
    while sweep.step(ANY):
        pass
    assert sweep.tally.enqueued == 0
    assert tables.adds == []


def test_a_clean_up_that_ends_between_two_reads_is_not_asked_for_again() -> None:
    """Law 2. Seen once in forty hand-overs: the run would be the second for one deletion."""
    cluster, tables = folded(*_workloads(2)), _EndsBetweenReads()
    _sweep(tables, cluster)
    tables.work()
    gone, empty = list(tables.stored), folded()
    tables.forget(gone, fence=0)  # by the leader before; the clean-up waits
    assert _sweep(tables, empty).tally.forgotten == 0
    assert tables.waiting == {}


def test_a_deleted_report_is_found_by_the_next_sweep() -> None:
    """Trap 11. Whatever the events said, the join tells."""
    report = b.report(KIND, NAME, b.about("ReplicaSet", "web"), b.stamped(HASH))
    cluster = folded(b.upsert(b.replica_set("web"), kind="ReplicaSet"), b.upsert(report, kind=KIND))
    tables = FakeTables(epoch=1)
    _sweep(tables, cluster)
    made: Mapping[RowKey, Mapping[str, str]] = {WEB: {f"{KIND}/{b.NAMESPACE}/{NAME}": HASH}}
    tables.work(made)
    tables.now += 60
    assert _sweep(tables, cluster).tally.enqueued == 0
    cluster.apply([b.delete(report, kind=KIND)])
    sweep = _sweep(tables, cluster)
    assert sweep.tally.causes == {"ReportMissing": 1}


def test_a_row_that_redis_lost_is_stored_again_without_a_run() -> None:
    """The settled run answers for it; a worker that is woken needs it all the same."""
    cluster, tables = folded(*_workloads(3)), FakeTables()
    _sweep(tables, cluster)
    tables.work()
    tables.stored.clear()
    tally = _sweep(tables, cluster).tally
    assert (tally.enqueued, tally.stored, tally.forgotten) == (0, 3, 0)
    assert len(tables.stored) == 3


# --- rounds and lead ------------------------------------------------------------------------------


class _Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _Stage:
    def __init__(self, *changes: Change) -> None:
        self.time = _Time()
        self.cluster, self.tables = folded(*changes), FakeTables()
        self.pulse = Pulse(monotonic=self.time, draw=lambda: 0.5)
        self.lead = self.take_lead()
        self.rounds = Rounds(
            RoundPorts(
                tables=_ports(self.tables, self.cluster),
                requests=self.tables,
                ledger=self.tables,
                clock=self.tables,
                count_reports=lambda: len(self.cluster.reports),
            ),
            WatchMetrics(CollectorRegistry()),
            interval_s=600.0,
            pulse=self.pulse,
        )

    def take_lead(self, digest: str = "d") -> Lead:
        self.digest = digest
        ports = LeadPorts(
            fences=self.tables,
            epochs=self.tables,
            lives=self.tables,
            seen=self.tables,
            signs=self.tables,
        )
        return Lead(
            ports,
            digest=lambda: self.digest,
            highest_stamp=lambda: max((one.gist.epoch for one in self.cluster.reports), default=0),
        )

    def go_round(self, *, turns: int = 0) -> None:
        """Step until nothing is due; then let so many idle turns of the loop pass, and step on."""
        for _ in range(100):
            if self.rounds.busy:
                self.rounds.step(self.lead)
            elif turns:
                turns -= 1
                self.time.now += IDLE_S
            else:
                return
        raise AssertionError("a sweep does not end")

    def sweeps(self) -> int:
        return sum(fact.kind == "swept" for fact in self.tables.facts)


def test_a_sweep_begins_at_the_start_and_says_what_it_did() -> None:
    """A fact in the ledger, so that `status` need not guess."""
    stage = _Stage(*_workloads(3))
    stage.go_round()
    (fact,) = stage.tables.facts
    assert fact.kind == "swept"
    assert dict(fact.data) == {"workloads": 3, "reports": 0, "enqueued": 3, "seconds": 0.0}


def test_a_sweep_comes_back_after_its_interval() -> None:
    """Whatever was missed is found within ten minutes."""
    stage = _Stage()
    stage.go_round()
    stage.time.now += 599
    assert not stage.rounds.busy
    stage.time.now += 2
    stage.go_round()
    assert stage.sweeps() == 2


@pytest.mark.parametrize(("age_s", "pause_s"), [(5, 30), (3600, 600)])
def test_the_first_sweep_of_a_term_is_followed_by_one_over_what_was_too_young(
    age_s: float, pause_s: float
) -> None:
    """Nobody saw what happened to its reports between two leaders; ten minutes would be long."""
    stage = _Stage(*_workloads(3))
    _sweep(stage.tables, stage.cluster)
    stage.tables.work()
    stage.tables.now += age_s
    stage.rounds.begin()
    stage.go_round()
    stage.time.now += pause_s - 1
    assert not stage.rounds.busy
    stage.time.now += 2
    stage.go_round()
    assert stage.sweeps() == 2
    stage.time.now += 31
    stage.go_round()
    assert stage.sweeps() == 2, "once"


def test_a_request_is_answered_by_a_sweep_that_began_after_it() -> None:
    """`sluice` waits for its number; a sweep that was under way may have passed its object."""
    stage = _Stage(*_workloads(SLICE_KEYS * 2))
    stage.rounds.step(stage.lead)
    stage.tables.requested = 7
    stage.rounds.look()
    stage.go_round(turns=5)
    assert (stage.tables.swept, stage.sweeps()) == (0, 1), "it began before the request"
    stage.rounds.look()
    stage.go_round()
    assert (stage.tables.swept, stage.sweeps()) == (7, 2)
    stage.rounds.look()
    assert not stage.rounds.busy


def test_a_request_is_answered_after_a_flush_that_lost_the_count_of_requests() -> None:
    """Trap 32. Redis counts from one again; who asks would wait for as many requests as were."""
    stage = _Stage()
    stage.tables.requested = 7
    stage.go_round()
    stage.tables.flush()
    stage.rounds.demand()
    stage.go_round()
    stage.tables.requested = 1
    stage.rounds.look()
    stage.go_round()
    assert stage.tables.swept == 1
    stage.rounds.look()
    assert not stage.rounds.busy


def test_a_sweep_that_redis_interrupts_begins_again_after_a_wait() -> None:
    """Half a sweep proves nothing."""
    stage = _Stage(*_workloads(SLICE_KEYS * 2))
    stage.rounds.step(stage.lead)
    stage.tables.go_away()
    stage.rounds.step(stage.lead)
    assert not stage.rounds.busy, "it waits"
    stage.tables.come_back()
    stage.time.now += 10
    stage.go_round()
    assert stage.sweeps() == 1
    assert stage.tables.facts[-1].data["workloads"] == SLICE_KEYS * 2


def test_a_lead_takes_fence_and_epoch_and_keeps_them_while_nothing_changes() -> None:
    """The same digest keeps the epoch, also for the next watcher."""
    stage = _Stage()
    first = stage.lead
    assert first.check() == ""
    second = stage.take_lead()
    assert second.fence > first.fence
    assert second.epoch == first.epoch


def test_settings_that_change_raise_the_epoch() -> None:
    """Trap 26. Everything is looked at again, in bulk."""
    stage = _Stage()
    assert stage.take_lead("other settings").epoch == stage.lead.epoch + 1


def test_a_rule_that_ends_raises_the_epoch_once() -> None:
    """What it hid must come back into every report, and no process starts again for it."""
    stage = _Stage()
    before = stage.lead.epoch
    assert stage.lead.check() == ""
    stage.digest = "a rule has ended"
    assert stage.lead.check() == "RuleEnded"
    assert stage.lead.epoch == stage.tables.epoch == before + 1
    assert stage.lead.check() == ""
    assert stage.lead.epoch == before + 1


def test_the_epoch_goes_on_from_the_highest_stamp() -> None:
    """Trap 32. After a loss of Redis' data a lower epoch would make every stamp a newer one."""
    report = b.report(KIND, "r", b.about("ReplicaSet", "web"), b.stamped(HASH, epoch=9))
    assert _Stage(b.upsert(report, kind=KIND)).lead.epoch == 9


@pytest.mark.parametrize("flushed", [True, False])
def test_redis_that_is_another_than_before_is_noticed_once(*, flushed: bool) -> None:
    """A flush keeps the run id and loses the epoch; a restart changes it and may lose a second."""
    stage = _Stage()
    epoch = stage.lead.epoch
    if flushed:
        stage.tables.flush()
    else:
        stage.tables.life = "life-2"
    whys = [why for _ in range(12) if (why := stage.lead.check())]
    assert whys == ["DataLost" if flushed else "Restarted"]
    assert stage.lead.epoch == stage.tables.epoch == epoch, "the same settings, the same epoch"


def test_after_a_look_that_failed_a_restart_is_noticed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redis was away: nobody waits for the fifth look then."""
    stage = _Stage()
    with monkeypatch.context() as away:
        away.setattr(stage.tables, "current", _away)
        with pytest.raises(SourceUnavailableError):
            stage.lead.check()
    stage.tables.life = "life-2"
    assert stage.lead.check() == "Restarted"


def test_a_newer_watchers_epoch_is_left_standing() -> None:
    """Trap 25. The older one is refused at its next write; it must not fight."""
    stage = _Stage()
    newer = stage.take_lead("newer version")
    assert stage.lead.check() == ""
    assert stage.tables.epoch == newer.epoch


def test_a_settled_run_of_another_pool_is_none_of_a_sweeps_business() -> None:
    """Image and cluster keys settle too; they have no row."""
    tables = FakeTables()
    tables.settled_rows[ClusterKey(what="x")] = SettledRow(fingerprint="", epoch=0, outcome="x")
    assert _sweep(tables, folded()).tally.forgotten == 0


def test_a_reference_that_no_kubelet_runs_is_asked_for_again() -> None:
    """A CronJob's tag moves, and nothing in the cluster says so."""
    cluster, tables = folded(*_workloads(3)), FakeTables()
    _sweep(tables, cluster)
    tables.work()
    due, later, _ = (b.key("ReplicaSet", f"web-{n}") for n in range(3))
    gone = WorkloadKey(kind="CronJob", namespace="a", name="gone")
    tables.references = {due: tables.now, gone: tables.now - 5, later: tables.now + 1}
    tables.adds.clear()
    tally = _sweep(tables, cluster).tally
    assert [(add.key, add.lane, add.cause) for add in tables.adds] == [
        (due, Lane.BULK, "ReferenceDue")
    ]
    assert tally.causes == {"ReferenceDue": 1}
    assert tables.references == {later: tables.now + 1}


def test_references_that_exceed_the_allowance_stay_due() -> None:
    """Thousands of CronJobs resolve their images within a day of one another, not at once."""
    cluster, tables = folded(*_workloads(5)), FakeTables()
    _sweep(tables, cluster)
    tables.work()
    tables.references = {b.key("ReplicaSet", f"web-{n}"): 0.0 for n in range(5)}
    tables.adds.clear()
    sweep = Sweep(_ports(tables, cluster), fence=0, epoch=0, now_s=tables.now)
    while not tables.adds:
        assert sweep.step(2)
    assert (len(tables.adds), len(tables.references)) == (2, 3)
