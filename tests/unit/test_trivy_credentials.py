"""The keyring finds what a workload's kubelet would use, and survives what it would ignore."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from common.model.errors import (
    BadReferenceError,
    GoneError,
    SluiceError,
    SourceUnavailableError,
    UnauthorizedError,
)
from common.model.image import ImageUse
from worker.evidence.image.credentials import Keyring
from worker.evidence.image.docker_config import DOCKER_CONFIG_JSON, credential_in

Secret = tuple[str, Mapping[str, bytes]]


class Cluster:
    """Secrets and accounts by namespace and name; an error in place of one is raised."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], Secret | SluiceError] = {}
        self.accounts: dict[tuple[str, str], tuple[str, ...] | SluiceError] = {}
        self.reads: list[str] = []

    def login(self, namespace: str, name: str, user: str) -> None:
        """Store a pull secret for r.example."""
        pair = base64.b64encode(f"{user}:pw".encode()).decode()
        body = json.dumps({"auths": {"r.example": {"auth": pair}}}).encode()
        self.secrets[namespace, name] = (DOCKER_CONFIG_JSON, {".dockerconfigjson": body})

    def pull_secret(self, namespace: str, name: str) -> Secret | None:
        """Return a secret."""
        self.reads.append(name)
        found = self.secrets.get((namespace, name))
        if isinstance(found, SluiceError):
            raise found
        return found

    def service_account(self, namespace: str, name: str) -> tuple[str, ...] | None:
        """Return an account's pull secrets."""
        found = self.accounts.get((namespace, name))
        if isinstance(found, SluiceError):
            raise found
        return found


def use(*pull_secrets: str, reference: str = "r.example/team/app:1") -> ImageUse:
    """Return a use in namespace `shop` by the account `runner`."""
    return ImageUse(
        workload="workload/Pod/shop/a",
        reference=reference,
        namespace="shop",
        service_account="runner",
        pull_secrets=pull_secrets,
    )


def user_of(config: bytes | None) -> str | None:
    """Return whose credential the config holds."""
    found = credential_in(config, "r.example")
    return found.username if found else None


def test_the_pods_secret_is_used() -> None:
    """The ordinary case."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    assert user_of(Keyring(cluster).docker_config_for(use("pull"))) == "pod"


def test_the_accounts_secrets_come_after_the_pods() -> None:
    """For a template that no pod was made from yet, the account's are all there is."""
    cluster = Cluster()
    cluster.login("shop", "mine", "pod")
    cluster.login("shop", "lent", "account")
    cluster.accounts["shop", "runner"] = ("lent", "mine")
    keyring = Keyring(cluster)
    assert user_of(keyring.docker_config_for(use())) == "account"
    assert [user_of(config) for config in keyring.candidates(use("mine"))] == ["pod", "account"]
    assert cluster.reads == ["lent", "mine", "mine", "lent"]


def test_secrets_of_other_namespaces_are_never_read() -> None:
    """A tenant's secret must not pull for its neighbour."""
    cluster = Cluster()
    cluster.login("other", "pull", "neighbour")
    assert Keyring(cluster).docker_config_for(use("pull")) is None


@pytest.mark.parametrize(
    "broken",
    [
        None,
        UnauthorizedError("secrets is forbidden"),
        GoneError("no such secret"),
        (DOCKER_CONFIG_JSON, {".dockerconfigjson": b"garbage"}),
        ("Opaque", {}),
    ],
)
def test_broken_missing_and_forbidden_secrets_are_skipped(
    broken: Secret | SluiceError | None,
) -> None:
    """A kubelet goes on with the next one; so do we."""
    cluster = Cluster()
    cluster.login("shop", "good", "pod")
    if broken is not None:
        cluster.secrets["shop", "bad"] = broken
    assert user_of(Keyring(cluster).docker_config_for(use("bad", "good"))) == "pod"
    assert Keyring(cluster).docker_config_for(use("bad")) is None


def test_a_forbidden_account_is_no_obstacle() -> None:
    """Clusters may grant secrets by name and no accounts."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    cluster.accounts["shop", "runner"] = UnauthorizedError("serviceaccounts is forbidden")
    assert user_of(Keyring(cluster).docker_config_for(use("pull"))) == "pod"


@pytest.mark.parametrize("where", ["secrets", "accounts"])
def test_a_silent_api_server_is_not_taken_for_no_credentials(where: str) -> None:
    """Pulling anonymously instead would end in a 401 and park the image for hours."""
    cluster = Cluster()
    error = SourceUnavailableError("the API server does not answer")
    if where == "secrets":
        cluster.secrets["shop", "pull"] = error
    else:
        cluster.accounts["shop", "runner"] = error
    with pytest.raises(SourceUnavailableError):
        Keyring(cluster).docker_config_for(use("pull"))


def test_a_bad_reference_is_said_so() -> None:
    """Nothing can be looked up for it."""
    with pytest.raises(BadReferenceError):
        Keyring(Cluster()).docker_config_for(use(reference="UPPER CASE"))
