"""Finds the sandbox's programs, or builds them: the first place that has a whole family wins.

    1. KUBEBUILDER_ASSETS   what users of envtest have
    2. PATH                 and, before it, the folder of this Python (kubectl comes as a wheel)
    3. our cache            $XDG_CACHE_HOME/kube-sluice/<hash of the pins>/bin
    4. a build              from pinned Go modules; minutes once, never again

A family comes from one place as a whole, because its versions must agree: a controller-manager
may not be newer than its API server, and a containerd only works with its own shim.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox.families import Family, families
from sandbox.gobuild import MODULES, Recipe, Say, build

FOUR_WAYS = (
    "there are four ways: set KUBEBUILDER_ASSETS to a folder that holds the programs; put them "
    "in PATH; have Go 1.26 or newer in PATH, to build them; or have pip reach an index, to "
    "install Go for that (`python -m sandbox build` then builds them once)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to look, in this order, and how to build."""

    assets: str  # a folder; "" when there is none
    path: str  # folders, separated as in PATH
    cache: Path
    build: Callable[[Recipe, Path, Say], None]


def find(names: Iterable[str], *, say: Say) -> dict[str, Path]:
    """Return the paths of the programs `names`, building what is missing; `say` tells progress.

    Raises PreconditionError, which names the four ways, when one can neither be found nor built.
    """
    return search(names, families(), sources(os.environ), say=say)


def sources(environ: Mapping[str, str]) -> Sources:
    """Return this machine's sources."""
    ours = str(Path(sys.executable).parent)
    home = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Sources(
        assets=environ.get("KUBEBUILDER_ASSETS", ""),
        path=os.pathsep.join((ours, environ.get("PATH", os.defpath))),
        cache=Path(home) / "kube-sluice" / _pins(),
        build=lambda recipe, into, say: build(recipe, into, say=say),
    )


def search(
    names: Iterable[str], known: Iterable[Family], where: Sources, *, say: Say
) -> dict[str, Path]:
    """Look for `names` in `where`; see `find`."""
    wanted = frozenset(names)
    found: dict[str, Path] = {}
    for family in known:
        members = tuple(name for name in family.members if name in wanted)
        if members:
            found |= _elsewhere(family, members, where) or _ours(family, members, where, say=say)
    if unknown := wanted - found.keys():
        raise PreconditionError(f"the sandbox knows no program called {', '.join(sorted(unknown))}")
    return found


def _elsewhere(family: Family, members: tuple[str, ...], where: Sources) -> dict[str, Path] | None:
    """Return what the user has; None when a member is missing or the family does not fit."""
    if family.fits is None:
        return None
    for folders in (where.assets, where.path):
        candidates = _all_in(folders, members)
        if candidates is not None and family.fits(candidates):
            return candidates
    return None


def _ours(family: Family, members: tuple[str, ...], where: Sources, *, say: Say) -> dict[str, Path]:
    """Return what the cache holds, building it first when it does not."""
    if family.recipe is None:
        raise PreconditionError(f"{', '.join(members)} is not in PATH; {family.remedy}")
    folder = where.cache / "bin"
    if _all_in(str(folder), members) is None:
        try:
            where.build(family.recipe, folder, say)
        except PreconditionError as error:
            raise PreconditionError(
                f"no {', '.join(members)}: {error}; {FOUR_WAYS}", reason="ProgramsMissing"
            ) from error
    return {name: folder / name for name in members}


def _all_in(folders: str, members: tuple[str, ...]) -> dict[str, Path] | None:
    paths = {name: shutil.which(name, path=folders) for name in members}
    found = {name: Path(path) for name, path in paths.items() if path is not None}
    return found if len(found) == len(members) else None


def _pins() -> str:
    """Return 12 hex digits that change with anything that changes a program we build."""
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
    for path in sorted(MODULES.rglob("*")):
        if path.is_file():
            digest.update(f"\n{path.relative_to(MODULES)}\n".encode() + path.read_bytes())
    for family in families():
        digest.update(repr(family.recipe).encode())
    return digest.hexdigest()[:12]
