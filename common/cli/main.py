"""`sluice`: finds the command, runs it, turns errors into exit statuses.

0 done, 1 failed, 2 wrong usage, 3 a precondition is not met.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from common.cli.command import Command, Context, parser_of
from common.cli.terminal import Terminal
from common.model.errors import PreconditionError, SluiceError
from common.ops import logs
from common.ops.exit_status import DONE, FAILED, PRECONDITION, WRONG_USAGE
from common.ops.refusals import arranged_first

# Name, module, one line for the overview. A module is imported only when its command is asked for.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("run", "run", "watch and scan the current cluster, everything on this machine"),
    ("status", "status", "how much of the cluster is covered, and what is going on"),
    ("top", "top", "the same, refreshed"),
    ("history", "history", "why an object or image was scanned, written, retried, or not"),
    ("queue", "queue", "look at the queue and act on it"),
    ("rescan", "rescan", "ask for a fresh run of an object, or of everything"),
    ("database", "database", "the vulnerability database in use"),
    ("canary", "canary", "whether a new Trivy may be trusted with what an older one analysed"),
    ("doctor", "doctor", "check everything that the product needs, each fault with its remedy"),
    ("crds", "crds", "print or install the report definitions"),
    ("values", "values", "turn trivy-operator's Helm values into ours"),
    ("watcher", "components", "one process of the pipeline: follows the cluster"),
    ("worker", "components", "one process of the pipeline: works keys of the queue"),
    ("scanner", "components", "the process that unpacks images"),
    ("version", "version", "what is installed"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    terminal = Terminal.of_process()
    if not words or words[0] in {"-h", "--help", "help"}:
        terminal.result(overview())
        return DONE if words else WRONG_USAGE
    name = "version" if words[0] == "--version" else words[0]
    command = find_command(name)
    if command is None:
        terminal.note(f"sluice: {name!r} is no command{_meant(name)}; see sluice --help")
        return WRONG_USAGE
    # Until a process sets up its own: what is not told otherwise, structlog prints on stdout.
    logs.configure(log_format="console", level="warning", component="sluice")
    try:
        arguments = parser_of(name, command).parse_args(words[1:])
        return command.run(Context(environ=os.environ, terminal=terminal), arguments)
    except SystemExit as exc:  # argparse: 0 after --help, 2 after a wrong word
        return exc.code if isinstance(exc.code, int) else FAILED
    except SluiceError as exc:
        told = arranged_first(exc)
        terminal.note(f"sluice {name}: {told}")
        return PRECONDITION if isinstance(told, PreconditionError) else FAILED
    except (KeyboardInterrupt, BrokenPipeError):
        _forget_stdout()
        return FAILED


def _forget_stdout() -> None:
    """Keep Python from complaining at exit that the reader of a pipe has seen enough."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def find_command(name: str) -> Command | None:
    """Import and return a command; None if there is none of this name."""
    for known, module, _ in COMMANDS:
        if known == name:
            found = importlib.import_module(f"common.cli.{module}").COMMANDS[name]
            return found if isinstance(found, Command) else None
    return None


def overview() -> str:
    """Return what `sluice --help` prints."""
    width = max(len(name) for name, _, _ in COMMANDS)
    lines = [f"  {name.ljust(width)}  {text}" for name, _, text in COMMANDS]
    return "\n".join(
        [
            "usage: sluice COMMAND [arguments]",
            "",
            "Keeps vulnerability reports true for every workload of a Kubernetes cluster.",
            "",
            *lines,
            "",
            "Every command has --help with an example.",
            "",
            "Example:",
            "  sluice run --context kind-dev",
        ]
    )


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, [known for known, _, _ in COMMANDS], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


if __name__ == "__main__":
    sys.exit(main())
