"""Reads a values file that somebody else wrote: bounded, without tags, and no key twice.

Raises PreconditionError that names a line and a remedy, and never quotes the text: values files
hold credentials.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from common.model.errors import PreconditionError

# Helm keeps a release with its values in one Secret, which has at most 1 MiB.
SIZE_LIMIT_BYTES = 2**20
# A values file with every value of the chart has about 400. Aliases count each time they are used.
NODES_LIMIT = 20_000
_DEPTH_LIMIT = 50
_TOO_MANY = (
    f"the file holds more than {NODES_LIMIT} values with its aliases written out; give a values "
    "file"
)


class _Loader(yaml.SafeLoader):
    """YAML as Helm reads it: what looks like a date stays a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 # PyYAML's own name, read and never written
        first: [(tag, form) for tag, form in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; a file of commas alone is given up before it fills the memory."""
        self._composed += 1
        if self._composed > NODES_LIMIT:
            raise PreconditionError(_TOO_MANY)
        return super().compose_node(parent, index)


def read_values(content: bytes) -> Mapping[str, object]:
    """Return the values; an empty file, or `null`, has none."""
    if len(content) > SIZE_LIMIT_BYTES:
        raise PreconditionError(
            f"the file is larger than {SIZE_LIMIT_BYTES} bytes; Helm could not keep such values"
        )
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        root = loader.get_single_node()
        if root is None:
            return {}
        _judge(root)
        document: object = loader.construct_document(root)
    except UnicodeDecodeError as exc:
        raise PreconditionError("the file is not UTF-8; give a values file (YAML)") from exc
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise PreconditionError(f"line {line} is no YAML; give a values file") from exc
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as exc:
        raise PreconditionError("the file is no YAML that can be read; give a values file") from exc
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise PreconditionError("the file holds no map of values; give a values file")
    return document


def _judge(root: yaml.Node) -> None:
    """Refuse what is larger than it looks, and what says one thing twice."""
    _size(root, {}, depth=0)


def _size(node: yaml.Node, known: dict[int, int], *, depth: int) -> int:
    """Return how many nodes there are below, with every alias written out."""
    key = id(node)
    if known.get(key) == 0 or depth > _DEPTH_LIMIT:  # 0: it is being counted, so it holds itself
        raise PreconditionError(
            f"line {node.start_mark.line + 1} is nested more than {_DEPTH_LIMIT} deep, or in "
            "itself; write it out"
        )
    if key in known:
        return known[key]
    known[key] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        _refuse_twice(node)
    for below in _below(node):
        total += _size(below, known, depth=depth + 1)
        if total > NODES_LIMIT:
            raise PreconditionError(_TOO_MANY)
    known[key] = total
    return total


def _below(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refuse_twice(node: yaml.MappingNode) -> None:
    names: set[str] = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise PreconditionError(f"line {line} has a list or a map as a key; write a name")
        if key.value in names:
            raise PreconditionError(f"line {line} has a key for the second time; keep one of them")
        names.add(key.value)
