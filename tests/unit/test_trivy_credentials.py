"""The keyring finds what a workload's kubelet would use, and survives what it would ignore."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from common.model.errors import (
    BadReferenceError,
    GoneError,
    ImageNotFoundError,
    SluiceError,
    SourceUnavailableError,
    TransientError,
    UnauthorizedError,
)
from common.model.image import ImageUse
from common.model.refs import ImageReference
from common.model.workload import MOST_PULL_SECRETS
from worker.evidence.image.access import Accesses
from worker.evidence.image.credentials import (
    MAX_TRIES,
    Keyring,
    KeyringConfig,
    Providers,
    first_taken,
)
from worker.evidence.image.docker_config import DOCKER_CONFIG_JSON, Credential, credential_in

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


def keyring(cluster: Cluster, providers: Providers | None = None, **config: object) -> Keyring:
    """Return a keyring of the cluster; the operator's own namespace is `operator`."""
    fields = {"accesses": Accesses(insecure=False), "shared": {}, "operator_namespace": "operator"}
    return Keyring(cluster, KeyringConfig(**fields | config), providers)  # type: ignore[arg-type] # the builder's own fields


def users(found: Iterable[bytes | None], host: str = "r.example") -> list[str | None]:
    """Return whose credentials they are; None: anonymous."""
    entries = [credential_in(config, host) for config in found]
    return [entry.username if entry else None for entry in entries]


def first(ring: Keyring, one: ImageUse) -> str | None:
    """Return whose credential is tried first."""
    return users([next(ring.candidates(one))])[0]


def test_the_pods_secret_is_used() -> None:
    """The ordinary case."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    assert first(keyring(cluster), use("pull")) == "pod"


def test_the_accounts_secrets_come_after_the_pods() -> None:
    """For a template that no pod was made from yet, the account's are all there is."""
    cluster = Cluster()
    cluster.login("shop", "mine", "pod")
    cluster.login("shop", "lent", "account")
    cluster.accounts["shop", "runner"] = ("lent", "mine")
    assert first(keyring(cluster), use()) == "account"
    assert users(keyring(cluster).candidates(use("mine"))) == ["pod", "account", None]
    assert cluster.reads == ["lent", "mine", "lent"]


def test_no_more_is_read_than_is_tried() -> None:
    """Secrets are other people's: the first that is taken ends it."""
    cluster = Cluster()
    cluster.login("shop", "one", "pod")
    cluster.login("shop", "two", "another")
    assert first(keyring(cluster), use("one", "two")) == "pod"
    assert cluster.reads == ["one"]


def test_a_list_without_end_is_read_in_part() -> None:
    """Each name is a question to the API server, in each run of each image of the workload."""
    cluster = Cluster()
    cluster.accounts["shop", "runner"] = tuple(f"lent-{number}" for number in range(20_000))
    many = use(*(f"mine-{number}" for number in range(20_000)))
    assert users(keyring(cluster).candidates(many)) == [None]
    assert len(cluster.reads) == 2 * MOST_PULL_SECRETS


def test_secrets_of_other_namespaces_are_never_read() -> None:
    """A tenant's secret must not pull for its neighbour."""
    cluster = Cluster()
    cluster.login("other", "pull", "neighbour")
    shared = {"other": ("pull",)}
    assert users(keyring(cluster, shared=shared).candidates(use("pull"))) == [None]


@pytest.mark.parametrize(
    ("workload_secrets", "wanted"),
    [(True, ["pod", "shared", "everybody", None]), (False, ["everybody", None])],
)
def test_what_an_administrator_adds_comes_last(
    workload_secrets: bool,  # noqa: FBT001 # a table's column
    wanted: list[str | None],
) -> None:
    """For a namespace its own; for all those of the operator's namespace, or these alone."""
    cluster = Cluster()
    cluster.login("shop", "mine", "pod")
    cluster.login("shop", "extra", "shared")
    cluster.login("operator", "hub", "everybody")
    ring = keyring(
        cluster,
        shared={"shop": ("extra",), "operator": ("hub",)},
        workload_secrets=workload_secrets,
    )
    assert users(ring.candidates(use("mine"))) == wanted


def test_a_mirror_never_gets_the_credential_of_what_it_mirrors() -> None:
    """It goes to who is asked, and only if it was meant for it."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    away = Accesses(insecure=False, mirrors=(("r.example", "mirror.example/r"),))
    assert list(keyring(cluster, accesses=away).candidates(use("pull"))) == [None]
    there = Accesses(insecure=False, mirrors=(("quay.io", "r.example/quay"),))
    found = keyring(cluster, accesses=there).candidates(use("pull", reference="quay.io/team/app"))
    assert users(found) == ["pod", None]


@dataclass
class Plugins:
    """Gives entries, or fails."""

    entry: Credential | None
    asked: list[str] = field(default_factory=list)

    def entries(self, reference: ImageReference) -> Mapping[str, Credential]:
        self.asked.append(reference.name)
        if self.entry is None:
            raise TransientError("the plugin failed", reason="CredentialProviderFailed")
        return {"r.example": self.entry}


def test_plugins_are_asked_after_every_secret() -> None:
    """As by a kubelet; what is paid for by the call comes last."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    plugins = Plugins(Credential(username="cloud", password="pw"))  # noqa: S106 - made up
    found = keyring(cluster, plugins).candidates(use("pull"))
    assert users([next(found)]) == ["pod"]
    assert plugins.asked == []
    assert users(found) == ["cloud", None]
    assert plugins.asked == ["r.example/team/app"]


def test_a_plugin_that_fails_is_told_when_nothing_else_helped() -> None:
    """A public image needs none; for another one "unauthorized" would be the wrong fault."""
    found = keyring(Cluster(), Plugins(None)).candidates(use())
    assert next(found) is None
    with pytest.raises(TransientError, match="the plugin failed"):
        next(found)


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
    assert first(keyring(cluster), use("bad", "good")) == "pod"
    assert list(keyring(cluster).candidates(use("bad"))) == [None]


def test_a_forbidden_account_is_no_obstacle() -> None:
    """Clusters may grant secrets by name and no accounts."""
    cluster = Cluster()
    cluster.login("shop", "pull", "pod")
    cluster.accounts["shop", "runner"] = UnauthorizedError("serviceaccounts is forbidden")
    assert users(keyring(cluster).candidates(use("pull"))) == ["pod", None]


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
        list(keyring(cluster).candidates(use("pull")))


def test_a_bad_reference_is_said_so() -> None:
    """Nothing can be looked up for it."""
    with pytest.raises(BadReferenceError):
        next(keyring(Cluster()).candidates(use(reference="UPPER CASE")))


def taken(*answers: SluiceError | str, anonymous: int = -1) -> str:
    """Try candidates that meet these answers, of which one has no credential."""

    def attempt(number: int) -> str:
        answer = answers[number]
        if isinstance(answer, SluiceError):
            raise answer
        return answer

    return first_taken(
        range(len(answers)), attempt, has_credential=lambda number: number != anonymous
    )


REFUSED, UNKNOWN = UnauthorizedError("no"), ImageNotFoundError("what?")


def test_a_stale_secret_does_not_hide_a_good_one() -> None:
    """A kubelet tries one after the other."""
    assert taken(REFUSED, UNKNOWN, "pulled") == "pulled"


@pytest.mark.parametrize(
    ("answers", "anonymous", "told"),
    [
        ((REFUSED, UNKNOWN, REFUSED), 2, UNKNOWN),  # one was let in: the image is gone
        ((REFUSED, UNKNOWN), 1, REFUSED),  # a registry that hides what it keeps
        ((BadReferenceError("?"), REFUSED), -1, REFUSED),
    ],
)
def test_the_most_telling_refusal_is_told(
    answers: Sequence[SluiceError], anonymous: int, told: SluiceError
) -> None:
    """It decides what the user looks for."""
    with pytest.raises(type(told)) as caught:
        taken(*answers, anonymous=anonymous)
    assert caught.value is told


def test_tries_are_few() -> None:
    """A registry locks out who knocks too often."""
    with pytest.raises(UnauthorizedError):
        taken(*[REFUSED] * MAX_TRIES, "pulled")
    assert taken(*[REFUSED] * (MAX_TRIES - 1), "pulled") == "pulled"


def test_other_faults_end_it() -> None:
    """A registry that is away is away for every credential."""
    with pytest.raises(SourceUnavailableError):
        taken(SourceUnavailableError("away"), "pulled")
