"""What rq's commands, its workers and rq-dashboard's buttons do, by the API that they call.

The command line is a shell around these calls (rq 3.0, `rq/cli/cli.py`), and so is rq-dashboard
(0.9.0, `rq_dashboard/web.py`); in process they take a millisecond instead of a third of a second.
Limits: one worker at a time, and its heartbeats are single calls.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, cancel_job, requeue_job
from rq.registry import (
    CanceledJobRegistry,
    FailedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
    clean_registries,
)
from rq.scheduler import RQScheduler
from rq.serializers import DefaultSerializer, JSONSerializer
from rq.suspension import resume, suspend
from rq.timeouts import TimerDeathPenalty
from rq.worker_registration import clean_worker_registry

from common.state.names import Names

# Where an action strikes: the id of a job, and the name of a queue.
Act: TypeAlias = Callable[["RqTools", str, str], None]
_A_YEAR_S = 365 * 86_400


class StockWorker(SimpleWorker):
    """rq's own worker; its time limit is a thread's, because the test run owns the alarm."""

    death_penalty_class = TimerDeathPenalty


class RqTools:
    """Somebody who knows rq and not us. `pickled`: with rq's default serializer."""

    def __init__(self, redis: Redis, names: Names, *, pickled: bool = False) -> None:
        self.redis = redis
        self.names = names
        self.serializer = DefaultSerializer if pickled else JSONSerializer
        logging.getLogger("rq.worker").setLevel(logging.CRITICAL)
        logging.getLogger("rq.registry").setLevel(logging.CRITICAL)

    # --- parts

    def queue(self, name: str) -> Queue:
        return Queue(name, connection=self.redis, serializer=self.serializer)

    def fetch(self, job_id: str) -> Job:
        return Job.fetch(job_id, connection=self.redis, serializer=self.serializer)

    def worker(self, name: str) -> StockWorker:
        return StockWorker(
            [self.queue(name)],
            connection=self.redis,
            serializer=self.serializer,
            prepare_for_work=False,
        )

    def registry(self, kind: Any, name: str) -> Any:
        return kind(name, connection=self.redis, serializer=self.serializer)

    # --- `rq requeue`, `rq requeue --all`, and rq-dashboard's buttons of that name

    def requeue(self, job_id: str, name: str) -> None:
        """`rq requeue --queue NAME ID`."""
        self.registry(FailedJobRegistry, name).requeue(job_id)

    def requeue_at_front(self, job_id: str, _name: str) -> None:
        self.fetch(job_id).requeue(at_front=True)

    def requeue_all(self, _job_id: str, name: str) -> None:
        """`rq requeue --queue NAME --all`, and the dashboard's button."""
        registry = self.registry(FailedJobRegistry, name)
        for job_id in registry.get_job_ids():
            with contextlib.suppress(InvalidJobOperation, NoSuchJobError):
                requeue_job(job_id, connection=self.redis, serializer=self.serializer)

    # --- `rq suspend`, `rq resume`

    def suspend(self, _job_id: str, _name: str) -> None:
        suspend(self.redis)

    def resume(self, _job_id: str, _name: str) -> None:
        resume(self.redis)

    # --- `rq info`, a worker's maintenance, the dashboard's pages

    def info(self, _job_id: str, name: str) -> None:
        """Clean up as `rq info` and every stock worker do, and count."""
        queue = self.queue(name)
        clean_registries(queue)
        clean_worker_registry(queue)
        for kind in (StartedJobRegistry, FailedJobRegistry, ScheduledJobRegistry):
            self.registry(kind, name).get_job_count()
        for job in queue.get_jobs():
            job.get_status()

    def maintain(self, _job_id: str, name: str) -> None:
        """Do a stock worker's maintenance; as far as expiry goes, a year from now."""
        worker = self.worker(name)
        worker.run_maintenance_tasks()  # type: ignore[no-untyped-call] # rq leaves it untyped
        until = int(datetime.now(UTC).timestamp()) + _A_YEAR_S
        self.registry(StartedJobRegistry, name).cleanup(until)
        self.registry(FailedJobRegistry, name).cleanup(until)

    def compact(self, _job_id: str, name: str) -> None:
        with contextlib.suppress(ResponseError):  # RENAME of a list that is empty
            self.queue(name).compact()  # type: ignore[no-untyped-call] # rq leaves it untyped

    # --- deleting and cancelling

    def cancel(self, job_id: str, _name: str) -> None:
        cancel_job(job_id, connection=self.redis, serializer=self.serializer)

    def delete(self, job_id: str, _name: str) -> None:
        self.fetch(job_id).delete()

    def empty(self, _job_id: str, name: str) -> None:
        self.queue(name).empty()  # type: ignore[no-untyped-call] # rq leaves it untyped

    def delete_queue(self, _job_id: str, name: str) -> None:
        self.queue(name).delete(delete_jobs=False)

    def empty_registries(self, _job_id: str, name: str) -> None:
        """Press the dashboard's "empty" for running, failed, scheduled and canceled jobs."""
        kinds = (StartedJobRegistry, FailedJobRegistry, ScheduledJobRegistry, CanceledJobRegistry)
        for registry in (self.registry(kind, name) for kind in kinds):
            for job_id in registry.get_job_ids(cleanup=False):
                try:
                    self.fetch(job_id).delete()
                except NoSuchJobError:
                    if not isinstance(registry, StartedJobRegistry):  # rq: NotImplementedError
                        registry.remove(job_id)

    # --- a stock worker on our queue

    def work(self, _job_id: str, name: str) -> None:
        """Take one key and fail it: `rq worker NAME`."""
        worker = self.worker(name)
        with self._taken(worker, name) as job:
            worker.execute_job(job, self.queue(name))

    def die_early(self, _job_id: str, name: str) -> None:
        """Take one key and be killed before it runs: it stands in rq's intermediate list."""
        with self._taken(self.worker(name), name):
            pass

    def die_running(self, _job_id: str, name: str) -> None:
        """Take one key, run it for a heartbeat, and be killed."""
        worker = self.worker(name)
        with self._taken(worker, name) as job:
            execution = worker.prepare_execution(job)
            worker.prepare_job_execution(job, remove_from_intermediate_queue=True)
            worker.maintain_heartbeats(job, execution)

    def schedule(self, _job_id: str, name: str) -> None:
        """Enqueue what is due: `rq worker --with-scheduler NAME`."""
        scheduler = RQScheduler([name], connection=self.redis, serializer=self.serializer)
        scheduler.prepare_registries([name])
        scheduler._connection = self.redis  # type: ignore[assignment] # or it opens its own
        scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call] # the same

    def enqueue(self, job_id: str, name: str) -> None:
        """Enqueue a job with an id of ours: `rq enqueue --job-id ID`."""
        self.queue(name).enqueue("worker.loop.run_key", job_id=job_id)

    def enqueue_other(self, _job_id: str, name: str) -> None:
        """Enqueue a job of somebody else in our queue."""
        self.queue(name).enqueue("somewhere.else", job_id=f"other-{self.names.cluster}")

    @contextlib.contextmanager
    def _taken(self, worker: StockWorker, name: str) -> Iterator[Any]:
        found = Queue.dequeue_any(
            [self.queue(name)], None, connection=self.redis, serializer=self.serializer
        )
        if found is None:
            raise NoSuchJobError
        try:
            yield found[0]
        finally:
            self.redis.delete(worker.key)


# By whom they touch: nobody's state, one key's, everybody's.
HARMLESS: tuple[Act, ...] = (
    RqTools.suspend,
    RqTools.resume,
    RqTools.info,
    RqTools.maintain,
    RqTools.compact,
    RqTools.requeue_all,
)
ON_ONE: tuple[Act, ...] = (
    RqTools.requeue,
    RqTools.requeue_at_front,
    RqTools.cancel,
    RqTools.delete,
    RqTools.enqueue,
)
ON_ALL: tuple[Act, ...] = (
    RqTools.empty,
    RqTools.delete_queue,
    RqTools.empty_registries,
    RqTools.work,
    RqTools.die_early,
    RqTools.die_running,
    RqTools.schedule,
    RqTools.enqueue_other,
)
