"""Two sandboxes side by side share no file, no port and no data."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def test_places_never_give_the_same_port_twice() -> None:
    """A port that is only bound later can be promised twice; the second server then dies."""
    with Place() as one, Place() as two:
        ports = [place.port() for _ in range(50) for place in (one, two)]
    assert len(set(ports)) == 100


def test_a_port_is_reserved_against_other_processes_too() -> None:
    """Two test runs on one machine start their servers seconds after they chose ports."""
    code = (
        "import sys; from sandbox.place import Place\nwith Place() as it: it.port(int(sys.argv[1]))"
    )
    with Place() as place:
        asked = subprocess.run(
            [sys.executable, "-c", code, str(place.port())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert asked.returncode == 1
    assert "in use; stop its owner or choose another" in asked.stderr


def test_a_port_that_a_stranger_listens_on_is_refused() -> None:
    """The message names the port; a server that dies of it later would not."""
    with Place() as place, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        with pytest.raises(PreconditionError, match=f"port {taken} of 127"):
            place.port(taken)


def test_a_port_is_free_again_after_its_place() -> None:
    """A fixed registry port must survive a restart of the sandbox."""
    with Place() as one:
        port = one.port()
    with Place() as two:
        assert two.port(port) == port


def test_chosen_ports_are_below_those_that_the_kernel_gives_away() -> None:
    """An outgoing connection may take an ephemeral port between our choice and the bind."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with Place() as place:
        assert place.port() < lowest


def test_data_is_refused_while_its_program_lives(tmp_path: Path) -> None:
    """An old etcd deletes the WAL file that a new one on the same folder will need."""
    with Place(tmp_path / "place") as place, Stack() as stack:
        lock = place.claim("etcd")
        command = Command(
            name="etcd", argv=("/bin/sleep", "1000"), log=place.log("etcd"), pass_fds=(lock,)
        )
        etcd = stack.push(Process(command)).start()
        os.close(lock)  # from here on only the program holds it
        with pytest.raises(PreconditionError, match="etcd belongs to a program that still runs"):
            place.claim("etcd")
        etcd.stop()
        os.close(place.claim("etcd"))


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A second sandbox would rewrite the keys and tokens of the first."""
    with (
        Place(tmp_path / "place"),
        pytest.raises(PreconditionError, match="belongs to a program that still runs"),
    ):
        Place(tmp_path / "place")


def test_a_place_of_its_own_is_removed_and_a_given_one_is_kept(tmp_path: Path) -> None:
    """Test runs must not fill the disk; a user's folder is the user's."""
    with Place() as own, Place(tmp_path / "given") as given:
        own.log("x").touch()
        given.log("x").touch()
    assert not own.folder.exists()
    assert given.log("x").exists()


def test_what_a_crashed_sandbox_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds 130 MB of etcd's; nobody would look for them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # out of reach of other test runs
    monkeypatch.setattr(tempfile, "tempdir", None)  # forget the folder chosen before
    code = (
        "import os; from sandbox.place import Place; print(Place().folder, flush=True); os.abort()"
    )
    crashed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    left = Path(crashed.stdout.strip())
    assert left.exists()
    with Place() as living, Place() as next_one:
        assert not left.exists()
        assert living.folder.exists()
        assert next_one.folder.exists()


def test_nobody_else_may_look_inside() -> None:
    """It holds the admin token and the keys."""
    with Place() as place:
        assert place.folder.stat().st_mode & 0o077 == 0
        assert place.sub("pki").stat().st_mode & 0o077 == 0


def test_a_unix_socket_fits_into_the_folder_s_path() -> None:
    """Its path may have 107 bytes; temporary folders of test runners are longer."""
    with Place() as place, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place.folder / "valkey.sock"))
