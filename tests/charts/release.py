"""The chart, installed into a real API server as Helm would, and its accounts' tokens."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.kube.cluster import Cluster
from common.kube.session import Session
from sandbox.api import ApiError
from sandbox.controlplane import ControlPlane, kubeconfig
from tests.charts.rendered import CHART, Manifest, Rendered, render
from tests.waiting import eventually

# The strictest of Kubernetes' Pod security standards; admission refuses Pods that break it.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_TOKEN_S = 3600
_NOT_YET = (404, 429)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One installed chart."""

    chart: Rendered
    name: str
    namespace: str
    controlplane: ControlPlane
    folder: Path

    def kubeconfig(self, component: str) -> Path:
        """Return a kubeconfig with a token of the component's own account, as its Pod gets it."""
        account = f"{self.name}-kube-sluice-{component}"
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        wanted = {"spec": {"expirationSeconds": _TOKEN_S}}
        token = self.controlplane.api.create(path, wanted)["status"]["token"]
        file = self.folder / f"{component}.kubeconfig"
        file.write_bytes(kubeconfig(self.controlplane.server, token, self.controlplane.ca))
        file.chmod(0o600)
        return file

    @contextlib.contextmanager
    def session(self, component: str) -> Iterator[Session]:
        """Open the API server as the component."""
        with contextlib.closing(Session.from_kubeconfig(str(self.kubeconfig(component)))) as one:
            yield one

    @contextlib.contextmanager
    def without(
        self, role: str, group: str, resource: str, verb: str, *, namespace: str = ""
    ) -> Iterator[None]:
        """Take one right out of a role for the length of the block.

        `role` is its name's end: a component, as a rule. `namespace` is where it stands; empty: it
        is one of the whole cluster.
        """
        roles = f"namespaces/{namespace}/roles" if namespace else "clusterroles"
        path = f"{_RBAC}/{roles}/{self.name}-kube-sluice-{role}"
        rules = self.controlplane.api.get(path)["rules"]
        self.controlplane.api.patch(path, {"rules": lacking(rules, group, resource, verb)})
        try:
            yield
        finally:
            self.controlplane.api.patch(path, {"rules": rules})


@contextlib.contextmanager
def installed(kubectl: Path, controlplane: ControlPlane, folder: Path) -> Iterator[Release]:
    """Give the chart with its defaults, applied to a namespace that admits restricted Pods only."""
    name = f"t{secrets.token_hex(3)}"
    namespace = f"test-{name}"
    chart = render(name=name, namespace=namespace)
    install_definitions(controlplane)
    controlplane.create_namespace(namespace, RESTRICTED)
    try:
        apply(kubectl, controlplane, chart)
        yield Release(
            chart=chart, name=name, namespace=namespace, controlplane=controlplane, folder=folder
        )
    finally:
        remove_global(controlplane, chart)
        controlplane.api.delete(f"/api/v1/namespaces/{namespace}")


def lacking(
    rules: list[dict[str, Any]], group: str, resource: str, verb: str
) -> list[dict[str, Any]]:
    """Return the rules without one verb on one resource, each resource with a rule of its own."""
    return [
        {
            **rule,
            "resources": [one],
            "verbs": [
                each
                for each in rule["verbs"]
                if (rule["apiGroups"], one, each) != ([group], resource, verb)
            ],
        }
        for rule in rules
        for one in rule["resources"]
        if rule["verbs"] != [verb] or (rule["apiGroups"], one) != ([group], resource)
    ]


def apply(kubectl: Path, controlplane: ControlPlane, chart: Rendered, *more: str) -> None:
    """Send every object but those of hooks; an unknown or mistyped field is an error."""
    command = (str(kubectl), "--kubeconfig", str(controlplane.kubeconfig), "apply")
    done = subprocess.run(
        [*command, "--server-side", "--validate=strict", "--filename=-", *more],
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": chart.manifests}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def bare_pods(chart: Rendered) -> Rendered:
    """Return the Pods that controllers would make, under the namespace's own account."""
    pods: list[dict[str, Any]] = []
    claims = {
        claim["metadata"]["name"]
        for owner in chart.owners()
        for claim in owner["spec"].get("volumeClaimTemplates", ())
    }
    for template in chart.templates():
        spec = {k: v for k, v in template["spec"].items() if k != "serviceAccountName"}
        made = {each["name"] for each in spec["volumes"]}
        claimed = [{"name": name, "emptyDir": {}} for name in claims - made]
        spec["volumes"] = [*spec["volumes"], *claimed]
        pods.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"pod-{len(pods)}",
                    "namespace": chart.namespace,
                    "labels": dict(template["metadata"]["labels"]),
                },
                "spec": {"restartPolicy": "Always", **spec},
            }
        )
    return Rendered(files={}, manifests=list[Manifest](pods), namespace=chart.namespace)


def install_definitions(controlplane: ControlPlane) -> None:
    """Create the chart's definitions where they are missing, as Helm does with crds/.

    Returns when each is served: a definition's storage comes a moment after the definition.
    """
    text = (CHART / "crds" / "reports.yaml").read_text(encoding="utf-8")
    crds = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        Cluster(session).install_crds(crds)
    for crd in crds:
        path = f"/apis/{crd['spec']['group']}/v1alpha1/{crd['spec']['names']['plural']}"
        assert eventually(functools.partial(_is_served, controlplane, path)), path


def _is_served(controlplane: ControlPlane, path: str) -> bool:
    try:
        controlplane.api.get(path)
    except ApiError as error:
        if error.status in _NOT_YET:
            return False
        raise
    return True


def remove_global(controlplane: ControlPlane, chart: Rendered) -> None:
    """Delete what does not go with the namespace."""
    for manifest in chart.manifests:
        if manifest["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            plural = f"{manifest['kind'].lower()}s"
            controlplane.api.delete(f"{_RBAC}/{plural}/{manifest['metadata']['name']}")
