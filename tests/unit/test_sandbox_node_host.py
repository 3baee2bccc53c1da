"""What a host lacks for a node is said at once, with the remedy, and nothing is changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.model.errors import PreconditionError
from sandbox import node_host
from sandbox.node_host import CONTROLLERS, PROGRAMS, Host, Lack, lacks, probes

COMPLETE = Host(
    system="linux",
    is_root=True,
    programs=frozenset(PROGRAMS),
    controllers=frozenset(CONTROLLERS),
)


def test_a_complete_host_lacks_nothing() -> None:
    """So that the refusals below come from the one thing that differs."""
    assert lacks(COMPLETE) == []


def test_another_system_than_linux_is_the_only_lack_that_is_told() -> None:
    """On a Mac a list of Debian packages would send the user the wrong way."""
    (only,) = lacks(
        Host(system="darwin", is_root=False, programs=frozenset(), controllers=frozenset())
    )
    assert "darwin" in only.what
    assert only.package == ""


def test_every_missing_program_is_told_with_its_package() -> None:
    """One round of installing must be enough."""
    found = lacks(replace(COMPLETE, programs=frozenset({"mount", "unshare", "nsenter", "openssl"})))
    assert {lack.package for lack in found} == {"runc", "iptables", "iproute2"}
    assert all("apt-get install" in lack.remedy for lack in found)


def test_a_host_with_cgroup_v2_only_is_told_how_to_boot() -> None:
    """Most hosts of today are so; the kubelet's own words would not help."""
    (lack,) = lacks(replace(COMPLETE, controllers=frozenset()))
    assert "cgroup v1" in lack.what
    assert "unified_cgroup_hierarchy=0" in lack.remedy
    assert lack.package == ""


def test_one_missing_controller_is_named() -> None:
    """A container often sees some of them only."""
    (lack,) = lacks(replace(COMPLETE, controllers=frozenset(CONTROLLERS) - {"pids"}))
    assert "pids" in lack.what
    assert "memory" not in lack.what


def test_who_is_not_root_is_told_so_beside_what_else_lacks() -> None:
    """A user fixes both before the next try."""
    found = lacks(replace(COMPLETE, is_root=False, programs=frozenset(PROGRAMS) - {"runc"}))
    assert ["root" in lack.what for lack in found] == [True, False]


def test_refused_namespaces_end_the_probing() -> None:
    """The next probe would fail of the same, with a remedy that is wrong."""
    asked: list[tuple[str, ...]] = []

    def refuse(command: tuple[str, ...]) -> str:
        asked.append(command)
        return "unshare failed: Operation not permitted"

    (lack,) = probes(refuse)
    assert "Operation not permitted" in lack.what
    assert "capabilities" in lack.remedy
    assert len(asked) == 1


def test_a_kernel_without_bridge_or_iptables_is_told_which_modules_to_load() -> None:
    """Otherwise Pods start and reach nothing."""

    def no_bridge(command: tuple[str, ...]) -> str:
        return "" if command[-1] == "true" else "Error: Unknown device type."

    (lack,) = probes(no_bridge)
    assert "Unknown device type" in lack.what
    assert "modprobe bridge" in lack.remedy


def test_a_host_that_passes_both_probes_lacks_nothing() -> None:
    """An empty complaint is a success."""
    assert list(probes(lambda _: "")) == []


def test_all_lacks_stand_in_one_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo NODE=1` must not reveal them one by one."""
    bare = Host(system="linux", is_root=False, programs=frozenset(), controllers=frozenset())
    monkeypatch.setattr(node_host, "look", lambda: bare)
    with pytest.raises(PreconditionError, match=r"needs root.*runc.*cgroup v1") as caught:
        node_host.require()
    assert caught.value.reason == "NoNodeHere"


def test_a_lack_reads_as_a_sentence_with_its_remedy() -> None:
    """It is printed as it stands."""
    assert str(Lack(what="a node needs root", remedy="run it with sudo")) == (
        "a node needs root; run it with sudo"
    )


def test_system_folders_are_searched_after_the_users() -> None:
    """On Debian, runc and iptables are in /usr/sbin, which a user's PATH has not."""
    folders = node_host.environ()["PATH"].split(":")
    assert folders[-2:] == ["/usr/sbin", "/sbin"]
