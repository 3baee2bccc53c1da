"""How every process of ours begins and ends: logs, signals, patience, pages, exit status."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Protocol, TypeVar

import structlog

from common.model.errors import PreconditionError, SluiceError, TransientError
from common.ops import logs
from common.ops.deferred import Deferred
from common.ops.exit_status import FAILED, PRECONDITION
from common.ops.probes import ProbeServer, Route, Site
from common.ops.refusals import arranged_first, is_refusal
from common.ops.signals import heeded

_log = structlog.get_logger()
T = TypeVar("T")

# Start-up waits for Redis and the API server: in a cluster all parts start at once.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
# Credentials that are being rotated work again within seconds; others never do by themselves, and
# the exit status tells it louder than a log line.
_REFUSED_S = 30.0


class LogChoice(Protocol):
    """What the settings say about log lines."""

    @property
    def log_format(self) -> str:
        """`auto`, `console` or `json`."""

    @property
    def log_level(self) -> str:
        """The least important level that is written."""


class Address(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str:
        """The interface; empty: every one."""

    @property
    def port(self) -> int:
        """The port; 0: a free one."""


def exit_status(work: Callable[[], int]) -> int:
    """Do a process's work and return its exit status.

    What a user must arrange is told in plain words on stderr; any other error of ours in one line
    of the log, for no traceback helps there. A defect raises.
    """
    try:
        return work()
    except PreconditionError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 # the last word of a process that may not log yet
        return PRECONDITION
    except SluiceError as exc:
        _log.error("process ends", reason=exc.reason, error=str(exc))
        return FAILED


def begin_logs(choice: LogChoice, *, component: str, warnings: Sequence[str]) -> None:
    """Set up the log of this process, and write what the settings warn of."""
    level = choice.log_level
    if logs.configure(log_format=choice.log_format, level=level, component=component):
        logs.adopt_python()
    for warning in warnings:
        _log.warning("setting", what=warning)


def stop_on_signals(stop: Callable[[], object]) -> Callable[[], bool]:
    """Have `stop` called soon after SIGTERM or SIGINT; a second signal does what it did before.

    A SIGINT that is ignored stays so (`signals.heeded`). Only for the main thread. Returns how to
    undo it, which tells whether a signal came: `stop` may not have been called yet.
    """
    stopping = Deferred(stop)
    numbers = heeded((signal.SIGTERM, signal.SIGINT))
    before = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []

    def undo() -> bool:
        for number, was in before.items():
            signal.signal(number, was)
        return bool(came)

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 # signal's signature
        came.append(number)
        undo()
        stopping.ask()

    for number in numbers:
        signal.signal(number, on_signal)
    return undo


def patiently(ask: Callable[[], T], stopping: threading.Event) -> T | None:
    """Ask until there is an answer; None: told to stop meanwhile.

    Waits out TransientError, 0.2 s at first and 10 s at most: a definition that was installed a
    second ago answers 429. Refused credentials and rights are waited out for 30 s on end; then
    they raise PreconditionError with the remedy.
    """
    wait_s, refused_s = _FIRST_WAIT_S, 0.0
    while True:
        try:
            return ask()
        except SluiceError as error:
            refused = is_refusal(error)
            if refused and refused_s >= _REFUSED_S:
                raise arranged_first(error) from error
            if not refused and not isinstance(error, TransientError):
                raise
            _log.warning("waiting", error=str(error), again_in_s=wait_s)
        if stopping.wait(wait_s):
            return None
        refused_s = refused_s + wait_s if refused else 0.0
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


@contextlib.contextmanager
def serving(*servers: tuple[Address, Mapping[str, Route] | Site]) -> Iterator[list[int]]:
    """Serve each address' routes, or site, during the block; yield the ports that were taken.

    Raises PreconditionError if an address is not free.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        for address, routes in servers:
            server = stack.enter_context(ProbeServer(address.host, address.port, routes))
            known = sorted(routes if isinstance(routes, Mapping) else routes.paths)
            _log.info("serving", routes=known, port=server.port)
            ports.append(server.port)
        yield ports
