"""What is read of Kubernetes objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest

from common.kube.envelopes import ObjectList, Status, WatchEvent
from common.kube.wire import (
    CronJob,
    Node,
    ObjectMeta,
    PartialObject,
    Pod,
    Secret,
    ServiceAccount,
    Workload,
)

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u1",
        "resourceVersion": "42",
        "generation": 3,
        "labels": {"app": "web"},
        "annotations": None,
        "creationTimestamp": "2026-11-25T10:00:00Z",
        "deletionTimestamp": "2026-11-25T11:00:00Z",
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u0"},
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "web",
                "uid": "u2",
                "controller": True,
                "blockOwnerDeletion": True,
            },
        ],
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
    },
    "spec": {
        "nodeName": "node-a",
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "regcred"}],
        "initContainers": [{"name": "prepare", "image": "busybox"}],
        "containers": [{"name": "app", "image": "nginx:1", "env": [{"name": "A", "value": "B"}]}],
        "ephemeralContainers": [{"name": "debug", "image": "alpine", "targetContainerName": "app"}],
    },
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "app",
                "image": "docker.io/library/nginx:1",
                "imageID": "docker.io/library/nginx@sha256:abc",
                "state": {"running": {"startedAt": "2026-11-25T10:00:05Z"}},
                "lastState": {},
            }
        ],
        "initContainerStatuses": [
            {"name": "prepare", "imageID": "x", "state": {"terminated": {"exitCode": 0}}}
        ],
        "ephemeralContainerStatuses": [
            {
                "name": "debug",
                "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}},
            }
        ],
    },
}
TEMPLATE = {
    "metadata": {"creationTimestamp": None, "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "app", "image": "nginx"}], "serviceAccountName": "runner"},
}


def read(kind: type[Any], body: Any) -> Any:
    """Decode what an API server would send."""
    return msgspec.json.decode(orjson.dumps(body), type=kind)


def test_a_pod_is_read_with_everything_that_scans_depend_on() -> None:
    """A field that is missed here is a change that nobody sees."""
    pod = read(Pod, POD)
    assert pod.metadata.key == "shop/web-1"
    assert pod.metadata.version == 42
    assert pod.metadata.generation == 3
    assert pod.metadata.creation_timestamp == datetime(2026, 11, 25, 10, tzinfo=UTC)
    assert pod.metadata.deletion_timestamp is not None
    assert pod.spec.node_name == "node-a"
    assert pod.spec.service_account_name == "runner"
    assert [each.name for each in pod.spec.image_pull_secrets] == ["regcred"]
    assert pod.status.phase == "Running"


def test_containers_come_with_their_role_in_spec_and_status() -> None:
    """Init and ephemeral containers run images too."""
    pod = read(Pod, POD)
    assert [(role, each.image) for role, each in pod.spec.by_role()] == [
        ("init", "busybox"),
        ("container", "nginx:1"),
        ("ephemeral", "alpine"),
    ]
    told = pod.status.of_containers()
    assert [each.name for each in told] == ["prepare", "app", "debug"]
    states = {each.name: each.state for each in told}
    assert told[1].image_id == "docker.io/library/nginx@sha256:abc"
    assert states["app"].running is not None
    assert states["app"].waiting is None
    assert states["prepare"].terminated is not None
    assert states["debug"].waiting.reason == "ErrImagePull"


def test_the_controller_is_the_owner_that_says_so() -> None:
    """A Pod may be owned by a Node and controlled by a ReplicaSet."""
    pod = read(Pod, POD)
    assert pod.metadata.controller.kind == "ReplicaSet"
    assert read(PartialObject, {"metadata": {"name": "x"}}).metadata.controller is None


def test_null_is_nothing_where_go_writes_it() -> None:
    """A nil slice or time without `omitempty` is null in Go's JSON."""
    pod = read(Pod, {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}})
    assert list(pod.spec.by_role()) == []
    assert pod.status.of_containers() == ()
    assert read(ObjectList[Pod], {"metadata": {}, "items": None}).items is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("42", 42), ("", 0), ("abc", 0), ("-1", 0), ("4.2", 0), ("²", 0), ("9" * 5000, 0)],
)
def test_a_version_that_is_no_number_is_zero(text: str, number: int) -> None:
    """The API calls it opaque; a server of another make may use letters."""
    assert ObjectMeta(resource_version=text).version == number


def test_a_cluster_scoped_key_is_the_name() -> None:
    """Nodes have no namespace."""
    assert ObjectMeta(name="node-a").key == "node-a"


def test_nodes_tell_their_platform() -> None:
    """The platform of a digest is its node's."""
    node = read(
        Node,
        {
            "metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "arm64"}},
        },
    )
    info = node.status.node_info
    assert (info.operating_system, info.architecture) == ("linux", "arm64")


def test_controllers_and_cron_jobs_show_the_pod_that_they_make() -> None:
    """Seven kinds, two shapes, one way to the template."""
    workload = read(
        Workload,
        {
            "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"app": "web"}, "template": TEMPLATE},
            "status": {"replicas": 2, "readyReplicas": 1},
        },
    )
    cron = read(CronJob, {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}})
    assert workload.spec.replicas == 0
    assert workload.status.ready_replicas == 1
    for template in (workload.template, cron.template):
        assert [each.image for _, each in template.spec.by_role()] == ["nginx"]
    assert read(Workload, {"spec": {}}).spec.replicas is None


def test_a_secret_is_decoded_and_never_shown() -> None:
    """A repr in a traceback would be a leak."""
    secret = read(Secret, {"type": "kubernetes.io/dockerconfigjson", "data": {"k": "aHVudGVyMg=="}})
    assert secret.data == {"k": b"hunter2"}
    assert "hunter2" not in repr(secret)
    assert repr(read(Secret, {})) == "Secret(type='', data=<0 keys>)"


def test_a_service_account_lends_pull_secrets() -> None:
    """The tenant's own credentials, in the order that the account gives."""
    account = read(ServiceAccount, {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]})
    assert [each.name for each in account.image_pull_secrets] == ["a", "b"]


def test_a_status_says_how_long_to_wait_and_why() -> None:
    """ERROR events carry it in the body: there is no header."""
    status = read(
        Status,
        {
            "code": 429,
            "details": {"retryAfterSeconds": 3, "causes": [{"reason": "Busy"}, {"message": "x"}]},
        },
    )
    assert status.retry_after_s == 3
    assert "Busy" in status.causes
    assert Status().retry_after_s is None
    assert Status().causes == frozenset()


def test_events_and_lists_hold_any_type() -> None:
    """One envelope for every resource."""
    event = read(WatchEvent[Pod], {"type": "ADDED", "object": POD})
    page = read(
        ObjectList[Pod],
        {"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [POD]},
    )
    assert event.object.metadata.name == "web-1"
    assert page.metadata.continue_token == "next"  # noqa: S105 - a page, not a password
    assert page.items[0].metadata.name == "web-1"
