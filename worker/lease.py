"""The lease: a thread that renews it, and an honest answer to "are my claims still mine?".

The answer needs no Redis: a lease that was not renewed in time is lost whatever Redis would say,
for example because the whole process was stopped or cut off (trap 8).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, Self

import structlog

from common.model.errors import SluiceError
from worker.outage import Outage


class Leases(Protocol):
    """What the heartbeat needs of the workqueue."""

    def beat(self, worker: str, *, lease_s: float) -> tuple[bool, bool]:
        """Renew; return whether the lease, and rq's registration, were still on record."""

    def reap(self, max_crashes: int, *, by: str, fresh_s: float) -> int:
        """Give back what dead workers had claimed, if `by` has `fresh_s` of its lease left."""

    def leave(self, worker: str) -> int:
        """End the lease."""


class Registrar(Protocol):
    """rq's record of the loop."""

    def birth(self) -> None:
        """Register."""

    def death(self) -> None:
        """Unregister."""


class Lease:
    """One worker's lease. `renewed` and `held` may be called while the heartbeat runs."""

    def __init__(  # noqa: PLR0913 # the composition root names each part once
        self,
        leases: Leases,
        registrar: Registrar,
        *,
        worker: str,
        monotonic_s: Callable[[], float],
        length_s: float = 15.0,  # a crash costs this long; three heartbeats fit in
        max_crashes: int = 3,
    ) -> None:
        self.length_s = length_s
        self._beat_s = length_s / 3  # between two heartbeats
        self._leases = leases
        self._registrar = registrar
        self._worker = worker
        self._monotonic_s = monotonic_s
        self._max_crashes = max_crashes
        self._lock = threading.Lock()
        self._until_s = float("-inf")
        self._reap_from_s = float("-inf")
        self._beside: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._log = structlog.get_logger("worker.lease").bind(worker=worker)
        # As often as in good times: whoever lives must have renewed before the first one that is
        # back may bury the silent.
        self._outage = Outage(self._stopping, monotonic_s, self._log, longest_s=self._beat_s)
        self._thread = threading.Thread(target=self._beat_on, name=f"lease-{worker}", daemon=True)

    def __enter__(self) -> Self:
        """Register and start the heartbeat.

        For a lease's time it buries nobody: Redis may have come back a moment ago, and who began
        after it does not know.
        """
        self._reap_from_s = self._monotonic_s() + self.length_s
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the heartbeat and unregister."""
        self._stopping.set()
        self._thread.join()
        try:
            self._leases.leave(self._worker)
        except SluiceError as error:
            self._log.warning("lease not ended; it ends by itself", error=str(error))
        self._registrar.death()

    def at_each_beat(self, act: Callable[[], None]) -> None:
        """Let the heartbeat's thread do something more after each beat."""
        self._beside = act

    def renewed(self, began_s: float) -> None:
        """Note that a call which began at `began_s` renewed the lease."""
        with self._lock:
            self._until_s = max(self._until_s, began_s + self.length_s)

    def held(self) -> bool:
        """Say whether the lease surely runs: what was claimed under it is nobody else's."""
        with self._lock:
            return self._monotonic_s() < self._until_s

    def _reaped(self, before_s: float) -> None:
        """Forget the lease that others took for dead, unless a claim has started a new one."""
        with self._lock:
            if self._until_s == before_s:
                self._until_s = float("-inf")

    def beat(self) -> None:
        """Renew, register and reap once. Raises what Redis' absence raises."""
        with self._lock:
            before_s = self._until_s
        began_s = self._monotonic_s()
        try:
            leased, registered = self._leases.beat(self._worker, lease_s=self.length_s)
        except SluiceError:
            self._await_the_living()
            raise
        if self._monotonic_s() - began_s > self._beat_s:
            self._await_the_living()
        if leased:
            self.renewed(began_s)
        else:
            self._reaped(before_s)
        if self._monotonic_s() >= self._reap_from_s:
            # Between that heartbeat and this call Redis, or we, may have stood still.
            fresh_s = self.length_s - self._beat_s
            reaped = self._leases.reap(self._max_crashes, by=self._worker, fresh_s=fresh_s)
            if reaped:
                self._log.warning("gave back claims of dead workers", keys=reaped)
        if not registered:
            self._registrar.birth()  # last: where Redis is full it fails, and the dead keep room

    def _await_the_living(self) -> None:
        """Bury nobody for a lease's time: Redis was away or stood still, so all leases may be over.

        Whoever lives renews within that time; only then may the silent be taken for dead.
        """
        self._reap_from_s = self._monotonic_s() + self.length_s

    def _beat_on(self) -> None:
        while True:
            try:
                self.beat()
                self._beside()
            except SluiceError as error:
                if not self._outage.again(error):
                    return
                continue
            except Exception:  # noqa: BLE001 # without this thread every claim here is lost
                self._log.exception("heartbeat failed")
            else:
                self._outage.over()
            if self._stopping.wait(self._beat_s):
                return
