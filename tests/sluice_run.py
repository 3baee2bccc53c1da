"""One `sluice run`, as a user starts it, and what it says."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from tests.waiting import heed_ctrl_c

DEADLINE_S = 120.0  # shared machines; an unloaded one needs 4 s


class Sluice:
    """One `sluice run` and what it wrote to stderr."""

    def __init__(self, environ: dict[str, str], *words: str) -> None:
        self._environ = environ
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "common.cli.main", "run", *words],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509 # calls one system call
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._lines.append("<end>")
            self._changed.notify_all()

    def line(self, text: str) -> str:
        """Wait for a line that holds the text."""

        def found() -> str | None:
            return next((line for line in self._lines if text in line or line == "<end>"), None)

        with self._changed:
            seen = self._changed.wait_for(found, DEADLINE_S)
        assert seen, f"{text!r} did not come"
        assert text in seen, "\n".join(self._lines)
        return str(seen)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside it, in the same environment."""
        return subprocess.run(
            [sys.executable, "-m", "common.cli.main", *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, unless it has ended, and wait for the end; return the status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; return the status."""
        status = self.process.wait(DEADLINE_S)
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status
