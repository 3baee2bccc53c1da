"""The measure of absence itself: what would make it read 0 where a report was gone."""

from __future__ import annotations

from typing import Any

from tests.absence import Presence, place_of

KIND = "VulnerabilityReport"


def report(name: str, owner: str = "web-5d8f7c9b4", kind: str = "ReplicaSet") -> dict[str, Any]:
    labels = {
        "trivy-operator.resource.kind": kind,
        "trivy-operator.resource.name": owner,
        "trivy-operator.resource.namespace": "shop",
        "trivy-operator.container.name": "c0",
    }
    return {"metadata": {"name": name, "labels": labels}}


def presence(*events: tuple[str, str, float]) -> Presence:
    seen = Presence()
    for event, name, at_s in events:
        seen.see(event, KIND, report(name), at_s=at_s)
    return seen


PLACE = (KIND, "shop", "Deployment/web", "c0")


def test_two_revisions_of_a_deployment_are_one_workload() -> None:
    """A rollout's new report stands on another ReplicaSet."""
    assert place_of(KIND, report("a")) == PLACE
    assert place_of(KIND, report("a", "web-6b7d5c8f9")) == PLACE
    assert place_of(KIND, report("a", "db-0", "Pod"))[2] == "Pod/db-0"


def test_an_old_report_that_goes_after_its_successor_came_is_no_absence() -> None:
    """The order of law 8."""
    seen = presence(("ADDED", "old", 1.0), ("ADDED", "new", 2.0), ("DELETED", "old", 3.0))
    assert seen.gaps(9.0) == {}


def test_a_report_that_goes_before_its_successor_came_is_one() -> None:
    """The peer's order."""
    seen = presence(("ADDED", "old", 1.0), ("DELETED", "old", 2.0), ("ADDED", "new", 5.5))
    assert seen.gaps(9.0) == {PLACE: 3.5}


def test_what_never_came_back_is_absent_until_now() -> None:
    """Else the worst case would be no case."""
    seen = presence(("ADDED", "old", 1.0), ("DELETED", "old", 2.0))
    assert seen.gaps(9.0) == {PLACE: 7.0}


def test_the_longest_of_several_absences_counts() -> None:
    """And one within a tick of the clock is still one."""
    events = [("ADDED", "a", 1.0), ("DELETED", "a", 2.0), ("ADDED", "a", 5.0)]
    seen = presence(*events, ("DELETED", "a", 6.0), ("ADDED", "a", 6.0))
    assert seen.gaps(9.0) == {PLACE: 3.0}
    instant = presence(("ADDED", "a", 1.0), ("DELETED", "a", 2.0), ("ADDED", "a", 2.0))
    assert instant.gaps(9.0)[PLACE] > 0
