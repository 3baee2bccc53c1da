"""The canary's choice and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from common.model.errors import PreconditionError, SourceUnavailableError
from common.model.facts import Fact
from common.model.image import Finding, ImageRecord, ImageUse, Inventory, Match, Os
from common.model.key import ImageKey
from tests.fakes.tables import FakeImages
from worker.canary.candidate import candidate
from worker.canary.trial import Canary, Tried, chosen, document, doubt, lines, verdict
from worker.evidence.image.told import Told, compare, told_of
from worker.subject.image.pull import Pulled

FINDING = Finding(vulnerability_id="CVE-1", resource="a", installed_version="1", severity="HIGH")
USE = ImageUse(workload="w", reference="r.example/a:1", namespace="shop")
REPORTING = ImageUse(workload="cluster/sbom/x", reference="r/a:1", namespace="")


def key(number: int) -> ImageKey:
    return ImageKey(digest=f"sha256:{number:064x}", platform="linux-amd64", options="o")


def inventory(family: str) -> Inventory:
    return Inventory(
        scanner_version="0.77.0",
        artifact_id="a",
        blob_ids=("b",),
        target="t",
        os=Os(family=family),
        covered=True,
        has_packages=True,
    )


class Table(FakeImages):
    """The image table, which can be listed too."""

    def keys(self) -> list[ImageKey]:
        return list(self.records)


def images(*families: str) -> Table:
    """Return a table with one used, analysed image per family."""
    table = Table()
    for number, family in enumerate(families):
        table.records[key(number)] = ImageRecord(inventory=inventory(family))
        table.users[key(number)] = {"w": USE}
    return table


@dataclass
class World:
    """A scanner that tells `told`, and a matcher that finds `found`."""

    told: tuple[Told, ...] = told_of([FINDING])
    found: tuple[Finding, ...] = (FINDING,)
    fails: bool = False
    tried: int = 0

    def try_out(self, key: ImageKey, tries: Sequence[ImageUse]) -> Pulled:
        assert tries == (USE,)
        self.tried += 1
        if self.fails:
            raise SourceUnavailableError("down", reason="Down")
        fact = Fact(kind="inventoried", key=str(key), data={})
        return Pulled(inventory=inventory("debian"), fact=fact, told=self.told)

    def match(self, inventory: Inventory) -> Match:
        return Match(db_version="1", findings=self.found)

    def run(self, table: Table, number: int = 5) -> list[Tried]:
        return Canary(images=table, pull=self, matcher=self).run(number)


def test_one_image_of_each_operating_system_comes_first() -> None:
    """Each has an analyser and a detector of its own."""
    table = images(*["debian"] * 20, "alpine", "")
    families = [table.get(one).inventory.os.family for one in chosen(table, 3)]  # type: ignore[union-attr] # all have one
    assert sorted(families) == ["", "alpine", "debian"]
    assert len(chosen(table, 1000)) == 22
    assert len(set(chosen(table, 1000))) == 22


def test_images_without_use_or_analysis_are_not_chosen() -> None:
    """Nobody could pull the one, and the other may be unpullable; some are only reported on."""
    table = images("debian", "alpine", "wolfi")
    table.users[key(0)] = {}
    table.records[key(1)] = ImageRecord()
    table.users[key(2)] = {"cluster/sbom/x": REPORTING}
    assert chosen(table, 5) == []
    with pytest.raises(PreconditionError):
        World().run(table)


def test_who_reports_an_image_is_not_asked_to_pull_it() -> None:
    """Nobody's credentials are behind it."""
    table = images("debian")
    table.users[key(0)]["cluster/sbom/x"] = REPORTING
    (tried,) = World().run(table)
    assert tried.error == ""


def test_agreement_is_trusted() -> None:
    """The version that did the analyses."""
    world = World()
    tried = world.run(images("debian", "alpine"))
    assert verdict(tried) == "0.77.0"
    assert world.tried == 2
    assert all("agrees, 1 findings" in line for line in lines(tried))
    assert document(tried, "0.77.0")["trusted"] == "0.77.0"


@pytest.mark.parametrize(
    "world",
    [
        World(found=()),
        World(told=()),
        World(found=(FINDING, replace(FINDING, vulnerability_id="CVE-2"))),
        World(found=(replace(FINDING, severity="LOW"),)),
        World(found=(replace(FINDING, fixed_version="2"),)),
        World(told=(), found=()),
        World(fails=True),
    ],
    ids=["lost", "made-up", "more", "severity", "fixed", "nothing", "fails"],
)
def test_anything_else_is_not(world: World) -> None:
    """One finding more, one less, one that differs; nothing at all proves nothing."""
    tried = world.run(images("debian"))
    assert verdict(tried) == ""
    assert document(tried, "")["trusted"] is None
    assert lines(tried)
    assert doubt(tried)


def test_why_nothing_is_trusted_is_told() -> None:
    """Two lines of "agrees" and "not trusted" below them help nobody."""
    (equal,) = World(told=(), found=()).run(images("debian"))
    (unequal,) = World(found=()).run(images("debian"))
    other = Tried(image="y", trivy="0.76.0", findings=1, differences=equal.differences)
    assert "--images" in doubt([equal])
    assert "differ" in doubt([equal, unequal])
    assert "more than one Trivy" in doubt([equal, other])
    assert "no image could be compared" in doubt([Tried(image="x", error="Down: down")])


def test_one_image_that_cannot_be_pulled_does_not_spoil_the_rest() -> None:
    """Registries fail; that says nothing about Trivy."""
    good = World().run(images("debian"))
    assert verdict([*good, Tried(image="x", error="Down: down")]) == "0.77.0"


def test_a_candidate_is_never_trusted_however_well_it_agrees() -> None:
    """The older Trivy would go on analysing, and every image would be due for ever."""
    tried = World().run(images("debian"))
    shown = document(tried, verdict(tried), trusts=False)
    assert (shown["agrees"], shown["trusted"]) == ("0.77.0", None)


def test_a_candidate_is_refused_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scanner would stand beside the cluster's token."""
    monkeypatch.setattr("worker.canary.candidate.in_pod", lambda: True)
    with pytest.raises(PreconditionError, match="apart from the cluster's token"):
        candidate("/usr/bin/trivy", {}).__enter__()  # it must not get further


def test_two_versions_are_never_trusted_at_once() -> None:
    """Scanners of two releases answer during a rollout."""
    (one,) = World().run(images("debian"))
    other = Tried(image="y", trivy="0.76.0", findings=1, differences=one.differences)
    assert verdict([one, other]) == ""


def test_how_often_a_finding_is_told_counts() -> None:
    """Counts are what users see first."""
    (told,) = told_of([FINDING])
    assert compare([told, told], [told]).only_cli == (told,)
    assert compare([told], [told, told]).only_replay == (told,)
    assert compare([told], [told]).number == 0
