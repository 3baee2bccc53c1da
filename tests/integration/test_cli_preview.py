"""What `sluice run` tells before it writes, and how commands find their key space, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli.main import main
from common.cli.preview import look_ahead
from common.cli.tables import cluster_name
from common.kube.errors import DeniedError
from common.model.errors import PreconditionError
from common.reports.catalog import CATALOG, PRODUCED_KINDS
from common.settings.parse import parse
from common.settings.value import Settings
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import Exchange, refuse

pytestmark = pytest.mark.integration

NAMESPACES = "/api/v1/namespaces"
DEPLOYMENTS = "/apis/apps/v1/deployments"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dev
clusters: [{name: dev, cluster: {server: "%s"}}]
users: [{name: ada, user: {token: t}}]
contexts: [{name: dev, context: {cluster: dev, user: ada}}]
"""


@pytest.fixture
def api() -> Iterator[FakeKubeApi]:
    """Give an API server that has an identity and no definitions."""
    with FakeKubeApi() as api:
        uid = "0f5b2c1d-aaaa-bbbb-cccc-123456789012"
        api.store.create(NAMESPACES, {"metadata": {"name": "kube-system", "uid": uid}})
        yield api


def settings(api: FakeKubeApi, tmp_path: Path, **more: str) -> Settings:
    """Return settings whose kubeconfig leads to the fake."""
    path = tmp_path / "config"
    path.write_text(KUBECONFIG % api.url, encoding="utf-8")
    environ = {"SLUICE_KUBECONFIG": str(path), "SLUICE_DATA_DIR": str(tmp_path)}
    return parse({**environ, **more})


def peer(api: FakeKubeApi, *, ready: int) -> None:
    """Let a trivy-operator be installed."""
    meta = {"name": "trivy-operator", "namespace": "trivy-system",
            "labels": {"app.kubernetes.io/name": "trivy-operator"}}  # fmt: skip
    # As scaled: one that is just starting counts too, although none of its replicas is ready.
    created = {"metadata": meta, "spec": {"replicas": ready}, "status": {"readyReplicas": 0}}
    api.store.create(DEPLOYMENTS, created)


def test_what_will_be_written_where_is_read_from_the_cluster(
    api: FakeKubeApi, tmp_path: Path
) -> None:
    """The last look before forty workloads get reports in the wrong cluster."""
    found = look_ahead(settings(api, tmp_path))
    assert (found.context, found.host, found.server_version) == ("dev", api.url, "v1.36.3")
    assert found.cluster  # the store gives its own uid
    assert found.missing_definitions == tuple(row.crd_name for row in CATALOG)
    assert found.redis == "an embedded Valkey in the data folder"
    assert found.lease == f"default/kube-sluice-{found.cluster}"
    off = look_ahead(settings(api, tmp_path, SLUICE_LEADER_ELECTION="false"))
    assert off.lease == ""


def test_definitions_that_are_there_are_not_installed(api: FakeKubeApi, tmp_path: Path) -> None:
    """trivy-operator's are taken as they are."""
    there = CATALOG[0].crd_name
    api.store.create(CRDS, {"metadata": {"name": there}})
    found = look_ahead(settings(api, tmp_path))
    assert there not in found.missing_definitions
    assert len(found.missing_definitions) == len(CATALOG) - 1


def test_a_look_writes_nothing(api: FakeKubeApi, tmp_path: Path) -> None:
    """It comes before the question."""
    look_ahead(settings(api, tmp_path))
    assert {seen.verb for seen in api.seen} <= {"get", "list"}


def test_a_trivy_operator_that_runs_is_refused_with_the_command_that_stops_it(
    api: FakeKubeApi, tmp_path: Path
) -> None:
    """Trap 36. Two writers of the same reports never rest."""
    peer(api, ready=1)
    with pytest.raises(PreconditionError, match=r"scale deployment trivy-operator --replicas=0"):
        look_ahead(settings(api, tmp_path))


def test_a_trivy_operator_that_is_scaled_to_zero_is_no_obstacle(
    api: FakeKubeApi, tmp_path: Path
) -> None:
    """That is how one moves over and back."""
    peer(api, ready=0)
    assert look_ahead(settings(api, tmp_path)).context == "dev"


def test_the_key_space_is_named_by_the_settings_else_by_the_cluster(
    api: FakeKubeApi, tmp_path: Path
) -> None:
    """A command must look where watcher and workers write."""
    assert cluster_name(settings(api, tmp_path, SLUICE_CLUSTER="mine")) == "mine"
    assert api.seen == []
    uid = api.store.get(NAMESPACES, "kube-system")["metadata"]["uid"]
    assert cluster_name(settings(api, tmp_path)) == uid[:8]


def test_a_cluster_that_is_away_can_be_named_instead(tmp_path: Path) -> None:
    """Redis may be looked at while the API server is down: then most of all."""
    with FakeKubeApi() as gone:
        away = settings(gone, tmp_path)
    with pytest.raises(PreconditionError, match="or set SLUICE_CLUSTER"):
        cluster_name(away)
    nowhere = parse({"SLUICE_KUBECONFIG": str(tmp_path / "none")})
    with pytest.raises(PreconditionError, match=r"none: no such file.*or set SLUICE_CLUSTER"):
        cluster_name(nowhere)


def test_definitions_are_installed_by_the_command_alone(
    api: FakeKubeApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A `sluice crds` without --install is a look."""
    settings(api, tmp_path)
    monkeypatch.setenv("SLUICE_KUBECONFIG", str(tmp_path / "config"))
    assert main(["crds"]) == 0
    assert api.seen == []
    assert capsys.readouterr().out


# --- an account that has rights in namespaces alone


class Narrow(FakeKubeApi):
    """A server that refuses what has one of these parts in its path; `absent` it does not know."""

    refused: tuple[str, ...] = ("/customresourcedefinitions",)
    absent: tuple[str, ...] = ()

    def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        if any(part in exchange.seen.path for part in self.refused):
            refuse(403, "Forbidden")(exchange)
        elif any(part in exchange.seen.path for part in self.absent):
            refuse(404, "NotFound")(exchange)
        else:
            super().serve(exchange)


@pytest.fixture
def narrow() -> Iterator[Narrow]:
    """Give a server that shows no definitions."""
    with Narrow() as api:
        yield api


def _shop(api: FakeKubeApi, tmp_path: Path) -> Settings:
    return settings(api, tmp_path, OPERATOR_TARGET_NAMESPACES="shop", SLUICE_CLUSTER="one")


def test_an_account_of_one_namespace_may_run(narrow: Narrow, tmp_path: Path) -> None:
    """The chart's namespaced roles grant no look at definitions: a list of reports tells enough."""
    found = look_ahead(_shop(narrow, tmp_path))
    assert found.missing_definitions == ()
    assert "looked for in shop alone" in found.shown()
    lists = [seen.path for seen in narrow.seen if "aquasecurity" in seen.path]
    assert len(lists) == len(PRODUCED_KINDS)
    assert all("/namespaces/shop/" in path for path in lists)


def test_definitions_that_this_account_may_not_install_are_told(
    narrow: Narrow, tmp_path: Path
) -> None:
    """The remedy must be one that helps."""
    narrow.absent = ("/sbomreports",)
    with pytest.raises(PreconditionError, match=r"sbomreports.*let somebody who may create CRDs"):
        look_ahead(_shop(narrow, tmp_path))


def test_who_means_all_namespaces_must_see_definitions(narrow: Narrow, tmp_path: Path) -> None:
    """There the roles of the chart are the cluster's, and the right is really missing."""
    with pytest.raises(DeniedError):
        look_ahead(settings(narrow, tmp_path, SLUICE_CLUSTER="one"))


def test_an_identity_that_may_not_be_read_can_be_named(narrow: Narrow, tmp_path: Path) -> None:
    """Namespaced roles do not grant it either."""
    narrow.refused = ("/namespaces/kube-system",)
    with pytest.raises(PreconditionError, match="or set SLUICE_CLUSTER"):
        look_ahead(settings(narrow, tmp_path))
