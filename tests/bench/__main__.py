"""`python -m tests.bench`: runs benchmarks and prints what they measured.

Exit status: 0 the results are right, however slow they came; 1 a result is wrong; 2 wrong usage;
3 a precondition is not met. The JSON has the form of `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from common.model.errors import PreconditionError
from tests.bench.table import render

# In the order in which all are run; each module has `run`, which returns the JSON form.
_KNOWN = ("pure", "queue", "torture", "watch", "images", "dbupdate", "audit", "path")
_WRONG, _PRECONDITION = 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parsed = _parser().parse_args(arguments)
    documents = []
    try:
        for name in parsed.name or names():
            document = _run(name, runs=parsed.runs)
            documents.append(document)
            sys.stdout.write(render(document))
            sys.stdout.flush()
    except PreconditionError as error:
        sys.stderr.write(f"error: {error}\n")
        return _PRECONDITION
    if parsed.json is not None:
        whole = documents[0] if len(documents) == 1 else documents
        parsed.json.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    return 0 if all(document["ok"] for document in documents) else _WRONG


def names() -> list[str]:
    """Return the benchmarks that there are."""
    return [name for name in _KNOWN if importlib.util.find_spec(f"tests.bench.{name}") is not None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Runs benchmarks, and prints ratios to a baseline measured in the same run.",
        epilog="example: make bench NAME=path JSON=path.json",
    )
    parser.add_argument("--name", action="append", choices=names(), help="only this one")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--runs", type=int, help="how often; each benchmark has its own default")
    return parser


def _run(name: str, *, runs: int | None) -> dict[str, Any]:
    module = importlib.import_module(f"tests.bench.{name}")
    document: dict[str, Any] = module.run() if runs is None else module.run(runs)
    return document


if __name__ == "__main__":
    sys.exit(main())
