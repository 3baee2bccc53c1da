"""Kubeconfigs that are none: each is told by name, with a remedy and without its content."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli.main import main
from common.kube import connect
from common.kube.errors import DeniedError
from common.kube.session import Session
from common.model.errors import PreconditionError
from tests.fakes.kube_api import FakeKubeApi

pytestmark = pytest.mark.integration

HIDDEN = "t0psecret"
WHOLE = f"""
apiVersion: v1
kind: Config
current-context: one
contexts: [{{name: one, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:1"}}}}]
users: [{{name: u, user: {{token: {HIDDEN}}}}}]
"""
MALFORMED = {
    "no YAML": f"{{{{{{{HIDDEN}",
    "an alias of nothing": f"users: *{HIDDEN}",
    "a list": f"- {HIDDEN}",
    "a word": HIDDEN,
    "a number": "5",
    "clusters a number": WHOLE.replace("clusters:", f"clusters: 5\nx{HIDDEN}:"),
    "contexts a word": f"current-context: one\ncontexts: {HIDDEN}",
    "contexts of words": f"current-context: one\ncontexts: [{HIDDEN}]",
    "a context without name": f"current-context: one\ncontexts: [{{nam: {HIDDEN}}}]",
    "a user without name": WHOLE.replace("name: u,", "nam: u,"),
    "a user without data": WHOLE.replace("user: {token", "usr: {token"),
    "no cluster of the name": WHOLE.replace("name: c,", "name: other,"),
    "a certificate that is no base64": WHOLE.replace(
        "{server:", f"{{certificate-authority-data: '{HIDDEN}', server:"
    ).replace("http:", "https:"),
    "a user that is a number": WHOLE.replace(f"user: {{token: {HIDDEN}}}", "user: 5"),
    "clusters alone": "clusters: 5",
    "nothing": "",
    "a comment": "# later",
    "no text": "\udcff\udcfe",
}  # fmt: skip


@pytest.fixture(params=[*MALFORMED, "a folder"])
def malformed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a path where there is something, but no kubeconfig."""
    path = tmp_path / "config"
    if request.param == "a folder":
        path.mkdir()
    else:
        path.write_text(MALFORMED[request.param], errors="surrogateescape")
    return path


@pytest.mark.parametrize("context", [None, "one"])
def test_a_malformed_file_is_a_precondition_that_names_it(
    malformed: Path, context: str | None
) -> None:
    """The client's loader trusts the file: it fails with whatever comes, and quotes it."""
    with pytest.raises(PreconditionError) as caught:
        Session.from_kubeconfig(str(malformed), context)
    told = str(caught.value)
    assert f"kubeconfig {malformed}" in told
    assert "give --kubeconfig" in told
    assert HIDDEN not in told
    assert caught.value.__cause__ is None  # a log of it with its traceback would quote the file


@pytest.mark.parametrize(
    "words", [["crds", "--install"], ["run", "--yes"], ["status"]], ids=" ".join
)
def test_commands_end_with_status_3(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not with a traceback."""
    path = tmp_path / "config"
    path.write_text(MALFORMED["no YAML"])
    monkeypatch.setenv("SLUICE_KUBECONFIG", str(path))
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path / "data"))
    assert main(words) == 3
    assert words[0] in capsys.readouterr().err


def test_a_file_in_a_place_that_cannot_be_looked_at_is_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name with a NUL, a folder that is closed: the look for the file raised."""
    monkeypatch.setattr(connect, "KUBE_CONFIG_DEFAULT_LOCATION", "~nobody-of-this-name/\0")
    with pytest.raises(PreconditionError, match="KUBECONFIG names"):
        Session.auto()


def test_a_cluster_without_a_server_is_not_this_machine(tmp_path: Path) -> None:
    """Every request failed with words about an URL, and was tried again for ever."""
    path = tmp_path / "config"
    path.write_text(WHOLE.replace('server: "http://127.0.0.1:1"', ""))
    with pytest.raises(PreconditionError, match=r"context one names no server; .*--kubeconfig"):
        Session.from_kubeconfig(str(path))


CONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {token: old}}]
"""


@pytest.fixture
def api() -> Iterator[FakeKubeApi]:
    """Give a server."""
    with FakeKubeApi() as api:
        yield api


def test_a_file_that_is_being_rewritten_leaves_a_401_what_it_is(
    api: FakeKubeApi, tmp_path: Path
) -> None:
    """Half a file in mid-life is waited out with the refusal; a precondition would park keys."""
    path = tmp_path / "config"
    path.write_text(CONFIG % api.url)
    with contextlib.closing(Session.from_kubeconfig(str(path))) as session:
        api.tokens = {"new"}
        path.write_text("{{{")
        with pytest.raises(DeniedError, match="401"):
            session.request("GET", "/api/v1/pods")
