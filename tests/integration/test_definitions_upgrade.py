"""An older definition in place is upgraded by the chart's hook; reports, and others', stay."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from common.kube.cluster import Cluster
from common.kube.definitions import Upgraded, upgrade
from common.kube.errors import DeniedError
from common.kube.session import Session
from common.reports.catalog import BY_KIND, GROUP
from common.reports.crds import EDITION, EDITION_ANNOTATION, MANAGED_BY, definitions
from sandbox.api import ApiError
from sandbox.controlplane import ControlPlane
from tests.charts.release import Release, apply, install_definitions, remove_global
from tests.charts.rendered import Rendered, render
from tests.waiting import eventually

pytestmark = pytest.mark.integration

# Nobody writes this kind here, so that other tests do not mind.
PLURAL = BY_KIND["InfraAssessmentReport"].plural
NAME = f"{PLURAL}.{GROUP}"
PATH = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"


@pytest.fixture(scope="module")
def release(
    controlplane: ControlPlane, programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Give the hook's account with its rights, and nothing else of the chart."""
    name = f"t{secrets.token_hex(3)}"
    namespace = f"test-{name}"
    chart = render(name=name, namespace=namespace)
    of_hook = [
        each
        for each in chart.hooks
        if each["metadata"]["name"].endswith("-crds") and each["kind"] != "Job"
    ]
    alone = Rendered(files={}, manifests=of_hook, namespace=namespace)
    install_definitions(controlplane)
    controlplane.create_namespace(namespace)
    try:
        apply(programs["kubectl"], controlplane, alone)
        yield Release(
            chart=alone,
            name=name,
            namespace=namespace,
            controlplane=controlplane,
            folder=tmp_path_factory.mktemp("tokens"),
        )
    finally:
        remove_global(controlplane, alone)
        controlplane.api.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture
def older(release: Release) -> Iterator[None]:
    """Leave a definition of before: no mark of its edition, and a column less."""
    api = release.controlplane.api
    now = api.get(PATH)
    (version,) = now["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    mark(release, edition=None)
    api.patch(PATH, {"spec": {"versions": [{**version, "additionalPrinterColumns": columns[1:]}]}})
    yield
    mark(release, edition=str(EDITION))
    api.patch(PATH, {"spec": {"versions": [version]}})


def mark(release: Release, *, edition: str | None, owner: str = MANAGED_BY[1]) -> None:
    """Say whose a definition is, and of which edition."""
    release.controlplane.api.patch(
        PATH,
        {
            "metadata": {
                "annotations": {EDITION_ANNOTATION: edition},
                "labels": {MANAGED_BY[0]: owner},
            }
        },
    )


def columns(release: Release) -> list[str]:
    """Return the names of what `kubectl get` shows."""
    (version,) = release.controlplane.api.get(PATH)["spec"]["versions"]
    return [each["name"] for each in version["additionalPrinterColumns"]]


def upgraded(release: Release) -> Upgraded:
    """Do what the hook's Job does, with its own token."""
    with release.session("crds") as session:
        allowed = Cluster(session).can_i
        assert eventually(
            lambda: allowed("patch", "apiextensions.k8s.io", "customresourcedefinitions", name=NAME)
        )
        return upgrade(session, definitions())


def test_the_hooks_account_upgrades_an_older_definition_and_reports_stay(
    release: Release, older: None
) -> None:
    """Helm itself would leave it as it was, and the API server would prune new fields."""
    assert older is None
    api = release.controlplane.api
    wanted = [column.name for column in BY_KIND["InfraAssessmentReport"].columns]
    assert columns(release) == wanted[1:]
    path = f"/apis/{GROUP}/v1alpha1/namespaces/{release.namespace}/{PLURAL}"
    report: dict[str, Any] = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "InfraAssessmentReport",
        "metadata": {"name": "mine"},
        "report": _report(),
    }
    before = api.create(path, report)
    assert upgraded(release).done == {NAME: "changed"}
    assert columns(release) == wanted
    after = api.get(f"{path}/mine")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert upgraded(release).done == {}  # a second time there is nothing to do


def _report() -> dict[str, Any]:
    return {
        "updateTimestamp": "2026-01-01T00:00:00Z",
        "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.72.0"},
        "summary": {"criticalCount": 0, "highCount": 0, "mediumCount": 0, "lowCount": 0},
        "checks": [],
    }


def test_a_definition_of_somebody_else_is_left_as_it_is(release: Release, older: None) -> None:
    """trivy-operator's may be newer than ours in ways that we cannot know."""
    assert older is None
    before = columns(release)
    mark(release, edition=None, owner="Helm")
    found = upgraded(release)
    assert (found.foreign, found.done) == ((NAME,), {})
    assert columns(release) == before


def test_a_definition_of_a_newer_kube_sluice_is_left_as_it_is(
    release: Release, older: None
) -> None:
    """A second installation of an older chart must not take its fields away."""
    assert older is None
    before = columns(release)
    mark(release, edition=str(EDITION + 1))
    found = upgraded(release)
    assert (found.newer, found.done) == ((NAME,), {})
    assert columns(release) == before


@pytest.mark.parametrize("verb", ["get", "patch"])
def test_no_right_of_the_hook_can_be_left_out(release: Release, verb: str, older: None) -> None:
    """Taken away, the upgrade stops with the right's name, before anything else happens."""
    assert older is None
    resource = ("apiextensions.k8s.io", "customresourcedefinitions")
    with release.session("crds") as session, release.without("crds", *resource, verb):
        allowed = Cluster(session).can_i
        assert eventually(lambda: not allowed(verb, *resource, name=NAME))
        with pytest.raises(DeniedError, match=f"cannot {verb} resource"):
            upgrade(session, definitions())


def test_the_hook_may_change_no_other_definition(release: Release) -> None:
    """Nor delete any: every report would go with it."""
    resource = ("apiextensions.k8s.io", "customresourcedefinitions")
    with release.session("crds") as session:
        allowed = Cluster(session).can_i
        for verb in ("get", "patch"):
            assert not allowed(verb, *resource, name="certificates.cert-manager.io")
        for verb in ("update", "delete", "list", "watch"):
            assert not allowed(verb, *resource, name=NAME)
        assert not allowed("get", "", "secrets")


def is_gone(controlplane: ControlPlane) -> bool:
    """Say whether the definition's deletion is over."""
    try:
        controlplane.api.get(PATH)
    except ApiError as error:
        return error.status == HTTPStatus.NOT_FOUND
    return False


def test_what_is_missing_is_created(controlplane: ControlPlane) -> None:
    """A definition that somebody deleted, or a kind that is new."""
    install_definitions(controlplane)
    controlplane.api.delete(PATH)
    assert eventually(lambda: is_gone(controlplane))
    with contextlib.closing(Session.from_kubeconfig(str(controlplane.kubeconfig))) as session:
        assert upgrade(session, definitions()).done == {NAME: "created"}
