"""Makes one workload's reports true: gather, plan, project, write, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from common.model.errors import GoneError, NotBegunError, SluiceError
from common.model.facts import Fact
from common.model.image import ImageRecord
from common.model.key import ImageKey, WorkloadKey
from common.model.workload import Fingerprint, WorkloadRow
from common.queue.contract import After, Claim, Failed, Finished, Outcome, Settled, Waiting
from common.reports.assemble import LabelPolicy, draft, stamp_of
from common.reports.naming import container_report_name
from common.state.settled import SettledRow
from worker.project.context import ReportContext, ReportOptions
from worker.project.union import in_order
from worker.subject.workload.bodies import body_of
from worker.subject.workload.gather import Gatherer
from worker.subject.workload.needs import Retired, Scan, Skip, needs
from worker.subject.workload.plan import (
    Converge,
    ConvergePartly,
    End,
    Fail,
    Known,
    LookAgain,
    WaitFor,
    Wanted,
    obsolete,
    plan,
)
from worker.write import Writer, Written


class Rows(Protocol):
    """The watcher's rows."""

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        """Return the row with its fingerprint; None: the workload is gone."""


class SettledRuns(Protocol):
    """What runs that converged left behind."""

    def get_many(self, keys: Sequence[WorkloadKey]) -> dict[WorkloadKey, SettledRow]:
        """Return the rows of those keys that have one."""


class Successors(Protocol):
    """Waiting for another workload's run."""

    def await_settled(self, successor: WorkloadKey, waiter: WorkloadKey) -> SettledRow | None:
        """Return the successor's row if it converged, else register `waiter` to be woken."""


class Claims(Protocol):
    """The queue's record of who works on what."""

    def holds(self, claim: Claim) -> bool:
        """Say whether the claim is current; raises what Redis' absence raises."""


class Troubles(Protocol):
    """Which workloads were told of a failure."""

    def mark(self, workload: WorkloadKey) -> None:
        """Note that failure was told."""

    def clear(self, workload: WorkloadKey) -> bool:
        """Forget it; return whether failure had been told."""


class IgnorePolicies(Protocol):
    """Ignore policies of the settings."""

    def hidden(self, row: WorkloadRow, records: Iterable[ImageRecord]) -> frozenset[str]:
        """Return the hashes of the findings to leave out; see `worker.project.policy`."""


class Announcer(Protocol):
    """Events on the workload."""

    def failed(self, row: WorkloadRow, *, container: str, reason: str, message: str) -> None:
        """Say that a container's image cannot be scanned."""

    def recovered(self, row: WorkloadRow) -> None:
        """Say that all its images are scanned again."""

    def truncated(self, row: WorkloadRow, written: Written) -> None:
        """Say that a report had to leave something out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadConfig:
    """The settings that a workload's run needs."""

    kinds: frozenset[str]  # report kinds that are switched on
    options: Callable[[float], ReportOptions]  # those that hold at a moment, in Unix seconds
    scan_options: Callable[[WorkloadRow], str]  # the digest that its image keys have
    labels: LabelPolicy
    image_wait_s: float


@dataclass(slots=True)
class _Progress:
    """What one run has done so far."""

    reports: dict[str, str] = field(default_factory=dict)  # Kind/namespace/name -> content hash
    facts: list[Fact] = field(default_factory=list)
    unchanged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReconciler:
    """Reconciles workload keys. Thread-safe as far as its ports are."""

    rows: Rows
    settled: SettledRuns
    successors: Successors
    claims: Claims
    gatherer: Gatherer
    policies: IgnorePolicies
    writer: Writer
    announcer: Announcer
    troubles: Troubles
    config: WorkloadConfig
    decide: Callable[[SluiceError, Claim], Failed]  # the error class's policy
    now_s: Callable[[], float]  # Unix seconds by Redis' clock
    epoch: Callable[[], int]

    def __call__(self, claim: Claim) -> Finished:
        """Run one claim to its end; a fault of the API server or of Redis is raised."""
        key = claim.key
        if not isinstance(key, WorkloadKey):
            raise TypeError(f"not a workload key: {key}")
        found = self.rows.get(key)
        if found is None:
            self.gatherer.images.release(key, ())
            self.troubles.clear(key)
            return Finished(outcome=Settled(fingerprint="", epoch=self.epoch(), outcome="Gone"))
        row, fingerprint = found
        run = _Run(self, row=row, fingerprint=fingerprint, claim=claim)
        try:
            return run.finish()
        except GoneError:
            # The namespace or the workload vanished while we worked: drop the result and rest.
            return run.rest("Gone")


class _Run:
    """One claim of one workload."""

    def __init__(
        self, parts: WorkloadReconciler, *, row: WorkloadRow, fingerprint: str, claim: Claim
    ) -> None:
        self._parts = parts
        self._row = row
        self._fingerprint = fingerprint
        self._claim = claim
        self._before = parts.settled.get_many([row.key]).get(row.key)
        self._epoch = parts.epoch()
        self._progress = _Progress()
        self._now_s = parts.now_s()
        self._options = parts.config.options(self._now_s)
        self._used: frozenset[ImageKey] = frozenset()  # keys of the records that reports came from

    def finish(self) -> Finished:
        """Choose by what the workload needs."""
        parts = self._parts
        chosen = needs(
            self._row,
            options=parts.config.scan_options(self._row),
            image_wait_s=parts.config.image_wait_s,
            now_s=self._now_s,
        )
        match chosen:
            case Skip(why=why):
                return self.rest(f"Rest:{why}")
            case Retired(successor=successor):
                return self._retire(successor)
            case Scan():
                return self._scan(chosen)
            case _:
                assert_never(chosen)

    def rest(self, outcome: str) -> Finished:
        """Settle without a write; what was stored stays stored."""
        reports = self._before.reports if self._before is not None else {}
        return self._finished(self._settle(outcome, {} if outcome == "Gone" else reports))

    def _retire(self, successor: str) -> Finished:
        """Delete an old revision's reports, but only behind its successor's."""
        row = self._row
        key = WorkloadKey(kind=row.kind, namespace=row.namespace, name=successor)
        if self._parts.successors.await_settled(key, row.key) is None:
            return self._finished(Waiting(on=str(key)))
        names = {
            f"{kind}/{row.namespace}/{container_report_name(row.kind, row.name, one.name)}"
            for kind in self._parts.config.kinds
            for one in row.containers
        }
        self._remove(sorted(names | set(self._before.reports if self._before else ())))
        self._parts.gatherer.images.release(row.key, ())
        return self._finished(self._settle("Rest:Retired", {}))

    def _scan(self, scan: Scan) -> Finished:
        evidence = self._parts.gatherer.evidence(self._row, scan.containers)
        made = plan(evidence, kinds=self._parts.config.kinds)
        for wanted in made.reports:
            try:
                hidden = self._hidden(wanted)
            except SluiceError as error:  # never a report without what its user hides
                place = wanted.container
                fault = Fail(container=place.name, image=place.image, error=error)
                return self._finished(self._conclude(fault))
            self._write(wanted, hidden)
        self._used = frozenset(
            home for item in evidence if isinstance(item, Known) for home in item.homes
        )
        return self._finished(self._conclude(made.end))

    def _hidden(self, wanted: Wanted) -> frozenset[str]:
        records = (record for _, record in wanted.images)
        return self._parts.policies.hidden(self._row, records)

    def _write(self, wanted: Wanted, hidden: frozenset[str]) -> None:
        parts, row = self._parts, self._row
        images = tuple(in_order(wanted.images))
        key, record = images[0]
        context = ReportContext(
            reference=wanted.container.image,
            digest=key.digest,
            scanner_version=record.inventory.scanner_version if record.inventory else "",
            options=self._options,
            hidden=hidden,
        )
        body = body_of(wanted.kind, images, context)
        if body is None:
            return
        made = draft(row, wanted.container.name, body, policy=parts.config.labels)
        stamp = stamp_of(
            made,
            epoch=self._epoch,
            generation=1,  # the writer predicts the one that its write will give
            inputs=(image for image, _ in images),
            db_version=record.match.db_version if record.match else "",
        )
        settled = self._before is not None and self._before.reports
        absent = not settled and self._claim.attempts == 0 and not row.stored
        self._note(parts.writer.apply(made, stamp, mine=self._mine, expect_absent=absent))

    def _mine(self) -> bool:
        """Say whether the key is still ours: we may have slept past our lease."""
        return self._parts.claims.holds(self._claim)

    def _note(self, written: Written) -> None:
        progress = self._progress
        progress.reports[written.shown] = written.content_hash
        if written.how in ("kept", "left"):
            progress.unchanged += 1
            return
        data = {"report": written.shown, "how": written.how, "bytes": written.size_bytes}
        progress.facts.append(Fact(kind="written", key=str(self._row.key), data=data))
        if written.truncated:
            self._parts.announcer.truncated(self._row, written)

    def _remove(self, names: list[str] | tuple[str, ...]) -> None:
        for shown in names:
            if self._parts.writer.remove(shown, owner_uid=self._row.uid, mine=self._mine):
                data = {"report": shown, "how": "deleted", "bytes": 0}
                self._progress.facts.append(Fact(kind="written", key=str(self._row.key), data=data))

    def _conclude(self, end: End) -> Outcome:
        """Turn the plan's end into the run's."""
        match end:
            case Converge():
                return self._converged()
            case ConvergePartly(container=container, image=image, reason=reason, message=message):
                self._tell(container, reason=reason, message=_about(image, message))
                return self._settle(f"Partial:{reason}", self._kept_reports())
            case WaitFor(on=on):
                return Waiting(on=str(on))
            case LookAgain(delay_s=delay_s):
                return After(delay_s=delay_s, reason="WaitingForKubelet")
            case Fail(error=NotBegunError() as error):
                # Nothing failed: there is nothing to tell.
                return After(delay_s=error.wait_s, reason=error.reason)
            case Fail(container=container, image=image, error=error):
                self._tell(container, reason=error.reason, message=_about(image, str(error)))
                return self._parts.decide(error, self._claim)
            case _:
                assert_never(end)

    def _tell(self, container: str, *, reason: str, message: str) -> None:
        self._parts.troubles.mark(self._row.key)
        self._parts.announcer.failed(self._row, container=container, reason=reason, message=message)

    def _converged(self) -> Outcome:
        """Drop what is no longer needed, then settle."""
        self._parts.gatherer.images.release(self._row.key, self._used)
        if self._before is not None:
            self._remove(
                obsolete(
                    self._before.reports,
                    true_now=self._progress.reports.keys(),
                    kinds=self._parts.config.kinds,
                )
            )
        if self._parts.troubles.clear(self._row.key):
            self._parts.announcer.recovered(self._row)
        return self._settle("Converged", self._progress.reports)

    def _kept_reports(self) -> dict[str, str]:
        """Return the reports of a partial run: a broken container's old ones still stand."""
        before = self._before.reports if self._before is not None else {}
        return {**before, **self._progress.reports}

    def _settle(self, outcome: str, reports: Mapping[str, str]) -> Settled:
        return Settled(
            fingerprint=self._fingerprint, epoch=self._epoch, outcome=outcome, reports=dict(reports)
        )

    def _finished(self, outcome: Outcome) -> Finished:
        return Finished(outcome=outcome, facts=tuple(self._progress.facts))


def _about(image: str, message: str) -> str:
    """Name the image unless the message does already."""
    return message if image in message else f"{image}: {message}"
