"""Steps and status fit together: the stand-in comes to rest on every Pod."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.podstatus import Pull, Pulled, PullFailed, finished_status, running_status, tells_news
from sandbox.podstep import Finish, Node, Rest, Run, next_step
from tests.pods import ON_NODE, container, pod

NODES = (Node(name=ON_NODE, labels={}),)
NOW = "2026-11-25T10:00:00Z"
IMAGES = ("a:1", "b:1", "c:1")

LISTS = st.lists(st.sampled_from(IMAGES), min_size=1, max_size=3)
PULLS = st.fixed_dictionaries(
    {
        image: st.sampled_from(
            [Pulled(image_id=f"{image}@x"), PullFailed(message="no", again=True)]
        )
        for image in IMAGES
    }
)


def contained(images: list[str], prefix: str) -> list[dict[str, Any]]:
    """Return one container per image."""
    return [container(f"{prefix}-{number}", image) for number, image in enumerate(images)]


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Pod that is bound and has no status yet."""
    return pod(
        *contained(draw(LISTS), "main"),
        owner=draw(st.sampled_from(["Job", "ReplicaSet"])),
        initContainers=contained(draw(LISTS), "init"),
        ephemeralContainers=contained(draw(LISTS), "debug"),
    )


def settle(some: dict[str, Any], pulls: dict[str, Pull]) -> tuple[dict[str, Any], int]:
    """Take steps until none tells news; return the Pod and the number of writes."""
    for writes in range(10):
        step = next_step(some, NODES)
        if isinstance(step, Rest):
            return some, writes
        if isinstance(step, Finish):
            status = finished_status(some, now=NOW)
        else:
            assert isinstance(step, Run)
            status = running_status(some, {i: pulls[i] for i in step.images}, now=NOW)
        if not tells_news(some, status):
            return some, writes
        some = {**some, "status": {**some["status"], **status}}
    raise AssertionError("no rest after 10 writes")


@given(pods(), PULLS)
def test_every_pod_settles_in_two_writes(some: dict[str, Any], pulls: dict[str, Pull]) -> None:
    """One for what runs, one for what finished; anything more would be a loop."""
    settled, writes = settle(some, pulls)
    assert writes <= 2
    good = all(
        isinstance(pulls[c["image"]], Pulled)
        for field in ("containers", "initContainers")
        for c in some["spec"][field]
    )
    assert (settled["status"]["phase"] != "Pending") == good


@given(pods(), PULLS)
def test_a_status_tells_the_digest_of_every_image_that_was_pulled(
    some: dict[str, Any], pulls: dict[str, Pull]
) -> None:
    """Unless an init container holds the others back."""
    settled, _ = settle(some, pulls)
    status = settled["status"]
    blocked = any(not entry["imageID"] for entry in status["initContainerStatuses"])
    for entry in status["containerStatuses"]:
        pull = pulls[entry["image"]]
        known = isinstance(pull, Pulled) and not blocked
        assert entry["imageID"] == (f"{entry['image']}@x" if known else "")


@given(pods(), PULLS)
def test_a_pod_whose_images_came_later_ends_like_any_other(
    some: dict[str, Any], pulls: dict[str, Pull]
) -> None:
    """A failed start leaves nothing behind in the status."""
    everything: dict[str, Pull] = {image: Pulled(image_id=f"{image}@x") for image in IMAGES}
    detour, _ = settle(settle(some, pulls)[0], everything)
    direct, _ = settle(some, everything)
    assert not tells_news(detour, direct["status"])
