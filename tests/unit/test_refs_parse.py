"""References mean what kubelets and registries take them for."""

from __future__ import annotations

import pytest

from common.model.errors import BadReferenceError
from common.model.refs import (
    ImageReference,
    config_of_image_id,
    digest_of_image_id,
    parse_digest,
    parse_reference,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "index.docker.io", "library/nginx", "latest", ""),
        ("nginx:1.27", "index.docker.io", "library/nginx", "1.27", ""),
        ("nginx:5000", "index.docker.io", "library/nginx", "5000", ""),
        ("docker.io/nginx", "index.docker.io", "library/nginx", "latest", ""),
        ("index.docker.io/nginx", "index.docker.io", "library/nginx", "latest", ""),
        ("docker.io/library/nginx", "index.docker.io", "library/nginx", "latest", ""),
        ("team/app", "index.docker.io", "team/app", "latest", ""),
        ("ghcr.io/team/app:v1", "ghcr.io", "team/app", "v1", ""),
        ("ghcr.io/app", "ghcr.io", "app", "latest", ""),
        ("localhost/app", "localhost", "app", "latest", ""),
        ("localhost:5000/app:V1", "localhost:5000", "app", "V1", ""),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c", "latest", ""),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", ""),
        ("UPPER.example/app", "UPPER.example", "app", "latest", ""),
        ("r.example/a__b/c-d--e.f", "r.example", "a__b/c-d--e.f", "latest", ""),
        (f"nginx@{DIGEST}", "index.docker.io", "library/nginx", "", DIGEST),
        (f"nginx:1.16@{DIGEST}", "index.docker.io", "library/nginx", "1.16", DIGEST),
        (f"r.example:5000/a@{DIGEST}", "r.example:5000", "a", "", DIGEST),
        ("r.example/a:" + "t" * 128, "r.example", "a", "t" * 128, ""),
    ],
)
def test_a_reference_has_its_parts(
    text: str, registry: str, repository: str, tag: str, digest: str
) -> None:
    """A wrong default asks the wrong registry, or shows another name than trivy-operator does."""
    assert parse_reference(text) == ImageReference(
        registry=registry, repository=repository, tag=tag, digest=digest
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "repository"),
        (" nginx", "repository"),
        ("nginx ", "repository"),
        ("Nginx", "repository"),
        ("Team/app", "repository"),
        ("r.example/", "repository"),
        ("r.example//a", "repository"),
        ("/a", "repository"),
        ("a..b", "repository"),
        ("a___b", "repository"),
        ("-a", "repository"),
        ("--config=/etc/passwd", "repository"),
        ("a/b\n", "repository"),
        ("https://r.example/a", "registry"),
        ("r_x.example/a", "registry"),
        ("user:pw.example@r.example/a", "digest"),
        ("r.example:port/a", "registry"),
        ("r.example:123456/a", "registry"),
        (":tag", "repository"),
        ("nginx:", "tag"),
        ("nginx:.x", "tag"),
        ("nginx:" + "t" * 129, "tag"),
        ("nginx@", "digest"),
        ("nginx@sha256:abc", "digest"),
        (f"nginx@{DIGEST}@{DIGEST}", "digest"),
        (f"nginx@{DIGEST.upper()}", "digest"),
        ("nginx@md5:" + "0" * 32, "digest"),
        ("0123456789abcdef" * 4, "repository"),
        (DIGEST, "repository"),
        ("a/" * 127 + "ab", "repository"),
    ],
)
def test_what_no_kubelet_would_pull_is_refused_by_name(text: str, part: str) -> None:
    """The message says which part is wrong; the text itself is shown, shortened."""
    with pytest.raises(BadReferenceError, match=f"the {part} is not valid"):
        parse_reference(text)


def test_a_long_text_is_shown_shortened() -> None:
    """References come from tenants; messages end in Events."""
    with pytest.raises(BadReferenceError) as caught:
        parse_reference("A" * 5000)
    assert len(str(caught.value)) < 340


def test_a_registry_is_asked_for_the_digest_where_there_is_one() -> None:
    """The tag beside a digest is decoration: it may have moved."""
    both = parse_reference(f"nginx:1.16@{DIGEST}")
    assert both.pull_name == f"index.docker.io/library/nginx@{DIGEST}"
    assert both.canonical == f"index.docker.io/library/nginx:1.16@{DIGEST}"
    assert parse_reference("nginx").pull_name == "index.docker.io/library/nginx:latest"


def test_pinning_drops_the_tag() -> None:
    """What a kubelet ran is its digest, whatever the tag means by now."""
    pinned = parse_reference("nginx:1.16").pinned(DIGEST)
    assert pinned.canonical == f"index.docker.io/library/nginx@{DIGEST}"
    with pytest.raises(BadReferenceError):
        pinned.pinned("sha256:short")


def test_a_digest_is_checked() -> None:
    """Everything keyed by digests relies on it."""
    assert parse_digest(DIGEST) == DIGEST
    for text in ("", "sha256:", DIGEST + "0", DIGEST.upper(), f"x@{DIGEST}", f" {DIGEST}"):
        with pytest.raises(BadReferenceError, match="not an image digest"):
            parse_digest(text)


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"docker.io/library/nginx@{DIGEST}", DIGEST),
        (f"r.example:5000/a/b@{DIGEST}", DIGEST),
        (f"docker-pullable://nginx@{DIGEST}", DIGEST),
        (DIGEST, None),
        (f"docker://{DIGEST}", None),
        (f"@{DIGEST}", DIGEST),
        ("", None),
        ("nginx:1.27", None),
        ("nginx@sha256:abc", None),
        (f"nginx@{DIGEST}\n", None),
    ],
)
def test_trap_31_an_image_id_gives_the_pullable_digest_or_none(
    image_id: str, digest: str | None
) -> None:
    """Trap 31. A bare digest is that of the configuration: no registry serves it as an image."""
    assert digest_of_image_id(image_id) == digest


@pytest.mark.parametrize(
    ("image_id", "config"),
    [
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64),
        ("docker://sha256:" + "a" * 64, "sha256:" + "a" * 64),
        ("docker-pullable://app@sha256:" + "a" * 64, None),
        ("r.example/app@sha256:" + "a" * 64, None),
        ("app:1", None),
        ("", None),
    ],
)
def test_a_configuration_is_told_apart(image_id: str, config: str | None) -> None:
    """Trap 31. It proves what runs, and is nothing that a registry could be asked for."""
    assert config_of_image_id(image_id) == config
