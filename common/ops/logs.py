"""How log lines look: readable on a terminal, JSON elsewhere, chosen once at start.

Every line, ours or a library's, passes `redact` before it is rendered. All go to stderr, so that
stdout stays for results. Where lines are JSON, warnings and tracebacks of Python are lines too: an
event is one line, whoever tells it.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.ops.redact import redact_fields

# Libraries speak only when something is wrong: urllib3 logs a line per connection, rq per job.
_FOREIGN_LEVEL = logging.WARNING


def configure(*, log_format: str, level: str, component: str) -> bool:
    """Set up logging for this process; `component` stands in every JSON line.

    `log_format` is `auto`, `console` or `json`, `level` is a name such as `info`. Returns whether
    lines are JSON.
    """
    on_terminal = sys.stderr.isatty()
    console = log_format == "console" or (log_format == "auto" and on_terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    if not console:
        shared.append(_stamp(component))
    shared += [structlog.processors.format_exc_info, _redact]
    renderer = _console(on_terminal) if console else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_stderr_logger,
        # Not cached: a cached logger would keep the stream and level of an earlier set-up.
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(shared, renderer, level=level)
    return not console


def adopt_python() -> None:
    """Render warnings and what ends a thread or the process as lines too; for a process of ours."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _ended_by
    threading.excepthook = _thread_ended_by


def _ended_by(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell in one line what ends the process."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("process ends", exc_info=(kind, error, trace))


def _thread_ended_by(told: threading.ExceptHookArgs) -> None:
    """Tell in one line what ends a thread."""
    if told.exc_value is None or issubclass(told.exc_type, SystemExit):
        return
    thread = told.thread.name if told.thread is not None else ""
    error = (told.exc_type, told.exc_value, told.exc_traceback)
    structlog.get_logger().critical("thread ends", thread=thread, exc_info=error)


def _stderr_logger(*_: object) -> WrappedLogger:
    """Write to the stderr of the moment, not of the import."""
    return structlog.PrintLogger(sys.stderr)


def _adopt_libraries(shared: list[Processor], renderer: Processor, *, level: str) -> None:
    """Render lines of the standard library's loggers the same way."""
    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    chosen = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(_FOREIGN_LEVEL, chosen))


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg] # not generic at run time
    """A handler on the stderr of the moment."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _stamp(component: str) -> Processor:
    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["component"] = component
        return event

    return stamp


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # structlog's own entries (`_record`, `_from_structlog`) are objects that it takes back out.
    own = {name: value for name, value in event.items() if name[:1] == "_"}
    if not own:
        return redact_fields(event)
    plain = {name: value for name, value in event.items() if name not in own}
    return {**redact_fields(plain), **own}


def _console(colors: bool) -> Processor:  # noqa: FBT001 # structlog's own word
    return structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="at",
        # Tracebacks come rendered by format_exc_info: rich's show local variables, so secrets.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _json(value: object, *, default: Callable[[object], object]) -> str:
    return orjson.dumps(value, default=default).decode()
