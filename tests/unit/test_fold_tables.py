"""The containers of the folds: what they promise, and what they must not keep."""

from __future__ import annotations

import msgspec
import pytest

from common.model.key import WorkloadKey
from watcher.fold.bykey import ByKey
from watcher.fold.facts import Controller, ImageSet
from watcher.fold.owned import Owned
from watcher.fold.pool import Pool


def key(name: str, kind: str = "Pod", namespace: str = "shop") -> WorkloadKey:
    """Return a key."""
    return WorkloadKey(kind=kind, namespace=namespace, name=name)


class TestByKey:
    """A mapping like any other, without keys of its own."""

    def test_what_is_put_is_found_by_its_key_alone(self) -> None:
        """Kind, namespace and name are all of it."""
        table: ByKey[int] = ByKey()
        table[key("a")] = 1
        table[key("a", namespace="other")] = 2
        table[key("a", kind="Job")] = 3
        assert dict(table) == {
            key("a"): 1,
            key("a", namespace="other"): 2,
            key("a", kind="Job"): 3,
        }
        assert (table[key("a")], table.get(key("a", kind="Job"))) == (1, 3)
        assert key("b") not in table
        assert table.get(key("b"), 7) == 7
        with pytest.raises(KeyError):
            table[key("b")]

    def test_it_counts_what_it_holds(self) -> None:
        """Also when a value is replaced."""
        table: ByKey[int] = ByKey()
        table[key("a")] = 1
        table[key("a")] = 2
        table[key("b")] = 3
        assert len(table) == 2
        assert table.pop(key("a")) == 2
        assert table.pop(key("a"), None) is None
        del table[key("b")]
        assert (len(table), dict(table)) == (0, {})

    def test_names_are_those_of_a_kind_in_one_namespace_or_in_all(self) -> None:
        """A reading covers one or all."""
        table: ByKey[int] = ByKey()
        for each in (key("a"), key("b", namespace="other"), key("c", kind="Job")):
            table[each] = 0
        assert sorted(table.names("Pod")) == [("other", "b"), ("shop", "a")]
        assert list(table.names("Pod", "shop")) == [("shop", "a")]
        assert (table.find("Pod", "shop", "a"), table.find("Pod", "shop", "z")) == (0, None)


class TestPool:
    """Kept once, for as long as somebody uses it."""

    def test_equal_values_are_one_object(self) -> None:
        """The first one that came."""
        pool: Pool[tuple[str, ...]] = Pool()
        first, second = ("x",), tuple("x")
        assert pool.take(first) is first
        assert pool.take(second) is first

    def test_the_last_user_takes_it_along(self) -> None:
        """Else a day of changes would stay for ever."""
        pool: Pool[str] = Pool()
        pool.take("x")
        pool.take("x")
        pool.give_back("x")
        assert len(pool) == 1
        pool.give_back("x")
        assert len(pool) == 0
        with pytest.raises(KeyError):
            pool.give_back("x")


class Thing(msgspec.Struct, frozen=True):
    """An owned object."""

    namespace: str
    controller: Controller | None
    name: str = ""
    created_at: int = 0
    gang_images: ImageSet = ()


def owned_by(name: str, called: str = "", uid: str = "u") -> Thing:
    """Return an object that a ReplicaSet of a name controls."""
    return Thing("shop", Controller(kind="ReplicaSet", name=name, uid=uid), called)


class TestOwned:
    """What each owner controls, one or many."""

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    def test_it_holds_as_many_as_there_are(self, count: int) -> None:
        """One stands for itself, several are a list."""
        owned: Owned[Thing] = Owned()
        things = [owned_by("web", str(number)) for number in range(count)]
        for thing in things:
            owned.add(thing)
        assert owned.of(("ReplicaSet", "shop", "web")) == things
        for number, thing in enumerate(things, 1):
            owned.drop(thing)
            assert owned.of(("ReplicaSet", "shop", "web")) == things[number:]

    def test_owners_are_told_apart_by_name_not_by_uid(self) -> None:
        """A report, and a late Pod, may name a dead one."""
        owned: Owned[Thing] = Owned()
        owned.add(owned_by("web", uid="dead"))
        owned.add(owned_by("web", uid="new"))
        owned.add(owned_by("api"))
        assert len(owned.of(("ReplicaSet", "shop", "web"))) == 2
        assert owned.of(("ReplicaSet", "other", "web")) == []

    def test_what_nobody_controls_is_passed_over(self) -> None:
        """Both ways."""
        owned: Owned[Thing] = Owned()
        bare = Thing("shop", None)
        owned.add(bare)
        owned.drop(bare)
        assert owned.of(("ReplicaSet", "shop", "")) == []

    def test_a_list_that_was_given_out_is_not_the_table(self) -> None:
        """Who walks over it may drop meanwhile."""
        owned: Owned[Thing] = Owned()
        for called in "ab":
            owned.add(owned_by("web", called))
        given = owned.of(("ReplicaSet", "shop", "web"))
        for thing in given:
            owned.drop(thing)
        assert len(given) == 2
