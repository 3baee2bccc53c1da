"""What the stand-in for scheduler and kubelet does next with a Pod."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.podstep import Bind, Finish, Node, Remove, Rest, Run, Step, next_step
from tests.pods import IMAGE, container, pod, terminating

NODES = (
    Node(name="node-1", labels={"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}),
    Node(name="node-2", labels={"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}),
)


def known(name: str = "web", image: str = IMAGE, image_id: str = "x@sha256:1") -> dict[str, Any]:
    """Return what a status says of a pulled container."""
    return {"name": name, "image": image, "imageID": image_id}


def running(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the status of a running Pod."""
    return {"phase": "Running", "containerStatuses": list(entries or (known(),)), **more}


def affinity(*, field: str, key: str, value: str, operator: str = "In") -> dict[str, Any]:
    """Return a required node affinity of one term."""
    term = {field: [{"key": key, "operator": operator, "values": [value]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"nodeAffinity": required}


@pytest.mark.parametrize(
    ("some", "step"),
    [
        pytest.param(pod(), Run(images=(IMAGE,)), id="a bound pod is run"),
        pytest.param(pod(status=running()), Rest(), id="a running pod is left alone"),
        pytest.param(pod(node="real"), Rest(), id="another kubelet's pod is left alone"),
        pytest.param(terminating(pod()), Remove(), id="a terminating pod is removed"),
        pytest.param(terminating(pod(node="real")), Rest(), id="but not another kubelet's"),
        pytest.param(terminating(pod(node=None)), Rest(), id="nor an unbound one"),
        pytest.param(pod(node=None, schedulerName="mine"), Rest(), id="own scheduler"),
        pytest.param(pod(status={"phase": "Failed"}), Rest(), id="a failed pod stays so"),
        pytest.param(pod(status={"phase": "Succeeded"}), Rest(), id="a finished one too"),
        pytest.param(
            pod(status=running(), owner="Job"), Finish(), id="a job's running pod finishes"
        ),
        pytest.param(
            pod(status=running(known(image_id=""))), Run(images=(IMAGE,)), id="no digest yet"
        ),
        pytest.param(
            pod(status=running(known(image="old:1"))), Run(images=(IMAGE,)), id="image replaced"
        ),
        pytest.param(
            pod(
                status=running(),
                ephemeralContainers=[container("debug", "127.0.0.1:5000/debug:1")],
            ),
            Run(images=("127.0.0.1:5000/debug:1",)),
            id="an ephemeral container is added",
        ),
        pytest.param(
            pod(container("a", "z:1"), container("b", "y:1"), container("c", "z:1")),
            Run(images=("y:1", "z:1")),
            id="each image once",
        ),
    ],
)
def test_the_next_step_follows_from_the_pod_alone(some: dict[str, Any], step: Step) -> None:
    """No memory: after a restart the same Pod gets the same step."""
    assert next_step(some, NODES) == step


@pytest.mark.parametrize(
    ("spec", "node"),
    [
        ({"nodeSelector": {"kubernetes.io/arch": "arm64"}}, "node-2"),
        ({"nodeSelector": {"kubernetes.io/arch": "amd64"}}, "node-1"),
        (
            {"affinity": affinity(field="matchFields", key="metadata.name", value="node-2")},
            "node-2",
        ),
        (
            {
                "affinity": affinity(
                    field="matchExpressions", key="kubernetes.io/arch", value="amd64"
                )
            },
            "node-1",
        ),
    ],
)
def test_a_pod_goes_where_it_may(spec: dict[str, Any], node: str) -> None:
    """A DaemonSet names the node by field; images for another platform by label."""
    assert next_step(pod(node=None, **spec), NODES) == Bind(node=node)


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"kubernetes.io/arch": "s390x"}},
        {"affinity": affinity(field="matchExpressions", key="gpu", value="yes", operator="Exists")},
    ],
)
def test_a_pod_that_fits_nowhere_waits(spec: dict[str, Any]) -> None:
    """An operator that we do not know must not place the Pod wrongly."""
    assert next_step(pod(node=None, **spec), NODES) == Rest()


def test_without_nodes_every_pod_waits() -> None:
    """Nothing is bound to a node that does not exist: the Pod would be deleted as orphaned."""
    assert next_step(pod(node=None), ()) == Rest()


def test_pods_spread_over_the_nodes() -> None:
    """Images are pulled once per node, so tests need Pods on both."""
    chosen = set()
    for number in range(20):
        some = pod(node=None)
        some["metadata"]["uid"] = f"uid-{number}"
        chosen.add(next_step(some, NODES))
    assert chosen == {Bind(node="node-1"), Bind(node="node-2")}
