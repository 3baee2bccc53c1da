"""Programs that give credentials are asked as a kubelet asks them, and trusted with no more."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.model.errors import SettingsError, TransientError
from common.model.refs import ImageReference, parse_reference
from worker.evidence.image import credential_provider
from worker.evidence.image.credential_provider import ExecProviders, load
from worker.evidence.image.docker_config import Credential

API = "credentialprovider.kubelet.k8s.io/v1"
APP = parse_reference("1234.dkr.ecr.example/team/app:1")
PROGRAM = """#!{python}
import json, os, sys, time
request = json.load(sys.stdin)
with open({log!r}, "a") as log:
    log.write(json.dumps([request, sys.argv[1:], dict(os.environ)]) + "\\n")
{body}
"""
ANSWER = """
json.dump({"kind": "CredentialProviderResponse", "apiVersion": request["apiVersion"],
           "cacheKeyType": "Registry",
           "auth": {"*.dkr.ecr.example": {"username": "AWS", "password": "s3cr3t-token"}}},
          sys.stdout)
"""


@dataclass
class Helper:
    """A program in a folder, its configuration, and what it was asked."""

    folder: Path
    now_s: float = 0.0
    config: dict[str, Any] = field(
        default_factory=lambda: {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [
                {
                    "name": "helper",
                    "matchImages": ["*.dkr.ecr.example"],
                    "defaultCacheDuration": "12h",
                    "apiVersion": API,
                    "args": ["get-credentials"],
                    "env": [{"name": "AWS_PROFILE", "value": "scan"}],
                }
            ],
        }
    )

    def does(self, body: str) -> None:
        """Make the program do that."""
        program = self.folder / "helper"
        text = PROGRAM.format(python=sys.executable, log=str(self.folder / "log"), body=body)
        program.write_text(text, encoding="ascii")
        program.chmod(0o755)

    def build(self, **environ: str) -> ExecProviders:
        """Load the configuration."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config), encoding="ascii")
        return ExecProviders(load(str(path), str(self.folder)), environ, clock=lambda: self.now_s)

    def asked(self) -> list[Any]:
        """Return each call: request, arguments, environment."""
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def helper(tmp_path: Path) -> Helper:
    """Give a helper that answers."""
    one = Helper(tmp_path)
    one.does(ANSWER)
    return one


def test_a_program_gives_credentials_for_the_images_that_it_serves(helper: Helper) -> None:
    """Request, arguments and environment as a kubelet's; none of our own settings."""
    providers = helper.build(AWS_REGION="eu", SLUICE_REDIS_URL="redis://:hush@r", TRIVY_VEX="x")
    found = providers.entries(APP)
    assert found == {"*.dkr.ecr.example": Credential(username="AWS", password="s3cr3t-token")}  # noqa: S106 - made up
    assert dict(providers.entries(parse_reference("quay.io/team/app"))) == {}
    ((request, arguments, environment),) = helper.asked()
    assert request == {
        "kind": "CredentialProviderRequest",
        "apiVersion": API,
        "image": "1234.dkr.ecr.example/team/app",
    }
    assert arguments == ["get-credentials"]
    assert (environment["AWS_PROFILE"], environment["AWS_REGION"]) == ("scan", "eu")
    assert "hush" not in str(environment)
    assert "TRIVY_VEX" not in environment


@pytest.mark.parametrize(
    ("scope", "again"),
    [
        ("Registry", ["1234.dkr.ecr.example/other"]),
        ("Global", ["1234.dkr.ecr.example/other", "5.dkr.ecr.example/x"]),
        ("Image", ["1234.dkr.ecr.example/team/app:2"]),
    ],
)
def test_an_answer_is_kept_for_what_it_says(helper: Helper, scope: str, again: list[str]) -> None:
    """A cloud counts these calls."""
    helper.does(ANSWER.replace("Registry", scope))
    providers = helper.build()
    providers.entries(APP)
    for text in again:
        assert providers.entries(parse_reference(text))
    assert len(helper.asked()) == 1
    helper.now_s = 12 * 3600.0
    providers.entries(APP)
    assert len(helper.asked()) == 2


def test_an_answer_may_forbid_to_be_kept(helper: Helper) -> None:
    """`cacheDuration: 0s`."""
    helper.does(ANSWER.replace('"auth"', '"cacheDuration": "0s", "auth"'))
    providers = helper.build()
    providers.entries(APP)
    providers.entries(APP)
    assert len(helper.asked()) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("sys.stderr.write('s3cr3t'); sys.exit(7)", "ended with status 7"),
        ("print('s3cr3t')", "cannot be read"),
        ("print('[' * 100_000)", "cannot be read"),
        ("""sys.stdout.buffer.write(b'{"kind": "\\xff"}')""", "cannot be read"),
        (ANSWER.replace("CredentialProviderResponse", "Other"), "another question"),
        (ANSWER.replace('"auth"', '"cacheDuration": "soon", "auth"'), "cacheDuration"),
        ("print('x' * 2_000_000)", "says more than"),
        ("time.sleep(60)", "did not end within"),
        ("sys.stdout.close(); os.close(1); time.sleep(60)", "did not end within"),
    ],
)
def test_a_program_that_fails_is_told_without_its_words(
    helper: Helper, body: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be the secret."""
    patience_s = 1.0 if "sleep" in body else 30.0
    monkeypatch.setattr(credential_provider, "_TIMEOUT_S", patience_s)
    helper.does(body)
    with pytest.raises(TransientError, match=told) as caught:
        helper.build().entries(APP)
    assert caught.value.reason == "CredentialProviderFailed"
    assert "helper" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_program_that_is_missing_is_told(helper: Helper) -> None:
    """The folder is mounted from the node, perhaps."""
    (helper.folder / "helper").unlink()
    with pytest.raises(TransientError, match="cannot be started"):
        helper.build().entries(APP)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "../evil", "name of a program"),
        ("matchImages", [], "matchImages"),
        ("apiVersion", "v9", "not known"),
        ("tokenAttributes", {"requireServiceAccount": True}, "not supported"),
        ("defaultCacheDuration", "soon", "config.yaml"),
        ("args", 7, "config.yaml"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_at_start(
    helper: Helper, field: str, value: object, told: str
) -> None:
    """Before the first private image fails."""
    helper.config["providers"][0][field] = value
    with pytest.raises(SettingsError, match=told):
        helper.build()


@pytest.mark.parametrize("text", ["", "[", "kind: Pod", "a: b: c", "[" * 100_000])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever stands in it."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="ascii")
    with pytest.raises(SettingsError, match="SLUICE_CREDENTIAL_PROVIDER_CONFIG"):
        load(str(path), "/bin")
    with pytest.raises(SettingsError, match="No such file"):
        load(str(tmp_path / "absent"), "/bin")


def test_answers_are_bounded(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """By image there may be thousands."""
    monkeypatch.setattr(credential_provider, "_MAX_ANSWERS", 2)
    helper.does(ANSWER.replace("Registry", "Image"))
    providers = helper.build()

    def reference(number: int) -> ImageReference:
        return parse_reference(f"1234.dkr.ecr.example/a{number}")

    for number in (0, 1, 2, 2, 1, 0):
        providers.entries(reference(number))
    assert len(helper.asked()) == 4
