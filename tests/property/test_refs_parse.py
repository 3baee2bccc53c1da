"""Laws of image references."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import BadReferenceError
from common.model.refs import ImageReference, digest_of_image_id, parse_reference

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
DIGESTS = HEX.map(lambda digits: f"sha256:{digits}")
COMPONENTS = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,2})[a-z0-9]{1,6}){0,2}", fullmatch=True)
REPOSITORIES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
LABELS = st.from_regex(r"[A-Za-z0-9]{1,6}(-[A-Za-z0-9]{1,6})?", fullmatch=True)
HOSTS = st.one_of(
    st.sampled_from(["docker.io", "index.docker.io", "localhost", "127.0.0.1", "[::1]:5000"]),
    st.tuples(LABELS, LABELS).map(".".join),
    st.tuples(LABELS, st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}"),
)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return a reference as a user may write it."""
    host = draw(st.none() | HOSTS)
    tag, digest = draw(st.none() | TAGS), draw(st.none() | DIGESTS)
    name = draw(REPOSITORIES)
    return "".join(
        (
            f"{host}/" if host else "",
            name,
            f":{tag}" if tag else "",
            f"@{digest}" if digest else "",
        )
    )


@given(texts())
def test_the_canonical_spelling_means_the_same(text: str) -> None:
    """Whatever is stored may be parsed again."""
    with contextlib.suppress(BadReferenceError):  # 64 hex digits alone
        once = parse_reference(text)
        assert parse_reference(once.canonical) == once
        assert parse_reference(once.canonical).canonical == once.canonical


@given(texts(), DIGESTS)
def test_a_pinned_reference_is_a_reference(text: str, digest: str) -> None:
    """Workers hand it to Trivy, which parses it by the same grammar."""
    with contextlib.suppress(BadReferenceError):
        pinned = parse_reference(text).pinned(digest)
        assert parse_reference(pinned.pull_name) == pinned
        assert digest_of_image_id(pinned.pull_name) == digest


@given(st.text(max_size=300))
def test_every_text_is_a_reference_or_a_bad_one(text: str) -> None:
    """Pod specs hold anything; nothing but BadReferenceError may come of it."""
    with contextlib.suppress(BadReferenceError):
        found = parse_reference(text)
        assert isinstance(found, ImageReference)
        assert found.tag or found.digest
        assert not found.pull_name.startswith("-")
        assert found.pull_name == found.pull_name.strip()


@given(st.text(max_size=120))
def test_every_image_id_is_a_digest_or_none(image_id: str) -> None:
    """Kubelets and container runtimes have written many things there."""
    found = digest_of_image_id(image_id)
    assert found is None or image_id.endswith(f"@{found}")
