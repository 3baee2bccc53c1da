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

from common.kube.protobuf.messages import MisfitError, Parsed, contents, message_class, parse
from common.kube.protobuf.remembered import Remembered
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

_TEXT_ENTRY: Final = message_class("TextEntry")
_OWNER: Final = message_class("OwnerReference")
# An object's events come in bursts, when it starts and when it ends; 4,096 specs are 3 MB. What the
# Pods of one owner have in common changes more rarely.
_OBJECTS: Final = 4096
_OWNERS: Final = 1024
_PRESENT: Final = Presence()
# The states of a container that waits for nothing, by whether it runs and whether it has ended.
_CALM: Final = {
    (running, ended): ContainerState(
        running=_PRESENT if running else None, terminated=_PRESENT if ended else None
    )
    for running in (False, True)
    for ended in (False, True)
}


class Reader:
    """Reads objects of one kind."""

    def __init__(self, kind: str) -> None:
        """Raise KeyError for a kind that the schema does not know."""
        self._build = _BUILDERS[kind]
        self._build_wrapped = _WatchedPods().build if kind == "Pod" else self._build
        self._message = message_class(kind)
        self._wrapped = message_class(f"Wrapped{kind}")

    def read(self, raw: bytes) -> Readable:
        """Return an object. Raises MisfitError, also for a time that no calendar has."""
        return _built(self._build, parse(self._message, raw))

    def read_wrapped(self, data: bytes) -> Readable:
        """Return an object from its envelope. Raises MisfitError as `read` does."""
        return _built(self._build_wrapped, parse(self._wrapped, contents(data)).raw)


def _built(build: Callable[[Parsed], Readable], message: Parsed) -> Readable:
    try:
        return build(message)
    except (ValueError, OverflowError, OSError) as exc:  # what `fromtimestamp` raises
        raise MisfitError(str(exc)) from exc


def has_schema(kind: str) -> bool:
    """Return whether objects of that kind can be read."""
    return kind in _BUILDERS


# --- Metadata -----------------------------------------------------------------------------------


def _meta(found: Parsed) -> ObjectMeta:
    labels, annotations = found.labels, found.annotations
    return _meta_with(
        found,
        labels={key: labels[key] for key in labels} or None,
        annotations={key: annotations[key] for key in annotations} or None,
        owners=tuple([_owner(each) for each in found.ownerReferences]) or None,
    )


def _meta_with(
    found: Parsed,
    *,
    labels: dict[str, str] | None,
    annotations: dict[str, str] | None,
    owners: tuple[Owner, ...] | None,
) -> ObjectMeta:
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


def _owner(found: Parsed) -> Owner:
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
        metadata=_meta(found.metadata), spec=_pod_spec(found.spec), status=_pod_status(found.status)
    )


def _pod_spec(found: Parsed) -> PodSpec:
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
    return tuple([_status(each) for each in found])


def _status(found: Parsed) -> ContainerStatus:
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


def _texts(raws: tuple[bytes, ...]) -> dict[str, str] | None:
    """Return the map of these entries; the last of one key counts, as protobuf will have it."""
    entries = [parse(_TEXT_ENTRY, raw) for raw in raws]
    return {entry.key: entry.value for entry in entries} or None


def _owners(raws: tuple[bytes, ...]) -> tuple[Owner, ...] | None:
    return tuple([_owner(parse(_OWNER, raw)) for raw in raws]) or None


class _WatchedPods:
    """Builds Pods of events: nine of ten say that a condition has changed, and nothing else."""

    def __init__(self) -> None:
        spec, status = message_class("PodSpec"), message_class("ContainerStatus")
        self._spec: Remembered[bytes, PodSpec] = Remembered(
            lambda raw: _pod_spec(parse(spec, raw)), most=_OBJECTS
        )
        self._status: Remembered[bytes, ContainerStatus] = Remembered(
            lambda raw: _status(parse(status, raw)), most=_OBJECTS
        )
        self._texts = Remembered(_texts, most=_OWNERS)
        self._owners = Remembered(_owners, most=_OWNERS)

    def build(self, found: Parsed) -> Pod:
        status = found.status
        return Pod(
            metadata=self._meta(found.metadata),
            spec=self._spec(found.spec),
            status=PodStatus(
                phase=status.phase,
                container_statuses=self._statuses(status.containerStatuses),
                init_container_statuses=self._statuses(status.initContainerStatuses),
                ephemeral_container_statuses=self._statuses(status.ephemeralContainerStatuses),
            ),
        )

    def _meta(self, found: Parsed) -> ObjectMeta:
        return _meta_with(
            found,
            labels=self._texts(tuple(found.labels)),
            annotations=self._texts(tuple(found.annotations)),
            owners=self._owners(tuple(found.ownerReferences)),
        )

    def _statuses(self, found: Sequence[bytes]) -> tuple[ContainerStatus, ...] | None:
        return tuple([self._status(each) for each in found]) if found else None


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
    return PodTemplate(metadata=_meta(found.metadata), spec=_pod_spec(found.spec))


_BUILDERS: dict[str, Callable[[Parsed], Readable]] = {
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
