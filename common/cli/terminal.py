"""Where a command reads and writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from common.model.errors import PreconditionError

_CLEAR_LINE = "\r\x1b[2K"
_LAYOUT = "\n\t"
_HOME = "\x1b[H"
_CLEAR_REST, _CLEAR_DOWN = "\x1b[K", "\x1b[J"  # of the line, of the screen


def printable(text: str) -> str:
    """Return the text without what would steer a terminal. Pure.

    Image references are written by tenants and messages by registries: neither may move our cursor,
    rename our window or hide a line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _LAYOUT else "\ufffd" for char in text)


def _plain(_line: str) -> str:
    return ""


def _cut(line: str, columns: int) -> str:
    return line if len(line) <= columns else f"{line[: columns - 1]}…"


def _styled(line: str, number: str) -> str:
    return f"\x1b[{number}m{line}\x1b[0m" if number else line


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
        plain = printable(text)
        self.stdout.write(plain if plain.endswith("\n") else f"{plain}\n")
        self.stdout.flush()

    def note(self, text: str) -> None:
        """Write something about the command's own work, in place of the last progress."""
        clear = _CLEAR_LINE if self.stderr.isatty() else ""
        self.stderr.write(f"{clear}{printable(text)}\n")
        self.stderr.flush()

    def progress(self, text: str) -> None:
        """Show `text` in place of the last progress; nothing where nobody looks."""
        if self.stderr.isatty():
            self.stderr.write(f"{_CLEAR_LINE}{text}")
            self.stderr.flush()

    def screen(self, text: str, *, style: Callable[[str], str] = _plain) -> None:
        """Show `text` as the whole screen, cut to its size: a line that wraps shifts the rest.

        `style` returns the number by which a terminal knows a line's look; empty: plain.
        """
        size = shutil.get_terminal_size()
        lines = printable(text).split("\n")[: size.lines - 1]
        drawn = (_styled(_cut(line, size.columns), style(line)) for line in lines)
        # Written over the last one and cleared behind: a screen that is cleared first flickers.
        self.stdout.write(_HOME + "".join(f"{line}{_CLEAR_REST}\n" for line in drawn) + _CLEAR_DOWN)
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
