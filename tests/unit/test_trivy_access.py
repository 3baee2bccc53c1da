"""The way to a registry: what a setting allows, and what no setting changes."""

from __future__ import annotations

import pytest

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
