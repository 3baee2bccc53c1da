"""The way to a registry: what a setting allows, and what no setting changes."""

from __future__ import annotations

import pytest

from common.model.errors import SettingsError
from common.model.refs import parse_reference
from common.settings.parse import parse
from worker.evidence.image.access import Accesses


@pytest.mark.parametrize(
    ("text", "host", "repository"),
    [
        ("nginx", "index.docker.io", "library/nginx"),
        ("quay.io/a/b/c:1", "quay.io", "a/b/c"),
        ("localhost:5000/a@sha256:" + "0" * 64, "localhost:5000", "a"),
    ],
)
def test_an_image_is_asked_for_under_its_own_name(text: str, host: str, repository: str) -> None:
    """Host and path of the request, whatever tag or digest is asked for."""
    access = Accesses(insecure=False).of(parse_reference(text))
    assert (access.host, access.repository) == (host, repository)
    assert access.mirrored_name == f"{host}/{repository}"


@pytest.mark.parametrize(("setting", "insecure"), [({}, False), ({"TRIVY_INSECURE": "true"}, True)])
def test_nothing_is_excused_unless_a_setting_says_so(
    setting: dict[str, str],
    insecure: bool,  # noqa: FBT001 # a table's column
) -> None:
    """A credential must not go to whoever answers."""
    access = Accesses.of_settings(parse(setting)).of(parse_reference("quay.io/a"))
    assert (access.plain, access.verify) == (insecure, not insecure)


MIRRORS = (
    "docker.io=mirror.example/hub,docker.io/library=official.example,"
    "ghcr.io/team=mirror.example:5000/t,quay.io=hubuser"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx:1.27", "official.example/nginx"),
        ("docker.io/library/nginx", "official.example/nginx"),
        ("index.docker.io/bitnami/redis", "mirror.example/hub/bitnami/redis"),
        ("ghcr.io/team/app@sha256:" + "0" * 64, "mirror.example:5000/t/app"),
        ("ghcr.io/teammate/app", "ghcr.io/teammate/app"),
        ("ghcr.io/other/app", "ghcr.io/other/app"),
        ("quay.io/a/b", "index.docker.io/hubuser/a/b"),  # a host needs a dot, here as everywhere
        ("quay.io:8443/a/b", "quay.io:8443/a/b"),
    ],
)
def test_the_longest_prefix_names_the_mirror(text: str, name: str) -> None:
    """By whole parts of the full name, with one spelling of Docker Hub."""
    accesses = Accesses.of_settings(parse({"SLUICE_REGISTRY_MIRRORS": MIRRORS}))
    assert accesses.of(parse_reference(text)).mirrored_name == name


def test_a_mirror_that_can_be_none_is_refused_at_start() -> None:
    """Or every image would fail, one by one."""
    with pytest.raises(SettingsError, match="SLUICE_REGISTRY_MIRRORS"):
        parse({"SLUICE_REGISTRY_MIRRORS": "docker.io=Mirror.example/HUB"})


@pytest.mark.parametrize(
    ("text", "plain", "verify"),
    [
        ("plain.example/a", True, True),
        ("odd.example:5000/a", False, False),
        ("odd.example/a", False, True),
        ("nginx", False, True),  # `docker` in a list is no host, and never means Docker Hub
        ("quay.io/a", False, False),  # the mirror's, which is asked
    ],
)
def test_hosts_are_excused_one_by_one(
    text: str,
    plain: bool,  # noqa: FBT001 # a table's column
    verify: bool,  # noqa: FBT001
) -> None:
    """Who is asked counts, not who is named."""
    settings = {
        "SLUICE_NON_SSL_REGISTRIES": "plain.example,docker",
        "SLUICE_INSECURE_REGISTRIES": "odd.example:5000",
        "SLUICE_REGISTRY_MIRRORS": "quay.io=odd.example:5000/quay",
    }
    access = Accesses.of_settings(parse(settings)).of(parse_reference(text))
    assert (access.plain, access.verify) == (plain, verify)
    assert access.insecure is (plain or not verify)


def test_plain_http_may_be_allowed_to_all() -> None:
    """Certificates are checked all the same."""
    access = Accesses.of_settings(parse({"TRIVY_NON_SSL": "true"})).of(parse_reference("quay.io/a"))
    assert (access.plain, access.verify) == (True, True)
