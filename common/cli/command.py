"""What a command is: how it is described, what it takes, what it does."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.cli.terminal import Terminal
from common.model.errors import SettingsError
from common.model.overlay import Overlay
from common.settings.load import load, with_files
from common.settings.overlay import adopt
from common.settings.parse import parse
from common.settings.value import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What surrounds a command."""

    environ: Mapping[str, str]
    terminal: Terminal

    def settings(self) -> Settings:
        """Return the settings, after telling their warnings. Raises SettingsError."""
        settings = load(self.environ)
        for warning in settings.warnings:
            self.terminal.note(f"warning: {warning}")
        return settings

    def counting(self, overlay: Overlay | None) -> Settings:
        """Return the settings that count in the cluster, with what ConfigMaps say there."""
        texts = with_files(self.environ)
        try:
            return adopt(texts, overlay)
        except SettingsError:  # of another version: the line of the generation tells it
            return parse(texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of `sluice`; `run` returns the exit status or raises a SluiceError."""

    summary: str  # a sentence, shown on top of its --help
    examples: tuple[str, ...]
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Context, argparse.Namespace], int]


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """Return the command's parser; its help ends with an example."""
    lines = [f"  {example}" for example in command.examples]
    parser = argparse.ArgumentParser(
        prog=f"sluice {name}",
        description=command.summary,
        epilog="\n".join(["Example:" if len(lines) == 1 else "Examples:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    return parser


def named(text: str) -> str:
    """Return the text unless it is empty, for argparse.

    A script's unset variable gives an empty one, which must not mean the default.
    """
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("is empty; leave it out for the default")


def positive(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")


def seconds(text: str) -> float:
    """Return a number of seconds above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if math.isfinite(value) and value > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
