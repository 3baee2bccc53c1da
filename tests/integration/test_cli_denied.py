"""An API server that knows us not, or lets us not: status 3 at once, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli.main import main
from common.kube.cluster import Cluster
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.kube_faults import refuse

pytestmark = pytest.mark.integration

CONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubeApi]:
    """Give a server that the settings name."""
    with FakeKubeApi() as api:
        path = tmp_path / "config"
        path.write_text(CONFIG % api.url)
        monkeypatch.setenv("SLUICE_KUBECONFIG", str(path))
        monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("SLUICE_REDIS_URL", "redis://127.0.0.1:1")
        monkeypatch.setenv("TRIVY_DB_REPOSITORY", "127.0.0.1:1/aqua/trivy-db:2")
        yield api


def test_a_missing_right_is_named_with_the_remedy(
    api: FakeKubeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare 403 with status 1 told neither what to grant nor where to see the rest."""
    api.fail("post", refuse(403, "Forbidden"))
    assert main(["crds", "--install"]) == 3
    said = capsys.readouterr().err
    assert "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions: 403" in said
    assert "grant this account that right" in said
    assert "sluice doctor" in said


@pytest.mark.parametrize("words", [["crds", "--install"], ["run", "--yes"]], ids=" ".join)
def test_a_wrong_token_is_told_with_the_remedy(
    api: FakeKubeApi, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no fault of the product, and no retry of the user's script mends it."""
    api.tokens = {"another"}
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "401" in said
    assert "renew the credentials" in said


def test_the_doctor_goes_on_after_a_look_that_is_not_allowed(
    api: FakeKubeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every message sends its reader here to see all that is missing."""
    monkeypatch.setattr(Cluster, "server_version", lambda _: "v1")  # the fake has no such page,
    monkeypatch.setattr(Cluster, "user", lambda _: "somebody")  # nor this one
    api.fail("get", refuse(403, "Forbidden"))  # the first definition
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "403" in out
    assert "remedy: grant this account that right" in out
    assert out.count("access of the worker") > 1
