"""Which circuits' events a key's story tells: from the opening behind a hold to the end of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.facts import Fact
from common.overview.outages import concerning

QUAY, API = "registry/quay.io", "api-server"
KEY = "workload/Pod/shop/web"


def own(kind: str, source: str = "") -> Fact:
    """Return a fact of the key."""
    data = {"source": source} if source else {}
    return Fact(kind=kind, key=KEY, data=data)  # type: ignore[arg-type] # a kind


def circuit(state: str, source: str = QUAY) -> Fact:
    """Return what became of a source."""
    return Fact(kind="circuit", data={"source": source, "state": state})


def told(*facts: Fact, limit: int = 50) -> list[str]:
    """Return the story, one word a fact."""
    return [
        str(fact.data["state"]) if fact.kind == "circuit" else fact.kind
        for fact in concerning(facts, limit=limit)
    ]


def test_an_outage_is_told_from_its_opening_to_its_end() -> None:
    """The key was held because of others' failures: without the opening that makes no sense."""
    assert told(
        circuit("open"),
        own("enqueued"),
        own("claimed"),
        own("held", QUAY),
        circuit("probing"),
        circuit("open"),
        own("claimed"),
        own("held", QUAY),
        circuit("probing"),
        circuit("closed"),
        own("claimed"),
        own("converged"),
    ) == [
        "open", "enqueued", "claimed", "held", "probing", "open", "claimed", "held", "probing",
        "closed", "claimed", "converged",
    ]  # fmt: skip


def test_a_source_that_never_held_the_key_is_not_its_story() -> None:
    """A hundred registries come and go in the same ledger."""
    assert told(
        circuit("open", API), own("claimed"), circuit("closed", API), own("held", QUAY)
    ) == ["claimed", "held"]
    assert told(circuit("open"), own("claimed"), own("converged")) == ["claimed", "converged"]
    assert told(own("held", QUAY), circuit("open", API), circuit("open")) == ["held", "open"]


def test_an_outage_before_or_after_is_somebody_elses() -> None:
    """The registry failed again a week later, and this key had long been true."""
    assert told(
        circuit("open"),
        circuit("closed"),
        own("held", QUAY),
        own("converged"),
        circuit("open"),
        circuit("closed"),
    ) == ["held", "converged"]


@pytest.mark.parametrize("end", ["converged", "waiting", "retried", "parked"])
def test_two_outages_are_two_stories(end: str) -> None:
    """Between them the source's events concern others."""
    assert told(
        own("held", QUAY),
        circuit("closed"),
        own(end),
        circuit("open"),
        circuit("closed"),
        circuit("open"),
        own("held", QUAY),
    ) == ["held", "closed", end, "open", "held"]


def test_an_outage_that_lasts_is_told_up_to_now() -> None:
    """It is asked for while things are odd."""
    assert told(own("held", QUAY), circuit("open"), circuit("probing")) == [
        "held",
        "open",
        "probing",
    ]


def test_a_long_outage_does_not_bury_the_key() -> None:
    """A circuit that opens every five minutes for two days is a thousand events; newest win."""
    events = [circuit("open"), circuit("probing")] * 500
    found = told(own("held", QUAY), *events, circuit("closed"), own("converged"), limit=3)
    assert found == ["held", "open", "probing", "closed", "converged"]


facts = st.lists(
    st.builds(own, st.sampled_from(["enqueued", "claimed", "converged", "parked"]))
    | st.builds(own, st.just("held"), st.sampled_from([QUAY, API]))
    | st.builds(circuit, st.sampled_from(["open", "probing", "closed", "?"]), st.just(QUAY)),
    max_size=30,
)


@given(facts=facts, limit=st.integers(1, 5))
def test_the_keys_own_facts_are_all_told_in_order(facts: list[Fact], limit: int) -> None:
    """Whatever is put between them."""
    found = concerning(facts, limit=limit)
    assert [fact for fact in found if fact.kind != "circuit"] == [
        fact for fact in facts if fact.kind != "circuit"
    ]
    assert sum(fact.kind == "circuit" for fact in found) <= limit
    rest = iter(facts)
    assert all(any(fact is each for each in rest) for fact in found), "order changed"
