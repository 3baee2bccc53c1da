"""Kubernetes objects for tests: a name, and modifiers for what matters to the case.

    pod("web-1", controlled_by("ReplicaSet", "web"), runs("app", digest("a")))

Objects are built as JSON and decoded by the product's own partial structs, so a test sees what the
decoder would deliver. Every object has a uid derived from kind, namespace and name unless a
modifier (`uid`) says otherwise, so that owners and owned agree without further words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

from common.kube.wire import CronJob, Node, PartialObject, Pod, Workload
from common.model.key import WorkloadKey
from common.reports import labels as report_names
from common.reports.stamp import Stamp, StampArtifact, render
from watcher.stream.catalog import BY_RESOURCE
from watcher.stream.change import Change, Decoded, Op

Body: TypeAlias = dict[str, Any]
Modifier: TypeAlias = Callable[[Body], None]

T = TypeVar("T", bound=Decoded)

MADE_AT = "2026-11-25T10:00:00Z"
NAMESPACE = "shop"

_GROUPS = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1"}
_GROUPS |= {"Deployment": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1"}
_RESOURCES = {row.kind: row.resource for row in BY_RESOURCE.values()}


def digest(seed: str) -> str:
    """Return a well-formed digest that differs for every seed."""
    return f"sha256:{hashlib.sha256(seed.encode()).hexdigest()}"


def uid_of(kind: str, name: str, namespace: str = NAMESPACE) -> str:
    """Return the uid that objects of that name get."""
    return f"uid-{kind}-{namespace}-{name}".lower()


def key(kind: str, name: str, namespace: str = NAMESPACE) -> WorkloadKey:
    """Return a workload's key."""
    return WorkloadKey(kind=kind, namespace=namespace, name=name)


# --- objects --------------------------------------------------------------------------------------


def pod(name: str, *modifiers: Modifier) -> Pod:
    """Return a running Pod with one container `app` of image `app:1`, not yet told by a kubelet."""
    body = _body("Pod", name, spec=_pod_spec(), status={"phase": "Running"})
    return _decoded(body, modifiers, Pod)


def replica_set(name: str, *modifiers: Modifier) -> Workload:
    """Return a ReplicaSet without a controller."""
    return _decoded(_body("ReplicaSet", name, spec=_templated()), modifiers, Workload)


def workload(kind: str, name: str, *modifiers: Modifier) -> Workload:
    """Return an object of a kind that holds a pod template directly."""
    return _decoded(_body(kind, name, spec=_templated()), modifiers, Workload)


def deployment(name: str, *modifiers: Modifier) -> Workload:
    """Return a Deployment without a revision."""
    return workload("Deployment", name, *modifiers)


def cron_job(name: str, *modifiers: Modifier) -> CronJob:
    """Return a CronJob."""
    spec = {"jobTemplate": {"spec": _templated()}}
    return _decoded(_body("CronJob", name, spec=spec), modifiers, CronJob)


def node(
    name: str, architecture: str = "amd64", operating_system: str = "linux", *modifiers: Modifier
) -> Node:
    """Return a Node that reports its platform."""
    info = {"operatingSystem": operating_system, "architecture": architecture}
    body = _body("Node", name, status={"nodeInfo": info})
    del body["metadata"]["namespace"]
    return _decoded(body, modifiers, Node)


def report(kind: str, name: str, *modifiers: Modifier) -> PartialObject:
    """Return a report's metadata: managed, version 1, generation 1, no owner and no stamp."""
    body = _body(kind, name)
    body["metadata"]["labels"] = {report_names.MANAGED_BY: report_names.MANAGER}
    return _decoded(body, modifiers, PartialObject)


# --- modifiers: metadata --------------------------------------------------------------------------


def in_namespace(namespace: str) -> Modifier:
    """Move the object to another namespace."""

    def change(body: Body) -> None:
        body["metadata"]["namespace"] = namespace
        body["metadata"]["uid"] = uid_of(body["kind"], body["metadata"]["name"], namespace)

    return change


def with_uid(uid: str) -> Modifier:
    """Make it another object of the same name."""
    return _meta("uid", uid)


def labelled(labels: dict[str, str]) -> Modifier:
    """Add labels."""
    return lambda body: body["metadata"].setdefault("labels", {}).update(labels)


def annotated(annotations: dict[str, str]) -> Modifier:
    """Add annotations."""
    return lambda body: body["metadata"].setdefault("annotations", {}).update(annotations)


def revision(number: int) -> Modifier:
    """Set the Deployment revision that a ReplicaSet or Deployment carries."""
    return annotated({"deployment.kubernetes.io/revision": str(number)})


def created_at(moment: str) -> Modifier:
    """Set the creation time (RFC 3339)."""
    return _meta("creationTimestamp", moment)


def terminating() -> Modifier:
    """Mark the object as being deleted."""
    return _meta("deletionTimestamp", MADE_AT)


def versioned(version: int) -> Modifier:
    """Set the resourceVersion."""
    return _meta("resourceVersion", str(version))


def controlled_by(
    kind: str, name: str, *, uid: str | None = None, api_version: str | None = None
) -> Modifier:
    """Set the controlling owner; `uid` None: the one that `uid_of` gives."""

    def change(body: Body) -> None:
        namespace = body["metadata"].get("namespace", "")
        body["metadata"]["ownerReferences"] = [
            {
                "apiVersion": api_version or _GROUPS.get(kind, "v1"),
                "kind": kind,
                "name": name,
                "uid": uid_of(kind, name, namespace) if uid is None else uid,
                "controller": True,
            }
        ]

    return change


# --- modifiers: specification ---------------------------------------------------------------------


def container(name: str, image: str, *, role: str = "container") -> Modifier:
    """Add a container; the first one with a role replaces the default `app`."""

    def change(body: Body) -> None:
        spec = _spec_of(body)
        field = {"container": "containers", "init": "initContainers"}.get(
            role, "ephemeralContainers"
        )
        listed = [one for one in spec.get(field, []) if one != _APP]
        spec[field] = [*listed, {"name": name, "image": image}]

    return change


def service_account(name: str) -> Modifier:
    """Set the ServiceAccount."""
    return lambda body: _spec_of(body).update(serviceAccountName=name)


def pull_secret(name: str) -> Modifier:
    """Add an image pull secret."""
    return lambda body: _spec_of(body).setdefault("imagePullSecrets", []).append({"name": name})


def on_node(name: str) -> Modifier:
    """Bind a Pod to a node."""
    return lambda body: body["spec"].update(nodeName=name)


# --- modifiers: what kubelets tell ----------------------------------------------------------------


def phase(name: str) -> Modifier:
    """Set a Pod's phase."""
    return lambda body: body["status"].update(phase=name)


def runs(container_name: str, image_digest: str, *, image_id: str | None = None) -> Modifier:
    """Tell the digest of a container; `image_id` overrides the kubelet's spelling."""
    text = f"registry.example/app@{image_digest}" if image_id is None else image_id
    return _status({"name": container_name, "imageID": text, "state": {"running": {}}})


def waits(container_name: str, reason: str) -> Modifier:
    """Let a container wait for a reason."""
    return _status({"name": container_name, "state": {"waiting": {"reason": reason}}})


def node_info(**told: str) -> Modifier:
    """Add to what a kubelet reports of its node, by the API's names."""
    return lambda body: body["status"]["nodeInfo"].update(told)


def noise(number: int) -> Modifier:
    """Change what no report depends on: conditions, restart counts, addresses."""

    def change(body: Body) -> None:
        body["metadata"]["resourceVersion"] = str(number)
        body.setdefault("status", {})["podIP"] = f"10.0.0.{number % 250}"
        body["status"]["conditions"] = [{"type": "Ready", "lastProbeTime": number}]
        body["status"]["replicas"] = number

    return change


# --- modifiers: reports ---------------------------------------------------------------------------


def stamped(
    content_hash: str = "0" * 32,
    *,
    epoch: int = 1,
    generation: int = 1,
    summary: dict[str, int] | None = None,
    artifact: StampArtifact | None = None,
) -> Modifier:
    """Put our stamp on a report."""
    stamp = Stamp(
        content_hash=content_hash,
        epoch=epoch,
        generation=generation,
        summary=summary or {},
        artifact=artifact or StampArtifact(),
    )
    return annotated(render(stamp))


def generation(number: int) -> Modifier:
    """Set metadata.generation."""
    return _meta("generation", number)


def about(kind: str, name: str, container_name: str = "app", *, uid: str | None = None) -> Modifier:
    """Make it the report about a container of a workload: its owner, and the labels that say so."""

    def change(body: Body) -> None:
        namespace = body["metadata"].get("namespace", "")
        controlled_by(kind, name, uid=uid)(body)
        labelled({report_names.CONTAINER_NAME: container_name})(body)
        labelled(report_names.naming_labels(kind, namespace, name))(body)

    return change


# --- changes --------------------------------------------------------------------------------------


def upsert(found: Decoded, *, kind: str = "") -> Change:
    """Return the change that says an object is there; `kind` where its type serves several."""
    meta = found.metadata
    return Change(
        resource=_RESOURCES[kind or type(found).__name__],
        op=Op.UPSERT,
        key=meta.key,
        uid=meta.uid,
        version=meta.version,
        object=found,
    )


def delete(found: Decoded, *, kind: str = "") -> Change:
    """Return the change that says an object is gone."""
    return msgspec.structs.replace(upsert(found, kind=kind), op=Op.DELETE, object=None)


# --- plumbing -------------------------------------------------------------------------------------

_APP = {"name": "app", "image": "app:1"}


def _pod_spec() -> Body:
    return {"containers": [dict(_APP)]}


def _templated() -> Body:
    return {"template": {"spec": _pod_spec()}}


def _body(kind: str, name: str, **parts: Body) -> Body:
    meta = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid_of(kind, name),
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": MADE_AT,
    }
    return {"kind": kind, "metadata": meta, **parts}


def _decoded(body: Body, modifiers: tuple[Modifier, ...], as_type: type[T]) -> T:
    for modify in modifiers:
        modify(body)
    return msgspec.json.decode(msgspec.json.encode(body), type=as_type)


def _meta(field: str, value: object) -> Modifier:
    return lambda body: body["metadata"].update({field: value})


def _spec_of(body: Body) -> Body:
    """Return the pod spec, wherever the kind keeps it."""
    spec: Body = body["spec"]
    if body["kind"] == "Pod":
        return spec
    if body["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Body = spec["template"]["spec"]
    return found


def _status(status: Body) -> Modifier:
    def change(body: Body) -> None:
        body["status"].setdefault("containerStatuses", []).append(status)

    return change
