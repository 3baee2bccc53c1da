"""What the sandbox asks of the Go compiler, and what the pinned modules must hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.families import families
from sandbox.gobuild import GO_WHEEL, MODULES, Recipe, pinned

RECIPES = {family.recipe.title: family.recipe for family in families() if family.recipe}


def go_line(module: str) -> tuple[int, ...]:
    """Return the oldest Go that a module accepts."""
    found = re.search(r"^go (\S+)$", (MODULES / module / "go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return tuple(map(int, found[1].split(".")))


def kubernetes() -> Recipe:
    """Return the recipe of the one program."""
    return next(recipe for recipe in RECIPES.values() if recipe.module == "kubernetes")


@pytest.mark.parametrize("module", sorted(path.name for path in MODULES.iterdir()))
def test_the_wheel_s_go_is_new_enough_for_every_module(module: str) -> None:
    """Else the fourth way to get the programs ends at its first step."""
    assert go_line(module) <= tuple(map(int, GO_WHEEL.partition("==")[2].split(".")))


def test_every_module_has_a_recipe_and_every_recipe_a_module() -> None:
    """A module that nothing builds is dead weight that still changes the cache's name."""
    assert {recipe.module for recipe in RECIPES.values()} == {p.name for p in MODULES.iterdir()}


def test_kubernetes_tells_a_version_that_clients_can_parse() -> None:
    """Without stamps the server says v0.0.0-master+$Format and clients refuse to parse it."""
    arguments = " ".join(kubernetes().arguments(Path("/out")))
    version = pinned("kubernetes", "k8s.io/kubernetes")
    major, minor, _ = version.split(".")
    stamp = "-X k8s.io/component-base/version."
    assert f"{stamp}gitVersion=v{version} " in arguments
    assert f"{stamp}gitMajor={major} " in arguments
    assert f"{stamp}gitMinor={minor} " in arguments


def test_staging_modules_follow_the_kubernetes_version() -> None:
    """A pin of 1.36.3 with a staging module of 0.36.2 builds, and behaves like neither."""
    minor_and_patch = pinned("kubernetes", "k8s.io/kubernetes").partition(".")[2]
    text = (MODULES / "kubernetes" / "go.mod").read_text()
    replaced = re.findall(r"^\s*k8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$", text, re.MULTILINE)
    assert len(replaced) > 20
    assert set(replaced) == {minor_and_patch}


def test_builds_are_stripped_and_tell_no_path_of_this_machine() -> None:
    """Equal pins give equal programs on every machine."""
    for recipe in RECIPES.values():
        arguments = recipe.arguments(Path("/out"))
        assert "-trimpath" in arguments
        assert any(argument.startswith("-s -w") for argument in arguments)


def test_programs_are_named_after_their_packages() -> None:
    """The search looks for these names; "." is the module's own program."""
    recipe = Recipe(title="t", module="pause", packages=(".", "example.org/x/cmd/y"), usually="")
    assert recipe.built() == ("pause", "y")


def test_a_missing_pin_is_named() -> None:
    """A renamed module must fail here, not as an empty version stamp."""
    with pytest.raises(PreconditionError, match=r"gomods/pause/go\.mod does not pin k8s"):
        pinned("pause", "k8s.io/kubernetes")
