"""One question to a program over its pipes: bounded in time and in what it may say."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from common.ops.process import status_text
from worker.evidence.image.descriptors import readable

_LIMIT_BYTES = 1024 * 1024


class HelperError(Exception):
    """The program gave no answer. The text holds nothing that the program said."""


def ask(argv: Sequence[str], question: bytes, *, env: Mapping[str, str], timeout_s: float) -> bytes:
    """Return what the program writes, after it ended well. Its standard error is thrown away.

    `question` must fit into a pipe (64 KB). Raises HelperError.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            process_group=0,
        )
    except OSError as exc:
        raise HelperError(f"it cannot be started: {exc.strerror}") from exc
    deadline_s = time.monotonic() + timeout_s
    with process:
        try:
            said = _talk(process, question, deadline_s)
            status = process.wait(max(0.0, deadline_s - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            raise HelperError(f"it did not end within {timeout_s:g} s") from exc
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, too
    if status:
        raise HelperError(f"it ended with {status_text(status)}")
    return said


def _talk(process: subprocess.Popen[bytes], question: bytes, deadline_s: float) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise HelperError("it has no pipes")
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(question)
    said = bytearray()
    output = process.stdout.fileno()
    while len(said) <= _LIMIT_BYTES:
        if not readable([output], max(0.0, deadline_s - time.monotonic())):
            raise TimeoutError
        part = os.read(output, 65_536)
        if not part:
            return bytes(said)
        said += part
    raise HelperError(f"it says more than {_LIMIT_BYTES} bytes")
