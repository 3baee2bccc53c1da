"""From messages to the structs of `common.kube.wire`, which is what everybody else reads.

The message itself goes no further: it holds the whole object, unknown fields included (10 KB for a
Pod, where the struct takes less than half), and a queue of them would be most of our memory.
Total but for MisfitError. Equal objects give equal structs, whichever encoding brought them.

This runs on every event of every Pod, where each attribute costs 60 ns: so there are lists, faster
than generators, and no look into what is most often empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from common.kube.protobuf.messages import Parsed
from common.kube.wire import (
    Affinity,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    CronJob,
    CronJobSpec,
    JobTemplate,
    LocalReference,
    Node,
    NodeAffinity,
    NodeExpression,
    NodeInfo,
    NodeStatus,
    NodeTerm,
    NodeTerms,
    ObjectMeta,
    Owner,
    PartialObject,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplate,
    Presence,
    Waiting,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)

Readable: TypeAlias = Pod | Node | Workload | CronJob | PartialObject

METADATA_ONLY = "PartialObjectMetadata"

_PRESENT: Final = Presence()
# The states of a container that waits for nothing, by whether it runs and whether it has ended.
_CALM: Final = {
    (running, ended): ContainerState(
        running=_PRESENT if running else None, terminated=_PRESENT if ended else None
    )
    for running in (False, True)
    for ended in (False, True)
}


# --- Metadata -----------------------------------------------------------------------------------


def _meta(found: Parsed) -> ObjectMeta:
    labels, annotations = found.labels, found.annotations
    return meta_with(
        found,
        labels={key: labels[key] for key in labels} or None,
        annotations={key: annotations[key] for key in annotations} or None,
        owners=tuple([owner_of(each) for each in found.ownerReferences]) or None,
    )


def meta_with(
    found: Parsed,
    *,
    labels: dict[str, str] | None,
    annotations: dict[str, str] | None,
    owners: tuple[Owner, ...] | None,
) -> ObjectMeta:
    """Return metadata, of which some parts were read already."""
    return ObjectMeta(
        name=found.name,
        namespace=found.namespace,
        uid=found.uid,
        resource_version=found.resourceVersion,
        generation=found.generation,
        labels=labels,
        annotations=annotations,
        owner_references=owners,
        creation_timestamp=_moment(found.creationTimestamp),
        deletion_timestamp=(
            _moment(found.deletionTimestamp) if found.HasField("deletionTimestamp") else None
        ),
    )


def _moment(found: Parsed) -> datetime | None:
    """Return a time; the server sends "never" as a message without seconds."""
    seconds = found.seconds
    if seconds or found.HasField("seconds"):
        return datetime.fromtimestamp(seconds, UTC)
    return None


def owner_of(found: Parsed) -> Owner:
    """Return an owner reference."""
    return Owner(
        api_version=found.apiVersion,
        kind=found.kind,
        name=found.name,
        uid=found.uid,
        controller=found.controller if found.HasField("controller") else None,
    )


def _partial(found: Parsed) -> PartialObject:
    return PartialObject(metadata=_meta(found.metadata))


# --- Pods and nodes -----------------------------------------------------------------------------


def _pod(found: Parsed) -> Pod:
    return Pod(
        metadata=_meta(found.metadata), spec=pod_spec(found.spec), status=_pod_status(found.status)
    )


def pod_spec(found: Parsed) -> PodSpec:
    """Return a Pod's specification."""
    pull_secrets, ephemeral = found.imagePullSecrets, found.ephemeralContainers
    return PodSpec(
        node_name=found.nodeName,
        service_account_name=found.serviceAccountName,
        image_pull_secrets=(
            tuple([LocalReference(name=each.name) for each in pull_secrets])
            if pull_secrets
            else None
        ),
        containers=_containers(found.containers),
        init_containers=_containers(found.initContainers),
        ephemeral_containers=(
            _containers([each.ephemeralContainerCommon for each in ephemeral])
            if ephemeral
            else None
        ),
        node_selector=dict(found.nodeSelector) or None,
        affinity=_affinity(found.affinity) if found.HasField("affinity") else None,
    )


def _affinity(found: Parsed) -> Affinity:
    if not found.HasField("nodeAffinity"):
        return Affinity()
    required = found.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    if not found.nodeAffinity.HasField("requiredDuringSchedulingIgnoredDuringExecution"):
        return Affinity(node_affinity=NodeAffinity())
    terms = tuple([_node_term(term) for term in required.nodeSelectorTerms])
    return Affinity(node_affinity=NodeAffinity(required=NodeTerms(terms=terms or None)))


def _node_term(found: Parsed) -> NodeTerm:
    expressions = [
        NodeExpression(key=one.key, operator=one.operator, values=tuple(one.values) or None)
        for one in found.matchExpressions
    ]
    return NodeTerm(expressions=tuple(expressions) or None)


def _containers(found: Sequence[Parsed]) -> tuple[ContainerSpec, ...] | None:
    if not found:
        return None
    return tuple([ContainerSpec(name=each.name, image=each.image) for each in found])


def _pod_status(found: Parsed) -> PodStatus:
    return PodStatus(
        phase=found.phase,
        container_statuses=_statuses(found.containerStatuses),
        init_container_statuses=_statuses(found.initContainerStatuses),
        ephemeral_container_statuses=_statuses(found.ephemeralContainerStatuses),
    )


def _statuses(found: Sequence[Parsed]) -> tuple[ContainerStatus, ...] | None:
    if not found:
        return None
    return tuple([container_status(each) for each in found])


def container_status(found: Parsed) -> ContainerStatus:
    """Return what a kubelet tells of one container."""
    return ContainerStatus(
        name=found.name, image=found.image, image_id=found.imageID, state=_state(found.state)
    )


def _state(found: Parsed) -> ContainerState:
    """Return a state; the server does not check that only one of the three is set."""
    running, terminated = found.HasField("running"), found.HasField("terminated")
    if not found.HasField("waiting"):
        return _CALM[running, terminated]
    waiting = found.waiting
    return ContainerState(
        waiting=Waiting(reason=waiting.reason, message=waiting.message),
        running=_PRESENT if running else None,
        terminated=_PRESENT if terminated else None,
    )


def _node(found: Parsed) -> Node:
    info = found.status.nodeInfo
    status = NodeStatus(
        node_info=NodeInfo(
            operating_system=info.operatingSystem,
            architecture=info.architecture,
            kernel_version=info.kernelVersion,
            os_image=info.osImage,
            container_runtime_version=info.containerRuntimeVersion,
            kubelet_version=info.kubeletVersion,
        )
    )
    return Node(metadata=_meta(found.metadata), status=status)


# --- Workloads ----------------------------------------------------------------------------------


def _workload(found: Parsed) -> Workload:
    spec, status = found.spec, found.status
    return Workload(
        metadata=_meta(found.metadata),
        spec=WorkloadSpec(
            replicas=spec.replicas if spec.HasField("replicas") else None,
            template=_template(spec.template),
        ),
        status=WorkloadStatus(replicas=status.replicas, ready_replicas=status.readyReplicas),
    )


def _uncounted(found: Parsed) -> Workload:
    """Read a DaemonSet or a Job: nobody asks for a number of replicas."""
    return Workload(
        metadata=_meta(found.metadata), spec=WorkloadSpec(template=_template(found.spec.template))
    )


def _cron_job(found: Parsed) -> CronJob:
    template = _template(found.spec.jobTemplate.spec.template)
    job = JobTemplate(spec=WorkloadSpec(template=template))
    return CronJob(metadata=_meta(found.metadata), spec=CronJobSpec(job_template=job))


def _template(found: Parsed) -> PodTemplate:
    return PodTemplate(metadata=_meta(found.metadata), spec=pod_spec(found.spec))


BUILDERS: dict[str, Callable[[Parsed], Readable]] = {
    METADATA_ONLY: _partial,
    "Pod": _pod,
    "Node": _node,
    "ReplicationController": _workload,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _uncounted,
    "Job": _uncounted,
    "CronJob": _cron_job,
}
