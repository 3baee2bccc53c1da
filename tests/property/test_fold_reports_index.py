"""The index of reports is what a plain table of them would be, whatever was put and removed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests import builders as b
from watcher.fold.reportfacts import ReportFact, read_report
from watcher.fold.reports import Reports

_KINDS = ("VulnerabilityReport", "ExposedSecretReport", "SbomReport")
_OWNERS = ("web", "api", "")

Place = tuple[str, str, str]  # kind, namespace, name


@st.composite
def facts(draw: st.DrawFn) -> ReportFact:
    """Draw a report: few names and owners, so that they meet."""
    kind, owner = draw(st.sampled_from(_KINDS)), draw(st.sampled_from(_OWNERS))
    modifiers = [b.in_namespace(draw(st.sampled_from(["shop", "dev"])))]
    if owner:
        modifiers.append(b.about("ReplicaSet", owner))
    modifiers.append(b.stamped(draw(st.sampled_from("ab")) * 32))
    made = b.report(kind, draw(st.sampled_from(["r", "s"])), *modifiers)
    return read_report(kind, made.metadata, copied=())


def place_of(fact: ReportFact) -> Place:
    """Return what names a report."""
    return (fact.kind, fact.namespace, fact.name)


steps = st.lists(st.tuples(st.booleans(), facts()), max_size=30)


class TestAnyPutsAndRemovals:
    """Parts are shared and merged inside; nobody must see that."""

    @given(steps)
    def test_leave_what_a_table_would_hold(self, sequence: list[tuple[bool, ReportFact]]) -> None:
        """By name, by owner, by kind, and all together."""
        index, table = Reports(), dict[Place, ReportFact]()
        for is_put, fact in sequence:
            place = place_of(fact)
            if is_put:
                assert index.put(fact) == (table.get(place) != fact)
                table[place] = fact
            else:
                assert index.remove(*place) == table.pop(place, None)
        assert {place_of(one): one for one in index} == table
        assert len(index) == len(table) == len(list(index))
        for kind in _KINDS:
            expected = {place[1:] for place in table if place[0] == kind}
            assert sorted(index.names(kind, "")) == sorted(expected)
            assert index.count(kind) == len(expected)
            in_shop = sorted(place for place in expected if place[0] == "shop")
            assert sorted(index.names(kind, "shop")) == in_shop
        for workload in {fact.workload for _, fact in sequence if fact.workload is not None}:
            about = {place_of(one): one for one in index.of(workload)}
            assert about == {place: one for place, one in table.items() if one.workload == workload}
        assert all(index.get(*place) == one for place, one in table.items())

    @given(steps)
    def test_keep_nothing_when_all_is_removed(
        self, sequence: list[tuple[bool, ReportFact]]
    ) -> None:
        """A cluster that changes all day must not grow."""
        index = Reports()
        for _, fact in sequence:
            index.put(fact)
        for _, fact in sequence:
            index.remove(*place_of(fact))
        assert (len(index), len(index._gists), len(index._sets)) == (0, 0, 0)
        assert (index._by_name, index._odd, dict(index._by_owner)) == ({}, {}, {})


@given(st.integers(0, 14), st.lists(st.tuples(st.booleans(), st.integers(0, 14)), max_size=60))
def test_many_names_about_one_owner_are_what_a_plain_table_would_be(
    first: int, moves: list[tuple[bool, int]]
) -> None:
    """Beyond a handful they are kept in another way, and in the first again when few are left."""
    reports, plain, web = Reports(), set[str](), b.key("ReplicaSet", "web")
    made = b.about("ReplicaSet", "web")
    for is_put, number in [*((True, number) for number in range(first)), *moves]:
        name = f"r{number}"
        if is_put:
            reports.put(read_report(_KINDS[0], b.report(_KINDS[0], name, made).metadata, copied=()))
            plain.add(name)
        else:
            reports.remove(_KINDS[0], "shop", name)
            plain.discard(name)
        assert sorted(fact.name for fact in reports.of(web)) == sorted(plain)
        assert reports.has(web) == bool(plain)
