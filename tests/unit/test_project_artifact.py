"""Registry, repository, tag and digest as trivy-operator tells them."""

from __future__ import annotations

import pytest

from tests.fakes.report_builders import DIGEST, OTHER_DIGEST, context
from worker.project.artifact import header

_PINNED = f"@{OTHER_DIGEST}"


@pytest.mark.parametrize(
    ("reference", "server", "repository", "tag"),
    [
        ("nginx", "index.docker.io", "library/nginx", "latest"),
        ("nginx:v1.3.4", "index.docker.io", "library/nginx", "v1.3.4"),
        ("library/nginx:v.4.5.6", "index.docker.io", "library/nginx", "v.4.5.6"),
        ("docker.io/library/alpine:v2.3.4", "index.docker.io", "library/alpine", "v2.3.4"),
        ("docker.io/alpine", "index.docker.io", "library/alpine", "latest"),
        ("team/app", "index.docker.io", "team/app", "latest"),
        ("quay.io/centos/centos", "quay.io", "centos/centos", "latest"),
        ("my-repo.company.com/my-app:1.2.3", "my-repo.company.com", "my-app", "1.2.3"),
        ("localhost:5000/a:1", "localhost:5000", "a", "1"),
        ("127.0.0.1:5055/demo/app:1.0", "127.0.0.1:5055", "demo/app", "1.0"),
    ],
)
def test_a_tag_reference_is_told_in_full(
    reference: str, server: str, repository: str, tag: str
) -> None:
    """Dashboards join on these: `nginx` and `docker.io/library/nginx` are one image."""
    told = header(context(reference))
    assert told["registry"] == {"server": server}
    assert told["artifact"] == {"repository": repository, "tag": tag, "digest": DIGEST}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("quay.io/team/app" + _PINNED, {"repository": "team/app"}),
        ("quay.io/team/app:1.0" + _PINNED, {"repository": "team/app", "tag": "1.0"}),
        ("index.docker.io/library/nginx:1" + _PINNED, {"repository": "library/nginx", "tag": "1"}),
    ],
)
def test_a_digest_reference_keeps_its_own_digest(reference: str, expected: dict[str, str]) -> None:
    """The user pinned it: that is what the report is about, whatever the kubelet calls it."""
    assert header(context(reference))["artifact"] == {**expected, "digest": OTHER_DIGEST}


@pytest.mark.parametrize(
    ("reference", "tag"), [("nginx:1.16", "nginx:1.16"), ("nginx", "nginx"), ("a/b:2", "a/b:2")]
)
def test_a_pinned_short_name_keeps_the_name_in_its_tag(reference: str, tag: str) -> None:
    """As upstream; a nicer tag would split every series that is grouped by it."""
    artifact = header(context(reference + _PINNED))["artifact"]
    assert isinstance(artifact, dict)
    assert artifact["tag"] == tag


def test_an_unknown_digest_is_left_out() -> None:
    """Only the repository stands there always."""
    assert header(context("nginx:1", digest=""))["artifact"] == {
        "repository": "library/nginx",
        "tag": "1",
    }


def test_a_reference_that_is_none_is_told_as_it_is() -> None:
    """A kubelet ran it somehow; its findings must not be lost over its name."""
    told = header(context("NOT a reference"))
    assert told["registry"] == {}
    assert told["artifact"] == {"repository": "NOT a reference", "digest": DIGEST}


def test_the_scanner_is_trivy_with_its_version() -> None:
    """As upstream: Trivy's version, not the operator's."""
    assert header(context())["scanner"] == {
        "name": "Trivy",
        "vendor": "Aqua Security",
        "version": "0.76.0",
    }
