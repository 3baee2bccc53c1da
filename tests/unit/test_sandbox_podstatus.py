"""The status that the stand-in for the kubelet writes."""

from __future__ import annotations

from typing import Any

from sandbox.podstatus import (
    Pulled,
    PullFailed,
    finished_status,
    running_status,
    tells_news,
)
from tests.pods import IMAGE, container, pod

NOW = "2026-11-25T10:00:00Z"
LATER = "2026-11-25T11:00:00Z"
PULLED = Pulled(image_id="127.0.0.1:5000/app@sha256:1")
NONE = PullFailed(message="not found")


def reasons(status: dict[str, Any], field: str = "containerStatuses") -> dict[str, str]:
    """Return why each container waits; "" for one that does not."""
    return {
        entry["name"]: entry["state"].get("waiting", {}).get("reason", "")
        for entry in status[field]
    }


def conditions(status: dict[str, Any]) -> dict[str, str]:
    """Return each condition's status."""
    return {entry["type"]: entry["status"] for entry in status["conditions"]}


def test_a_pulled_container_runs_and_tells_its_digest() -> None:
    """The digest is what the product keys its scans by."""
    status = running_status(pod(), {IMAGE: PULLED}, now=NOW)
    (entry,) = status["containerStatuses"]
    assert status["phase"] == "Running"
    assert entry["imageID"] == PULLED.image_id
    assert entry["image"] == IMAGE
    assert entry["state"] == {"running": {"startedAt": NOW}}
    assert entry["containerID"].startswith("containerd://")
    assert entry["ready"]
    assert set(conditions(status).values()) == {"True"}


def test_the_first_failure_is_an_error_and_the_next_a_back_off() -> None:
    """The product reacts to both reasons."""
    first = running_status(pod(), {IMAGE: NONE}, now=NOW)
    again = running_status(pod(), {IMAGE: PullFailed(message="not found", again=True)}, now=NOW)
    assert reasons(first) == {"web": "ErrImagePull"}
    assert reasons(again) == {"web": "ImagePullBackOff"}
    assert first["phase"] == again["phase"] == "Pending"
    assert first["containerStatuses"][0]["imageID"] == ""
    assert "Back-off pulling" in again["containerStatuses"][0]["state"]["waiting"]["message"]


def test_one_bad_image_does_not_hide_the_digests_of_the_others() -> None:
    """A Pod may run in part: what is known is told."""
    some = pod(container("good"), container("bad", "127.0.0.1:5000/none:1"))
    status = running_status(some, {IMAGE: PULLED, "127.0.0.1:5000/none:1": NONE}, now=NOW)
    assert status["phase"] == "Pending"
    assert reasons(status) == {"good": "", "bad": "ErrImagePull"}
    assert status["containerStatuses"][0]["imageID"] == PULLED.image_id
    assert conditions(status)["Ready"] == "False"


def test_containers_wait_for_an_init_container_without_image() -> None:
    """A kubelet starts nothing else before: their digests are not known yet."""
    some = pod(initContainers=[container("init", "none:1"), container("second")])
    status = running_status(some, {"none:1": NONE, IMAGE: PULLED}, now=NOW)
    assert reasons(status, "initContainerStatuses") == {
        "init": "ErrImagePull",
        "second": "PodInitializing",
    }
    assert reasons(status) == {"web": "PodInitializing"}
    assert conditions(status)["Initialized"] == "False"


def test_init_containers_end_and_sidecars_run() -> None:
    """A sidecar is an init container that restarts always."""
    some = pod(initContainers=[container("init"), container("side", restartPolicy="Always")])
    init, side = running_status(some, {IMAGE: PULLED}, now=NOW)["initContainerStatuses"]
    assert init["state"]["terminated"]["exitCode"] == 0
    assert "running" in side["state"]
    assert init["imageID"] == side["imageID"] == PULLED.image_id


def test_a_failed_ephemeral_container_does_not_end_the_pod() -> None:
    """A debug container with a typo leaves the workload running."""
    some = pod(ephemeralContainers=[container("debug", "none:1")])
    status = running_status(some, {IMAGE: PULLED, "none:1": NONE}, now=NOW)
    assert status["phase"] == "Running"
    assert reasons(status, "ephemeralContainerStatuses") == {"debug": "ErrImagePull"}


def test_what_was_pulled_before_keeps_its_digest() -> None:
    """A tag that moved matters to new Pods only: this one runs what it started with."""
    first = running_status(pod(), {IMAGE: PULLED}, now=NOW)
    grown = pod(status=first, ephemeralContainers=[container("debug", "debug:1")])
    moved = {IMAGE: Pulled(image_id="moved"), "debug:1": Pulled(image_id="debug")}
    second = running_status(grown, moved, now=LATER)
    assert second["containerStatuses"][0]["imageID"] == PULLED.image_id
    assert second["ephemeralContainerStatuses"][0]["imageID"] == "debug"
    assert second["startTime"] == NOW


def test_a_finished_pod_keeps_its_digests() -> None:
    """A Job's image is scanned after it ended."""
    some = pod(owner="Job", initContainers=[container("init")])
    ran = {**some, "status": running_status(some, {IMAGE: PULLED}, now=NOW)}
    status = finished_status(ran, now=LATER)
    assert status["phase"] == "Succeeded"
    (entry,) = status["containerStatuses"]
    assert entry["imageID"] == PULLED.image_id
    assert entry["state"]["terminated"]["reason"] == "Completed"
    (init,) = status["initContainerStatuses"]
    assert init["state"]["terminated"]["finishedAt"] == NOW  # it ended when it had ended
    assert conditions(status)["Ready"] == "False"


def test_only_news_is_written() -> None:
    """A status write per look would be an event storm for every watcher."""
    some = pod()
    status = running_status(some, {IMAGE: PULLED}, now=NOW)
    assert tells_news(some, status)
    written = {**some, "status": status}
    assert not tells_news(written, running_status(written, {}, now=LATER))
    failed = running_status(some, {IMAGE: NONE}, now=NOW)
    assert tells_news(written, failed)
    assert tells_news({**some, "status": failed}, status)
