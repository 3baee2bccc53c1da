"""What a node keeps is closed to other users, made anew at each start, and complete."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from sandbox.node import PROGRAMS
from sandbox.node_plan import Mount
from sandbox.node_store import Store
from sandbox.place import Place

SERVER = "https://127.0.0.1:20000"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path / "place") as one:
        yield one


@pytest.fixture
def store(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("sandbox.node_host.program", lambda name: f"/usr/sbin/{name}")
    programs = {name: tmp_path / "bin" / name for name in PROGRAMS}
    pause = tmp_path / "pause"
    pause.write_bytes(b"\x7fELF")
    return Store(place, {**programs, "pause": pause})


def written(store: Store, place: Place) -> Path:
    """Write everything and return the folder."""
    outside = {place.folder / "kubeconfig": "admin.conf", place.folder / "other": "product.conf"}
    store.write(SERVER, outside, registry_port=5000)
    return store.layout.folder


def test_no_secret_is_readable_for_others(store: Store, place: Place) -> None:
    """Tokens of administrators lie in a temporary folder of a shared machine."""
    folder = written(store, place)
    secret = [*(folder / "config").glob("*.conf"), folder / "config" / "tokens.csv"]
    secret += [place.folder / "kubeconfig", place.folder / "other"]
    assert len(secret) == 10
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_inside_and_outside_reach_the_server_by_their_own_ports(store: Store, place: Place) -> None:
    """Inside, the port is fixed; outside, it is this node's own."""
    folder = written(store, place)
    inside = orjson.loads((folder / "config" / "admin.conf").read_bytes())
    outside = orjson.loads((place.folder / "kubeconfig").read_bytes())
    assert inside["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert outside["clusters"][0]["cluster"]["server"] == SERVER
    assert inside["users"] == outside["users"]


def test_the_product_has_an_identity_of_its_own(store: Store, place: Place) -> None:
    """Only by that can the API server tell its requests from everybody else's."""
    written(store, place)
    outside = orjson.loads((place.folder / "other").read_bytes())
    token = outside["users"][0]["user"]["token"]
    assert token == store.tokens["product.conf"] != store.tokens["admin.conf"]


def test_what_an_earlier_node_left_is_removed(store: Store, place: Place) -> None:
    """Its etcd knows Pods that no longer run."""
    folder = written(store, place)
    (folder / "etcd").mkdir()
    store.clear()
    assert not (written(store, place) / "etcd").exists()


def test_a_node_that_starts_again_finds_its_data(store: Store, place: Place) -> None:
    """Its etcd knows the Pods that shall run again; its files are written as they were."""
    folder = written(store, place)
    (folder / "etcd").mkdir()
    files = {path: path.read_bytes() for path in (folder / "config").rglob("*.conf")}
    assert (written(store, place) / "etcd").exists()
    assert {path: path.read_bytes() for path in files} == files


def test_keys_are_made_once_for_a_place(store: Store, place: Place) -> None:
    """A running node reads them again when it likes."""
    certificate, key = store.layout.kubelet_client
    before = certificate.read_bytes(), key.read_bytes()
    again = Store(place, store.layout.programs)
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert again.tokens != store.tokens


def test_the_plan_finds_containerds_own_shim_first(store: Store, tmp_path: Path) -> None:
    """Another version's shim in PATH ends each Pod with `ttrpc: connection refused`."""
    mount = Mount(controllers=("cpu",), group=Path("/sys/fs/cgroup/cpu/x"))
    made = store.plan(cgroups=(mount,), registry_port=5000, server_socket=7, host_network=8)
    assert made.search_path.split(":")[0] == str(tmp_path / "bin")
    assert made.commands["kubelet"][0] == str(tmp_path / "bin" / "kubelet")
    assert made.pause_archive.parent == store.layout.folder
    assert made.logs.name == "log"


def test_configuration_names_only_files_that_are_written(store: Store, place: Place) -> None:
    """A typing error in a path would show as a part that ends at its start."""
    folder = written(store, place)
    config = str(folder / "config")
    mount = Mount(controllers=("cpu",), group=Path("/x"))
    made = store.plan(cgroups=(mount,), registry_port=5000, server_socket=7, host_network=8)
    named = {
        word.partition("=")[2] or word
        for line in made.commands.values()
        for word in line
        if config in word
    }
    assert len(named) >= 8
    assert not [path for path in named if not Path(path).exists()]
    assert (folder / "config" / "certs.d" / "127.0.0.1:5000" / "hosts.toml").exists()
