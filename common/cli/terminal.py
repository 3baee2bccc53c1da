"""Where a command reads and writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from common.model.errors import PreconditionError

_CLEAR_LINE = "\r\x1b[2K"
_CLEAR_SCREEN = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Three streams; whether somebody sits in front of them is asked each time."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    @classmethod
    def of_process(cls) -> Terminal:
        """Return the process' own streams."""
        return cls(stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr)

    def result(self, text: str) -> None:
        """Write what the command was asked for."""
        self.stdout.write(text if text.endswith("\n") else f"{text}\n")
        self.stdout.flush()

    def note(self, text: str) -> None:
        """Write something about the command's own work, in place of the last progress."""
        clear = _CLEAR_LINE if self.stderr.isatty() else ""
        self.stderr.write(f"{clear}{text}\n")
        self.stderr.flush()

    def progress(self, text: str) -> None:
        """Show `text` in place of the last progress; nothing where nobody looks."""
        if self.stderr.isatty():
            self.stderr.write(f"{_CLEAR_LINE}{text}")
            self.stderr.flush()

    def screen(self, text: str) -> None:
        """Show `text` as the whole screen."""
        self.stdout.write(f"{_CLEAR_SCREEN}{text}\n")
        self.stdout.flush()

    def confirm(self, question: str, *, otherwise: str) -> bool:
        """Ask; `otherwise` tells how to answer where nobody can be asked.

        Raises PreconditionError if stdin is no terminal.
        """
        if not self.stdin.isatty():
            raise PreconditionError(f"{question} Nobody can be asked here; {otherwise}")
        self.stderr.write(f"{question} [y/N] ")
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in {"y", "yes"}
