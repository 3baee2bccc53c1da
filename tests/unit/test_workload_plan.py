"""Which reports a workload gets, and how its run ends."""

from __future__ import annotations

import pytest

from common.model.errors import ImageNotFoundError
from common.model.image import ImageRecord, Inventory, Match, Os
from common.model.key import ImageKey
from common.model.workload import Container
from worker.subject.workload.plan import (
    SBOM,
    SECRET,
    VULNERABILITY,
    Broken,
    Converge,
    ConvergePartly,
    Evidence,
    Fail,
    Known,
    LookAgain,
    Pending,
    Unresolved,
    WaitFor,
    Young,
    obsolete,
    plan,
)

ALL = frozenset({VULNERABILITY, SECRET, SBOM})
KEY = ImageKey(digest="sha256:" + "a" * 64, platform="linux-amd64", options="o1")


def container(name: str) -> Container:
    return Container(name=name, role="container", image=f"{name}:1")


def known(name: str, *, has_packages: bool = True) -> Known:
    inventory = Inventory(
        scanner_version="0.76.0",
        artifact_id="sha256:1",
        blob_ids=("sha256:2",),
        target=name,
        os=Os(),
        covered=has_packages,
        has_packages=has_packages,
    )
    record = ImageRecord(inventory=inventory, match=Match(db_version="1", findings=()))
    return Known(container=container(name), images=((KEY, record),), homes=(KEY,))


UNRESOLVED = Unresolved(container=container("u"), error=ImageNotFoundError("u:1: not there"))
YOUNG = Young(container=container("y"), delay_s=5.0)
PENDING = Pending(container=container("p"), on=KEY)
BROKEN = Broken(container=container("b"), reason="DamagedImage", message="bad gzip")


def test_every_container_gets_three_reports() -> None:
    """Vulnerabilities, secrets and the bill of materials, as trivy-operator's users know them."""
    made = plan([known("a"), known("b")], kinds=ALL)
    assert [(want.container.name, want.kind) for want in made.reports] == [
        (name, kind) for name in "ab" for kind in (VULNERABILITY, SECRET, SBOM)
    ]
    assert made.end == Converge()


def test_an_image_without_packages_gets_no_bill_of_materials() -> None:
    """An empty SBOM would read as "nothing inside" where nothing could be read."""
    made = plan([known("a", has_packages=False)], kinds=ALL)
    assert [want.kind for want in made.reports] == [VULNERABILITY, SECRET]


def test_a_kind_that_is_switched_off_is_not_written() -> None:
    """Switches are trivy-operator's and mean the same."""
    assert [want.kind for want in plan([known("a")], kinds={SECRET}).reports] == [SECRET]


@pytest.mark.parametrize(
    "fault", [UNRESOLVED, YOUNG, PENDING, BROKEN], ids=lambda f: type(f).__name__
)
def test_one_containers_fault_never_holds_up_anothers_reports(fault: Evidence) -> None:
    """The peer gives a pod with one bad image no report at all."""
    made = plan([fault, known("good")], kinds=ALL)
    assert {want.container.name for want in made.reports} == {"good"}
    assert made.end != Converge()


@pytest.mark.parametrize(
    ("evidence", "end"),
    [
        ([BROKEN, PENDING, YOUNG, UNRESOLVED], Fail),
        ([BROKEN, PENDING, YOUNG], LookAgain),
        ([BROKEN, PENDING], WaitFor),
        ([BROKEN], ConvergePartly),
    ],
)
def test_the_end_that_surely_brings_the_workload_back_wins(
    evidence: list[Evidence], end: type
) -> None:
    """Trap 15. Whatever else is wrong, the run ends in a way that somebody will continue."""
    for order in (evidence, evidence[::-1]):
        assert isinstance(plan(order, kinds=ALL).end, end)


def test_of_two_looks_the_earlier_is_taken() -> None:
    """A slow container must not delay the look at a quick one."""
    made = plan([YOUNG, Young(container=container("z"), delay_s=1.0)], kinds=ALL)
    assert made.end == LookAgain(delay_s=1.0)


def test_a_partial_end_names_container_image_and_reason() -> None:
    """The Event on the workload is built from it."""
    assert plan([BROKEN], kinds=ALL).end == ConvergePartly(
        container="b", image="b:1", reason="DamagedImage", message="bad gzip"
    )


def test_reports_that_are_no_longer_needed_are_found_by_difference() -> None:
    """A StatefulSet that drops a container must drop its reports too."""
    before = ["SbomReport/ns/a", "SbomReport/ns/b", "VulnerabilityReport/ns/b"]
    gone = obsolete(before, true_now={"SbomReport/ns/a"}, kinds=ALL)
    assert gone == ("SbomReport/ns/b", "VulnerabilityReport/ns/b")


def test_switching_a_kind_off_leaves_its_reports() -> None:
    """Deleting what a user may still read is the user's decision."""
    assert obsolete(["SbomReport/ns/b"], true_now=(), kinds={VULNERABILITY}) == ()
