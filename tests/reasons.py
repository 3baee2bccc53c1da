"""Every reason that a run can end with, read from the code, for docs/error-classes.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import common.kube.errors
from common.model import errors
from common.model.errors import SluiceError
from common.model.policies import class_of
from worker.evidence import failure_rules
from worker.evidence.failure_rules import Rule

# Said by expressions that cannot be read here: an HTTP status, and a constant.
_COMPUTED = {("Forbidden", "Transient"), ("RedisRefused", "SourceUnavailable")}
ROOT = Path(__file__).parent.parent
PACKAGES = ("common", "worker")
_NAMED = {**vars(errors), **vars(common.kube.errors)}


def reasons() -> set[tuple[str, str]]:
    """Return each reason with the class whose policy applies."""
    return {(reason, class_of(kind).reason) for reason, kind in _found()} | _COMPUTED


def _found() -> Iterator[tuple[str, type[SluiceError]]]:
    for kind in _NAMED.values():
        if isinstance(kind, type) and issubclass(kind, SluiceError):
            yield kind.reason, kind
    for table in vars(failure_rules).values():
        if isinstance(table, tuple):
            for rule in table:
                if isinstance(rule, Rule) and isinstance(rule.error, type):
                    yield rule.reason, rule.error
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from _raised(ast.parse(path.read_text(encoding="utf-8")))


def _raised(tree: ast.AST) -> Iterator[tuple[str, type[SluiceError]]]:
    """Yield what `SomeError(..., reason="Some")` says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind = _NAMED.get(node.func.id)
            for keyword in node.keywords:
                if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant) and kind:
                    yield str(keyword.value.value), kind
