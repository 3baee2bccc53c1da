"""Reports: an index of what their metadata says, found by name and by owner in O(1).

No body is ever read. Reports map to workloads by kind, namespace and name, never by uid alone: a
report that a zombie wrote for a dead uid must still lead to the workload that lives now. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

from msgspec.structs import replace

from common.model.key import WorkloadKey
from watcher.fold.bykey import ByKey
from watcher.fold.facts import Controller, Fact
from watcher.fold.pool import Pool
from watcher.fold.reportfacts import ReportFact, ReportGist


class _Named(Fact, frozen=True):
    """The reports of one name about one owner: three kinds about one container, as a rule."""

    name: str
    owner: Controller | None
    gists: tuple[ReportGist, ...]  # of different kinds, in their order


# Those about one owner. Of a handful a tuple, which is small; of more a dict by identity, where one
# comes and goes in O(1): anybody may write thousands of reports that name one owner.
_Owned: TypeAlias = tuple[_Named, ...] | dict[int, _Named]
_HANDFUL = 8


class Reports:
    """Fold of the metadata of all reports.

    The three reports about a container have one name, one owner, and say what those about the same
    image say in a thousand other places: so little is kept of each, and facts are made when asked
    for.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, _Named]] = {}  # namespace, name
        # Those whose owner is not that of the others of their name, by kind, namespace and name.
        self._odd: dict[tuple[str, str, str], _Named] = {}
        self._by_owner: ByKey[_Owned] = ByKey()
        self._gists: Pool[ReportGist] = Pool()
        self._sets: Pool[tuple[ReportGist, ...]] = Pool()
        self._counts: Counter[str] = Counter()  # by kind

    def get(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Return the report, or None."""
        for named in self._holders(kind, namespace, name):
            for gist in named.gists:
                if gist.kind == kind:
                    return _fact(namespace, named, gist)
        return None

    def shown(self, shown: str) -> ReportFact | None:
        """Return the report that `Kind/namespace/name` names, or None."""
        kind, _, rest = shown.partition("/")
        namespace, _, name = rest.partition("/")
        return self.get(kind, namespace, name)

    def put(self, report: ReportFact) -> bool:
        """Take a report in; return False for one of which all that matters is known."""
        kind, namespace, name = report.kind, report.namespace, report.name
        before = self.get(kind, namespace, name)
        if before == report:
            return False
        if before is not None:
            self._drop(before)
        gist = self._gists.take(report.gist)
        table = self._by_name.setdefault(namespace, {})
        known = table.get(name)
        if known is None:
            table[name] = self._enter(namespace, _Named(name, report.owner, (gist,)))
        elif known.owner == report.owner:
            self._leave(namespace, known)
            gists = tuple(sorted((*known.gists, gist), key=_kind_of))
            table[name] = self._enter(namespace, replace(known, gists=gists))
        else:
            odd = _Named(known.name, report.owner, (gist,))
            self._odd[(kind, namespace, name)] = self._enter(namespace, odd)
        self._counts[kind] += 1
        return True

    def remove(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Drop a report; return what was known of it."""
        found = self.get(kind, namespace, name)
        if found is not None:
            self._drop(found)
        return found

    def names(self, kind: str, namespace: str) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of all of a kind, in one namespace or (empty) in all."""
        for inside, table in self._by_name.items():
            if namespace in ("", inside):
                for name, named in table.items():
                    if any(gist.kind == kind for gist in named.gists):
                        yield inside, name
        for listed, inside, name in self._odd:
            if listed == kind and namespace in ("", inside):
                yield inside, name

    def of(self, workload: WorkloadKey) -> tuple[ReportFact, ...]:
        """Return the reports about a workload of that name, whatever uid they name."""
        about = _each(self._by_owner.get(workload, ()))
        return tuple(_fact(workload.namespace, one, gist) for one in about for gist in one.gists)

    def has(self, workload: WorkloadKey) -> bool:
        """Return whether there is a report about a workload of that name, in O(1)."""
        return workload in self._by_owner

    def owner(self, named: Controller, namespace: str) -> Controller:
        """Return the one object by which its reports know an owner; else what was given.

        It saves memory and nothing else, so only the first few are asked.
        """
        owned = self._by_owner.find(named.kind, namespace, named.name) or ()
        about = islice(owned if isinstance(owned, tuple) else owned.values(), _HANDFUL)
        return next((one.owner for one in about if one.owner == named), None) or named

    def __iter__(self) -> Iterator[ReportFact]:
        """Yield every report; safe while another thread folds, each table is copied first."""
        for namespace, table in list(self._by_name.items()):
            for named in list(table.values()):
                yield from (_fact(namespace, named, gist) for gist in named.gists)
        for (_, namespace, _), odd in list(self._odd.items()):
            yield from (_fact(namespace, odd, gist) for gist in odd.gists)

    def count(self, kind: str) -> int:
        """Return how many there are of a kind; any thread may ask."""
        return self._counts[kind]

    def __len__(self) -> int:
        return sum(self._counts[kind] for kind in list(self._counts))

    def _holders(self, kind: str, namespace: str, name: str) -> Iterator[_Named]:
        named = self._by_name.get(namespace, {}).get(name)
        if named is not None:
            yield named
        odd = self._odd.get((kind, namespace, name)) if self._odd else None
        if odd is not None:
            yield odd

    def _drop(self, report: ReportFact) -> None:
        kind, namespace, name = report.kind, report.namespace, report.name
        self._counts[kind] -= 1
        self._gists.give_back(report.gist)
        odd = self._odd.pop((kind, namespace, name), None)
        if odd is not None:
            self._leave(namespace, odd)
            return
        table = self._by_name[namespace]
        known = table.pop(name)
        self._leave(namespace, known)
        left = tuple(gist for gist in known.gists if gist.kind != kind)
        if left:
            table[known.name] = self._enter(namespace, replace(known, gists=left))
        elif not table:
            del self._by_name[namespace]

    def _enter(self, namespace: str, named: _Named) -> _Named:
        """Put one into its owner's list; return it as it is kept."""
        kept = replace(named, gists=self._sets.take(named.gists))
        if kept.owner is not None:
            kind, name = kept.owner.kind, kept.owner.name
            about = _with(self._by_owner.find(kind, namespace, name) or (), kept)
            self._by_owner.put(kind, namespace, name, about)
        return kept

    def _leave(self, namespace: str, kept: _Named) -> None:
        """Take one out of its owner's list."""
        self._sets.give_back(kept.gists)
        if kept.owner is None:
            return
        key = WorkloadKey(kind=kept.owner.kind, namespace=namespace, name=kept.owner.name)
        left = _without(self._by_owner[key], kept)
        if left:
            self._by_owner[key] = left
        else:
            del self._by_owner[key]


def _each(about: _Owned) -> tuple[_Named, ...]:
    return about if isinstance(about, tuple) else tuple(about.values())


def _with(about: _Owned, one: _Named) -> _Owned:
    """Return them with one more; a dict is the same one."""
    if isinstance(about, dict):
        about[id(one)] = one
        return about
    more = (*about, one)
    return more if len(more) <= _HANDFUL else {id(each): each for each in more}


def _without(about: _Owned, one: _Named) -> _Owned:
    """Return them without one; a dict is the same one, or small enough for a tuple."""
    if isinstance(about, tuple):
        return tuple(each for each in about if each is not one)
    about.pop(id(one), None)
    # Half a handful: one that comes and goes at the limit does not copy them each time.
    return about if len(about) > _HANDFUL // 2 else tuple(about.values())


def _fact(namespace: str, named: _Named, gist: ReportGist) -> ReportFact:
    return ReportFact(namespace=namespace, name=named.name, owner=named.owner, gist=gist)


def _kind_of(gist: ReportGist) -> str:
    return gist.kind
