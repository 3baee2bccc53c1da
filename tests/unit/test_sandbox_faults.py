"""Which requests of a registry meet a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.accesslog import Request, count
from sandbox.faults import Answer, Hang, Login, Rule, Target, target_of

APP = Target(repository="team/app", kind="manifest")
LOGIN = Login(username="ann", password="pass:word")  # noqa: S106 (a made-up one)


def rule(  # one line per test instead of five
    fault: Answer | Login | Hang = Answer(status=500),  # noqa: B008 (frozen)
    *,
    times: int | None = None,
    repository: str = "*",
    kind: str = "*",
    method: str = "*",
) -> Rule:
    """Return a rule."""
    return Rule(fault, times=times, repository=repository, kind=kind, method=method)


@pytest.mark.parametrize(
    ("path", "repository", "kind"),
    [
        ("/v2/", "", "other"),
        ("/v2/app/manifests/1", "app", "manifest"),
        ("/v2/team/app/manifests/sha256:00", "team/app", "manifest"),
        ("/v2/team/app/blobs/sha256:00", "team/app", "blob"),
        ("/v2/team/app/blobs/uploads/1?digest=sha256:00", "team/app", "blob"),
        ("/v2/team/app/tags/list?n=1000", "team/app", "tags"),
        ("/v2/app/referrers/sha256:00", "app", "referrers"),
        ("/v2/_catalog", "", "other"),
        ("/v2/manifests/manifests/blobs", "manifests", "manifest"),
        ("/", "", "other"),
    ],
)
def test_paths_are_sorted_by_repository_and_kind(path: str, repository: str, kind: str) -> None:
    """Counts by kind are what the product's thrift is judged by."""
    assert target_of(path) == Target(repository=repository, kind=kind)


@given(st.text())
def test_any_path_has_a_kind(path: str) -> None:
    """The proxy sorts what anybody sends; it must not fall over."""
    assert target_of(path).kind in {"manifest", "blob", "tags", "referrers", "other"}


def test_a_rule_takes_only_what_its_patterns_match() -> None:
    """A fault for one image must not disturb the test beside it."""
    picky = rule(repository="team/*", kind="manifest", method="GET")
    assert picky.takes("GET", APP, None)
    assert not picky.takes("HEAD", APP, None)
    assert not picky.takes("GET", Target(repository="team/app", kind="blob"), None)
    assert not picky.takes("GET", Target(repository="other/app", kind="manifest"), None)
    assert picky.hits == 1


def test_a_rule_spares_the_agents_that_it_names() -> None:
    """A kubelet that may pull what a scanner may not: its pod runs, and has no report."""
    refusing = rule(Answer(status=401, spared="containerd/*"))
    assert refusing.takes("GET", APP, None, agent="trivy/0.76")
    assert refusing.takes("GET", APP, None)
    assert not refusing.takes("GET", APP, None, agent="containerd/2.3.7")
    assert rule(Answer(status=401)).takes("GET", APP, None)  # nobody is named


def test_a_rule_ends_after_its_times() -> None:
    """Twice 429 and then success is the usual registry."""
    twice = rule(times=2)
    assert [twice.takes("GET", APP, None) for _ in range(3)] == [True, True, False]


def test_a_rule_ends_with_its_block() -> None:
    """A test that fails inside the block must not leave the registry broken for the next."""
    with rule() as lasting:
        assert lasting.takes("GET", APP, None)
    assert not lasting.takes("GET", APP, None)


def test_a_login_takes_only_those_without_the_right_credentials() -> None:
    """A password may hold a colon; only the first one separates."""
    private = rule(LOGIN)
    assert private.takes("GET", APP, None)
    assert private.takes("GET", APP, "Basic d3Jvbmc=")
    assert not private.takes("GET", APP, "Basic YW5uOnBhc3M6d29yZA==")
    assert private.hits == 2


def test_requests_are_counted_by_repository_and_kind() -> None:
    """None stands for any."""
    paths = ("/v2/a/manifests/1", "/v2/a/blobs/x", "/v2/b/manifests/1", "/v2/")
    log = [
        Request(at=0.0, method="GET", path=path, status=200, bytes=0, user_agent="")
        for path in paths
    ]
    assert count(log) == 4
    assert count(log, repository="a") == 2
    assert count(log, kind="manifest") == 2
    assert count(log, repository="b", kind="blob") == 0
