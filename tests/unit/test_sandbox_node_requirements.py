"""CI gets what lacks; a user's machine is told, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from common.model.errors import PreconditionError
from sandbox import node_host, requirements
from sandbox.node_host import CONTROLLERS, PROGRAMS, Host, Lack
from sandbox.requirements import install, installable

RUNC = Lack(what="runc is not installed", remedy="apt-get install runc", package="runc")
UNSHARE = Lack(what="unshare", remedy="apt-get install util-linux", package="util-linux")
NSENTER = Lack(what="nsenter", remedy="apt-get install util-linux", package="util-linux")
ROOT = Lack(what="a node needs root", remedy="run it with sudo")
CI = {"CI": "true"}


def test_ci_installs_each_missing_package_once() -> None:
    """Two programs often come from one package."""
    assert installable([RUNC, UNSHARE, NSENTER], CI, has_apt=True) == ("runc", "util-linux")


@pytest.mark.parametrize("environ", [{}, {"CI": ""}])
def test_nothing_is_installed_on_a_users_machine(environ: dict[str, str]) -> None:
    """`make e2e` says what to do; the machine is the user's."""
    assert installable([RUNC], environ, has_apt=True) == ()


def test_nothing_is_installed_where_no_package_would_help() -> None:
    """Without root, apt-get fails and hides the reason; without cgroups, all is for nothing."""
    assert installable([RUNC, ROOT], CI, has_apt=True) == ()


def test_nothing_is_installed_without_apt() -> None:
    """Other distributions have other names for packages."""
    assert installable([RUNC], CI, has_apt=False) == ()


def test_nothing_is_installed_when_nothing_lacks() -> None:
    """CI images often have everything; an update alone takes seconds."""
    assert installable([], CI, has_apt=True) == ()


def test_lists_are_updated_once_before_the_installation() -> None:
    """A fresh image has no lists, and apt-get would know no package."""
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str:
        ran.append(command)
        return ""

    install(("iproute2", "runc"), run=run)
    assert [tuple(command) for command in ran] == [
        ("apt-get", "update"),
        ("apt-get", "install", "-y", "--no-install-recommends", "iproute2", "runc"),
    ]


def test_old_lists_may_do_when_the_update_fails() -> None:
    """A mirror that is away for a minute must not fail the build."""
    install(("runc",), run=lambda command: "no network" if "update" in command else "")


def test_a_failed_installation_tells_both_complaints() -> None:
    """The second is often a consequence of the first."""
    with pytest.raises(PreconditionError, match=r"runc.*unable to locate.*no network"):
        install(
            ("runc",),
            run=lambda command: "no network" if "update" in command else "unable to locate",
        )


def test_what_lacks_is_said_with_its_remedy_and_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make e2e` stops there, before a build of minutes."""
    lacking = Host(
        system="linux",
        is_root=True,
        programs=frozenset(PROGRAMS) - {"runc"},
        controllers=frozenset(CONTROLLERS),
    )
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(node_host, "look", lambda: lacking)
    assert requirements.main() == 3
    assert "runc is not installed; apt-get install runc" in capsys.readouterr().err


def test_a_host_with_everything_passes_the_probes_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silence is success."""
    complete = Host(
        system="linux",
        is_root=True,
        programs=frozenset(PROGRAMS),
        controllers=frozenset(CONTROLLERS),
    )
    monkeypatch.setattr(node_host, "look", lambda: complete)
    monkeypatch.setattr(node_host, "probes", lambda: iter(()))
    assert requirements.main() == 0
    assert capsys.readouterr().err == ""
