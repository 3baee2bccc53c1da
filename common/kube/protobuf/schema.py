"""The fields that we read, with the numbers that Kubernetes' `generated.proto` files give them.

A number never changes its meaning: it is part of the API. Everything that is not named here is
skipped by the parser. A test compares each line with the `.proto` files wherever a sandbox was
built. Pure data: no `protoc`, neither at build nor at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias


class Field(NamedTuple):
    """One field of a message."""

    number: int
    type: str  # string, bytes, bool, int32, int64, map<string, string>, or a message's name
    repeated: bool = False


Fields: TypeAlias = Mapping[str, Field]

TEXT_MAP = "map<string, string>"


def _many(number: int, type_: str) -> Field:
    return Field(number, type_, repeated=True)


def _kind(name: str) -> Fields:
    """Return the fields of a kind: all of them have the same three."""
    return {
        "metadata": Field(1, "ObjectMeta"),
        "spec": Field(2, f"{name}Spec"),
        "status": Field(3, f"{name}Status"),
    }


def _pods_of(template: int) -> Fields:
    """Return the fields of the spec of a workload whose Pods are not counted there."""
    return {"template": Field(template, "PodTemplateSpec")}


def _replicas_of(template: int) -> Fields:
    return {"replicas": Field(1, "int32"), **_pods_of(template)}


def _counts(replicas: int, ready: int) -> Fields:
    return {"replicas": Field(replicas, "int32"), "readyReplicas": Field(ready, "int32")}


_RUNTIME: Mapping[str, Fields] = {
    "Unknown": {"typeMeta": Field(1, "TypeMeta"), "raw": Field(2, "bytes")},
    "TypeMeta": {"kind": Field(2, "string")},
    "RawExtension": {"raw": Field(1, "bytes")},
}

_META: Mapping[str, Fields] = {
    "WatchEvent": {"type": Field(1, "string"), "object": Field(2, "RawExtension")},
    "ListMeta": {"resourceVersion": Field(2, "string"), "continue": Field(3, "string")},
    "Status": {
        "message": Field(3, "string"),
        "reason": Field(4, "string"),
        "details": Field(5, "StatusDetails"),
        "code": Field(6, "int32"),
    },
    "StatusDetails": {"causes": _many(4, "StatusCause"), "retryAfterSeconds": Field(5, "int32")},
    "StatusCause": {"reason": Field(1, "string")},
    "Time": {"seconds": Field(1, "int64")},  # nanos are never set
    "OwnerReference": {
        "kind": Field(1, "string"),
        "name": Field(3, "string"),
        "uid": Field(4, "string"),
        "apiVersion": Field(5, "string"),
        "controller": Field(6, "bool"),
    },
    "ObjectMeta": {
        "name": Field(1, "string"),
        "namespace": Field(3, "string"),
        "uid": Field(5, "string"),
        "resourceVersion": Field(6, "string"),
        "generation": Field(7, "int64"),
        "creationTimestamp": Field(8, "Time"),
        "deletionTimestamp": Field(9, "Time"),
        "labels": Field(11, TEXT_MAP),
        "annotations": Field(12, TEXT_MAP),
        "ownerReferences": _many(13, "OwnerReference"),
    },
    "PartialObjectMetadata": {"metadata": Field(1, "ObjectMeta")},
}

_CORE: Mapping[str, Fields] = {
    "Pod": _kind("Pod"),
    "PodSpec": {
        "containers": _many(2, "Container"),
        "nodeSelector": Field(7, TEXT_MAP),
        "serviceAccountName": Field(8, "string"),
        "nodeName": Field(10, "string"),
        "imagePullSecrets": _many(15, "LocalObjectReference"),
        "affinity": Field(18, "Affinity"),
        "initContainers": _many(20, "Container"),
        "ephemeralContainers": _many(34, "EphemeralContainer"),
    },
    "Affinity": {"nodeAffinity": Field(1, "NodeAffinity")},
    "NodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": Field(1, "NodeSelector")},
    "NodeSelector": {"nodeSelectorTerms": _many(1, "NodeSelectorTerm")},
    "NodeSelectorTerm": {"matchExpressions": _many(1, "NodeSelectorRequirement")},
    "NodeSelectorRequirement": {
        "key": Field(1, "string"),
        "operator": Field(2, "string"),
        "values": _many(3, "string"),
    },
    "Container": {"name": Field(1, "string"), "image": Field(2, "string")},
    "EphemeralContainer": {"ephemeralContainerCommon": Field(1, "EphemeralContainerCommon")},
    "EphemeralContainerCommon": {"name": Field(1, "string"), "image": Field(2, "string")},
    "LocalObjectReference": {"name": Field(1, "string")},
    "PodStatus": {
        "phase": Field(1, "string"),
        "containerStatuses": _many(8, "ContainerStatus"),
        "initContainerStatuses": _many(10, "ContainerStatus"),
        "ephemeralContainerStatuses": _many(13, "ContainerStatus"),
    },
    "ContainerStatus": {
        "name": Field(1, "string"),
        "state": Field(2, "ContainerState"),
        "image": Field(6, "string"),
        "imageID": Field(7, "string"),
    },
    "ContainerState": {
        "waiting": Field(1, "ContainerStateWaiting"),
        "running": Field(2, "ContainerStateRunning"),
        "terminated": Field(3, "ContainerStateTerminated"),
    },
    "ContainerStateWaiting": {"reason": Field(1, "string"), "message": Field(2, "string")},
    "ContainerStateRunning": {},
    "ContainerStateTerminated": {},
    "Node": {"metadata": Field(1, "ObjectMeta"), "status": Field(3, "NodeStatus")},
    "NodeStatus": {"nodeInfo": Field(7, "NodeSystemInfo")},
    "NodeSystemInfo": {
        "kernelVersion": Field(4, "string"),
        "osImage": Field(5, "string"),
        "containerRuntimeVersion": Field(6, "string"),
        "kubeletVersion": Field(7, "string"),
        "operatingSystem": Field(9, "string"),
        "architecture": Field(10, "string"),
    },
    "PodTemplateSpec": {"metadata": Field(1, "ObjectMeta"), "spec": Field(2, "PodSpec")},
    "ReplicationController": _kind("ReplicationController"),
    "ReplicationControllerSpec": _replicas_of(3),
    "ReplicationControllerStatus": _counts(1, 4),
}

_APPS: Mapping[str, Fields] = {
    "Deployment": _kind("Deployment"),
    "DeploymentSpec": _replicas_of(3),
    "DeploymentStatus": _counts(2, 7),
    "ReplicaSet": _kind("ReplicaSet"),
    "ReplicaSetSpec": _replicas_of(3),
    "ReplicaSetStatus": _counts(1, 4),
    "StatefulSet": _kind("StatefulSet"),
    "StatefulSetSpec": _replicas_of(3),
    "StatefulSetStatus": _counts(2, 3),
    "DaemonSet": _kind("DaemonSet"),
    "DaemonSetSpec": _pods_of(2),
    "DaemonSetStatus": {},
}

_BATCH: Mapping[str, Fields] = {
    "Job": _kind("Job"),
    "JobSpec": _pods_of(6),
    "JobStatus": {},
    "CronJob": {"metadata": Field(1, "ObjectMeta"), "spec": Field(2, "CronJobSpec")},
    "CronJobSpec": {"jobTemplate": Field(5, "JobTemplateSpec")},
    "JobTemplateSpec": {"spec": Field(2, "JobSpec")},
}

# By the folder of the `generated.proto` that has them; no two of these share a message's name.
SOURCES: Mapping[str, Mapping[str, Fields]] = {
    "apimachinery/pkg/runtime": _RUNTIME,
    "apimachinery/pkg/apis/meta/v1": _META,
    "api/core/v1": _CORE,
    "api/apps/v1": _APPS,
    "api/batch/v1": _BATCH,
}

# The kinds that are read as a whole.
KINDS = (
    "PartialObjectMetadata",
    "Pod",
    "Node",
    "ReplicationController",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
)

# Other views of the same bytes. An envelope whose contents are known is parsed in one go, which
# saves a parse and a copy of the object for each event. Every list has its parts at 1 and 2; its
# items are left as bytes, so that one that cannot be read costs only itself. A name is read alone
# where even the metadata does not fit. Of a Pod in an event the parts that rarely change are left
# as bytes too (`remembered`).
VIEWS: Mapping[str, Fields] = {
    **{f"Wrapped{kind}": {"raw": Field(2, kind)} for kind in KINDS},
    "WrappedPod": {"raw": Field(2, "WatchedPod")},
    "WatchedPod": {
        "metadata": Field(1, "WatchedMeta"),
        "spec": Field(2, "bytes"),
        "status": Field(3, "WatchedPodStatus"),
    },
    "WatchedMeta": {
        **_META["ObjectMeta"],
        "labels": _many(11, "bytes"),
        "annotations": _many(12, "bytes"),
        "ownerReferences": _many(13, "bytes"),
    },
    "TextEntry": {"key": Field(1, "string"), "value": Field(2, "string")},
    "WatchedPodStatus": {
        "phase": Field(1, "string"),
        "containerStatuses": _many(8, "bytes"),
        "initContainerStatuses": _many(10, "bytes"),
        "ephemeralContainerStatuses": _many(13, "bytes"),
    },
    "AnyList": {"metadata": Field(1, "ListMeta"), "items": _many(2, "bytes")},
    "Named": {"metadata": Field(1, "NameMeta")},
    "NameMeta": {
        "name": Field(1, "string"),
        "namespace": Field(3, "string"),
        "uid": Field(5, "string"),
        "resourceVersion": Field(6, "string"),
    },
}

MESSAGES: Mapping[str, Fields] = {
    name: fields for messages in (*SOURCES.values(), VIEWS) for name, fields in messages.items()
}
