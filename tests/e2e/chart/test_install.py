"""Installed by Helm with its defaults: every Pod is ready, and every workload is told the truth."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus

import pytest

from sandbox.api import Api, ApiError
from tests.e2e.chart.ground import DONE_S, eventually
from tests.e2e.chart.installation import Installation, restarts
from tests.e2e.chart.samples import Samples

pytestmark = pytest.mark.e2e

COMPONENTS = {"watcher": 1, "worker": 2, "matcher": 1, "redis": 1}
CONTAINERS = (
    ("watcher", "watcher"),
    ("worker", "worker"),
    ("worker", "scanner"),
    ("matcher", "matcher"),
)


def test_every_pod_is_ready_and_none_was_started_again(installation: Installation) -> None:
    """In a namespace that admits restricted Pods only."""
    installation.await_ready(COMPONENTS)
    assert [restarts(pod) for pod in installation.pods()] == [0] * sum(COMPONENTS.values())


def test_every_workload_that_runs_has_true_reports(
    installation: Installation, samples: Samples
) -> None:
    """The main job, by the image that users build and the chart that they install."""
    assert len(samples.workloads) >= 30
    eventually(lambda: not samples.faults(), within_s=DONE_S, explain=installation.explain)


def test_status_says_that_nothing_is_wrong(installation: Installation, samples: Samples) -> None:
    """Its own Pods and the cluster's are workloads too."""
    more = len(samples.workloads) + 1
    eventually(
        lambda: installation.is_done(more),
        within_s=DONE_S,
        explain=lambda: json.dumps(installation.status(), indent=1),
    )


def test_helm_test_says_that_it_works(installation: Installation) -> None:
    """What an administrator types after an installation."""
    told = installation.ground.helm(
        "test", installation.name, f"--namespace={installation.namespace}"
    )
    assert "Phase:          Succeeded" in told


@pytest.mark.parametrize("component", ["watcher", "worker", "matcher"])
def test_the_doctor_finds_no_fault_in_a_pod(installation: Installation, component: str) -> None:
    """With the Pod's own token, Redis' password from its file, and the network as it is."""
    told = installation.execute(component, "sluice", "doctor")
    assert [line for line in told.splitlines() if line.startswith("fault")] == []


@pytest.mark.parametrize(("component", "container"), CONTAINERS)
def test_no_service_is_told_by_the_environment(
    installation: Installation, component: str, container: str
) -> None:
    """Links of a Service called sluice would be settings that nobody meant."""
    read = "print(*sorted(open('/proc/1/environ').read().split(chr(0))), sep=chr(10))"
    names = {
        line.partition("=")[0]
        for line in installation.execute(
            component, "python", "-c", read, container=container
        ).splitlines()
    }
    links = {name for name in names if "_SERVICE_" in name or "_PORT" in name}
    assert links <= {
        *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"),
        *(f"KUBERNETES_PORT{rest}" for rest in ("", *(f"_443_TCP{one}" for one in _LINKED))),
    }


_LINKED = ("", "_PROTO", "_PORT", "_ADDR")


@pytest.mark.parametrize(("component", "container"), CONTAINERS)
def test_the_token_is_where_the_chart_says_alone(
    installation: Installation, component: str, container: str
) -> None:
    """The scanner unpacks what strangers made: it holds no token."""
    ask = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
    told = installation.execute(component, "python", "-c", ask, container=container)
    assert told.strip() == str(container != "scanner")


def test_no_account_but_the_workers_may_read_secrets(installation: Installation) -> None:
    """By the tokens that are in the running Pods; workers by name alone, as a kubelet pulls."""
    ground, account = installation.ground, "/var/run/secrets/kubernetes.io/serviceaccount/token"
    secret = {"metadata": {"name": "login"}, "stringData": {"password": "hunter2"}}
    ground.node.api.create("/api/v1/namespaces/sample-load/secrets", secret)
    for component in ("watcher", "matcher", "worker"):
        read = f"print(open({account!r}).read())"
        token = installation.execute(component, "python", "-c", read).strip()
        with contextlib.closing(Api(ground.node.server, token, ground.node.ca)) as own:
            by_name = allowed(own, "/api/v1/namespaces/sample-load/secrets/login")
            assert by_name == (component == "worker"), component
            assert not allowed(own, "/api/v1/namespaces/sample-load/secrets")
            assert not allowed(own, "/api/v1/secrets")


def test_no_other_account_of_its_namespace_may_read_secrets(installation: Installation) -> None:
    """Accounts of hooks, and what Pods have that name none."""
    path = f"/api/v1/namespaces/{installation.namespace}/serviceaccounts"
    api = installation.ground.node.api
    names = {one["metadata"]["name"] for one in api.get(path)["items"]}
    assert installation.fullname("worker") in names
    may = {
        name
        for name in names
        for verb in ("get", "list", "watch")
        if may_read_secrets(installation, name, verb)
    }
    assert may == {installation.fullname("worker")}


def may_read_secrets(installation: Installation, account: str, verb: str) -> bool:
    """Ask the API server what an account may, in any namespace."""
    review = {
        "spec": {
            "user": f"system:serviceaccount:{installation.namespace}:{account}",
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{installation.namespace}",
                "system:authenticated",
            ],
            "resourceAttributes": {"verb": verb, "resource": "secrets"},
        }
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(installation.ground.node.api.create(path, review)["status"]["allowed"])


def allowed(own: Api, path: str) -> bool:
    """Say whether a request is allowed."""
    try:
        own.get(path)
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return False
        raise
    return True


def test_uninstalling_leaves_the_reports_and_no_right(
    installation: Installation, samples: Samples
) -> None:
    """Reports belong to their workloads; what Helm leaves behind is data, and the empty Lease."""
    ground, versions = installation.ground, samples.versions()
    where = f"--namespace={installation.namespace}"
    ground.helm("uninstall", installation.name, where, "--wait")
    assert samples.versions() == versions
    kinds = "clusterroles,clusterrolebindings,roles,rolebindings,services,deployments,statefulsets"
    told = ground.kubectl("get", f"{kinds},networkpolicies", "--all-namespaces", "--output=name")
    assert [line for line in told.splitlines() if installation.name in line] == []
    kept = ground.kubectl("get", "pvc,secrets,serviceaccounts,leases", where, "--output=name")
    assert sorted(kept.split()) == [
        "lease.coordination.k8s.io/kube-sluice",
        "persistentvolumeclaim/data-kube-sluice-redis-0",
        "serviceaccount/default",
    ]
