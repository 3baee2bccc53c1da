"""Writes a translation: our values file with its comments, and the list of what became of each.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.migration.table import CHART_VERSION
from common.migration.translate import Told, Translation, What
from common.reports.plain_yaml import to_text

_HEAD = (
    f"# Values of kube-sluice, made from those of trivy-operator (chart {CHART_VERSION}).\n"
    "# What is not here is as the chart has it.\n"
)
# As in our values.yaml; what is not named follows by the alphabet.
_ORDER = (
    "image",
    "imageRegistry",
    "imagePullSecrets",
    "settings",
    "trivyOperator",
    "registries",
    "proxy",
    "rbac",
    "hooks",
    "watcher",
    "worker",
    "scanner",
    "matcher",
    "redis",
)
# What needs somebody's eyes first.
_LISTED = (
    What.UNKNOWN,
    What.WRONG,
    What.BY_HAND,
    What.NOT_YET,
    What.NO_MEANING,
    What.TAKEN,
)


def values_file(translation: Translation) -> str:
    """Return our values file, each value under the keys that it came from."""
    if not translation.values:
        return f"{_HEAD}{{}}\n"
    tree: dict[str, object] = {}
    for path, value in translation.values.items():
        *above, name = path.split(".")
        level = tree
        for part in above:
            below = level.setdefault(part, {})
            level = below if isinstance(below, dict) else {}
        level[name] = _Leaf(value, translation.sources[path])
    top = sorted(tree, key=lambda name: (_place(name), name))
    lines = (line for name in top for line in _lines(name, tree[name], indent=0))
    return _HEAD + "".join(lines)


class _Leaf:
    """A value at its place in the file, and where it came from."""

    __slots__ = ("keys", "value")

    def __init__(self, value: object, keys: tuple[str, ...]) -> None:
        self.value = value
        self.keys = keys


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _lines(name: str, node: object, *, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(node, _Leaf):
        yield f"{pad}# {', '.join(node.keys)}\n"
        yield to_text({name: _typed(node.value)}, indent=indent)
    elif isinstance(node, Mapping):
        yield f"{pad}{name}:\n"
        for below in sorted(node):
            yield from _lines(below, node[below], indent=indent + 2)


def _typed(value: object) -> object:
    """Return a flag for the text of one, as a person would write it."""
    if value in ("true", "false"):
        return value == "true"
    return value


def listing(translation: Translation, *, everything: bool) -> str:
    """Return what became of each value, what needs eyes first; `everything`: defaults too."""
    parts = [
        _part(what, told)
        for what in _LISTED
        if (told := [one for one in translation.told if one.what is what])
    ]
    same = [one for one in translation.told if one.what is What.SAME]
    if same and everything:
        parts.append(_part(What.SAME, same))
    elif same:
        parts.append(f"{What.SAME.value}, so left out ({len(same)}; --all lists them)")
    return "\n".join(parts or ["the file holds no values"])


def _part(what: What, told: Sequence[Told]) -> str:
    arrow = " →" if what is What.TAKEN else ":"
    lines = [f"  {one.key}{arrow} {one.text}" if one.text else f"  {one.key}" for one in told]
    return "\n".join([f"{what.value} ({len(told)})", *lines])
