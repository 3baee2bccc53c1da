"""From the API server's objects to facts: what is read, how it is normalised. Pure, total.

Here status noise ends: a field that is not read here cannot make work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache

from common.kube.wire import (
    ContainerStatus,
    CronJob,
    Node,
    ObjectMeta,
    Owner,
    Pod,
    PodSpec,
    Workload,
)
from common.model.bounded import whole_number
from common.model.hiding import reference_without_user_info
from common.model.refs import config_of_image_id, digest_of_image_id
from common.model.workload import MOST_PULL_SECRETS, Skips
from watcher.fold.facts import (
    ContainerFact,
    Controller,
    DeploymentFact,
    PodFact,
    Told,
    WorkloadFact,
)
from watcher.fold.nodes import DEFAULT_PLATFORM
from watcher.fold.placement import placement_of

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
# Deployer Pods of OpenShift's DeploymentConfigs: machinery, not workloads (trivy-operator's rule).
DEPLOYER_ANNOTATION = "openshift.io/deployment-config.name"

# trivy-operator's: comma lists that stand in the place of TRIVY_SKIP_FILES and TRIVY_SKIP_DIRS.
SKIP_FILES = "trivy-operator.aquasecurity.github.io/skip-files"
SKIP_DIRS = "trivy-operator.aquasecurity.github.io/skip-dirs"
_SKIPS_LIMIT = 4096  # characters; they go into the row, into the image's uses and to Trivy

# Groups of the kinds that we watch. A controller of another group that borrows a name (Volcano's
# `Job`) is not one of them.
_NATIVE_GROUPS = frozenset({"", "apps", "batch"})
# Of kinds whose Pods have no row of their own. The garbage collector cannot look for an owner of
# another version or group, so such Pods live on, and nobody else would report what they run.
_API_VERSIONS = {
    "ReplicationController": "v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "Pod": "v1",
}
# So many different values are looked up when equal ones come, to keep one of them. Where there are
# more, less is shared, and nothing else happens.
_SHARED = 8192
_FINISHED = frozenset({"Succeeded", "Failed"})
# Source: kubelet, pkg/kubelet/images/types.go. A pull that fails alternates between the error and
# the back-off every few seconds, so all that the kubelet tries again carry one name.
_PULL_ERRORS = {
    "ErrImagePull": "ErrImagePull",
    "ImagePullBackOff": "ErrImagePull",
    "RegistryUnavailable": "ErrImagePull",
    "SignatureValidationFailed": "ErrImagePull",
    "InvalidImageName": "InvalidImageName",
    "ErrImageNeverPull": "ErrImageNeverPull",
    "ImageInspectError": "ImageInspectError",
}


def read_node(node: Node) -> str:
    """Return the node's platform as image keys spell it (`linux-amd64`)."""
    info = node.status.node_info
    if not info.operating_system or not info.architecture:
        return DEFAULT_PLATFORM  # the kubelet has not reported yet
    return sys.intern(f"{info.operating_system}-{info.architecture}")


def read_pod(pod: Pod, shared: Callable[[Controller], Controller]) -> PodFact:
    """Return what a Pod tells its owner's row; `shared` gives the one object of an owner.

    This runs on every event of every Pod: lists, no generators.
    """
    meta, controller = pod.metadata, read_controller(pod.metadata.controller)
    return PodFact(
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        controller=shared(controller) if controller is not None else None,
        created_at=seconds(meta.creation_timestamp),
        finished=pod.status.phase in _FINISHED,
        node=sys.intern(pod.spec.node_name),
        told=_shared_told(tuple([_told(one) for one in pod.status.of_containers() if _tells(one)])),
    )


def read_controller(owner: Owner | None) -> Controller | None:
    """Return the controlling owner; a kind that is not Kubernetes' own carries its group."""
    if owner is None:
        return None
    group = owner.api_version.rpartition("/")[0]
    native = _API_VERSIONS.get(owner.kind, owner.api_version) == owner.api_version
    kind = owner.kind
    if group not in _NATIVE_GROUPS or not native:
        kind = f"{kind}.{group or 'core'}"
    return Controller(kind=sys.intern(kind), name=owner.name, uid=owner.uid)


def read_workload(
    kind: str,
    owned: Pod | Workload | CronJob,
    *,
    copied: Iterable[str],
    skip: str,
    wants: Callable[[str, str], bool],
) -> WorkloadFact:
    """Return what an object of a workload kind says about itself.

    `copied` are the label keys that go onto reports; `skip` is why it must not be scanned; `wants`
    says by role and image which containers are.
    """
    meta = owned.metadata
    spec = owned.spec if isinstance(owned, Pod) else owned.template.spec
    labels = meta.labels or {}
    lent = (spec.image_pull_secrets or ())[:MOST_PULL_SECRETS]
    return WorkloadFact(
        namespace=sys.intern(meta.namespace),
        me=Controller(kind=sys.intern(kind), name=meta.name, uid=meta.uid),
        created_at=seconds(meta.creation_timestamp),
        containers=_containers(spec, wants),
        service_account=sys.intern(spec.service_account_name or "default"),
        pull_secrets=tuple(sys.intern(one.name) for one in lent),
        labels=tuple(sorted((key, labels[key]) for key in copied if key in labels)),
        skip=skip,
        controller=read_controller(meta.controller),
        revision=_revision(meta),
        skips=read_skips(meta.annotations or {}),
        placement=placement_of(spec),
    )


def read_skips(annotations: Mapping[str, str]) -> Skips | None:
    """Return what the annotations say that Trivy must not look at; None: nothing about it."""
    files, folders = _paths(annotations, SKIP_FILES), _paths(annotations, SKIP_DIRS)
    return None if files is None and folders is None else Skips(files=files, dirs=folders)


def _paths(annotations: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """Return an annotation's list in order; too long a one counts as none, so nothing is hidden.

    No file's name holds NUL, and no argument of a program may.
    """
    text = annotations.get(name)
    if text is None or len(text) > _SKIPS_LIMIT:
        return None
    parts = {part.strip() for part in text.split(",") if "\0" not in part}
    return tuple(sorted(parts - {""}))


def read_deployment(meta: ObjectMeta) -> DeploymentFact:
    """Return what a Deployment says about its ReplicaSets."""
    me = Controller(kind="Deployment", name=meta.name, uid=meta.uid)
    return DeploymentFact(me=me, revision=_revision(meta))


def is_deployer(meta: ObjectMeta) -> bool:
    """Return whether a Pod is OpenShift's deployment machinery."""
    return DEPLOYER_ANNOTATION in (meta.annotations or {})


def seconds(moment: datetime | None) -> int:
    """Return Unix seconds; 0 for an object that does not say when it was made, or not well."""
    try:
        return 0 if moment is None else int(moment.timestamp())
    except (ValueError, OverflowError, OSError):  # without a zone, at the calendar's ends
        return 0


def _containers(spec: PodSpec, wants: Callable[[str, str], bool]) -> tuple[ContainerFact, ...]:
    return _shared_containers(
        tuple(
            ContainerFact(
                name=sys.intern(one.name),
                role=role,
                image=sys.intern(reference_without_user_info(one.image)),
            )
            for role, one in spec.by_role()
            if wants(role, one.image)
        )
    )


@lru_cache(maxsize=_SHARED)
def _shared_containers(containers: tuple[ContainerFact, ...]) -> tuple[ContainerFact, ...]:
    """Return one object for all equal ones: the same application runs for many tenants."""
    return containers


@lru_cache(maxsize=_SHARED)
def _shared_told(told: tuple[Told, ...]) -> tuple[Told, ...]:
    """Return one object for all equal ones: Pods of one owner tell the same."""
    return told


def _revision(meta: ObjectMeta) -> int | None:
    return whole_number((meta.annotations or {}).get(REVISION_ANNOTATION, ""))


def _tells(status: ContainerStatus) -> bool:
    waiting = status.state.waiting
    return bool(status.image_id) or (waiting is not None and waiting.reason in _PULL_ERRORS)


def _told(status: ContainerStatus) -> Told:
    waiting = status.state.waiting
    return _told_of(status.name, status.image_id, waiting.reason if waiting else "")


@lru_cache(maxsize=_SHARED)
def _told_of(name: str, image_id: str, waits_for: str) -> Told:
    """Read a status; a configuration's digest is another thing: no registry serves it."""
    return Told(
        container=sys.intern(name),
        digest=sys.intern(digest_of_image_id(image_id) or ""),
        pull_error=_PULL_ERRORS.get(waits_for, ""),
        config=sys.intern(config_of_image_id(image_id) or ""),
    )
