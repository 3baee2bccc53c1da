"""What `sluice run` needs of its machine: a folder of its own, sockets, ports, a Trivy."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.ops import ports as ops_ports
from common.ops.data_folder import hold
from common.ops.ports import free_ports, is_free, unix_answers
from common.ops.socket_paths import LIMIT_BYTES, short_enough

pytestmark = pytest.mark.integration

# --- the data folder


def test_a_data_folder_is_made_private(tmp_path: Path) -> None:
    """It holds an AOF with everything that the cluster runs."""
    with hold(str(tmp_path / "state" / "sluice")) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_held_folder_refuses_others_until_it_is_let_go(tmp_path: Path) -> None:
    """Two Valkeys over one append-only file destroy it."""
    with (
        hold(str(tmp_path)),
        pytest.raises(PreconditionError, match="another `sluice run` uses"),
        hold(str(tmp_path)),
    ):
        raise AssertionError("unreachable")
    with hold(str(tmp_path)):
        pass


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    """A lock file that survives a crash makes people delete lock files."""
    code = (
        "import os, sys\n"
        "from common.ops.data_folder import hold\n"
        "with hold(sys.argv[1]):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with hold(str(tmp_path)):
        pass


def test_a_folder_that_cannot_be_made_is_a_precondition(tmp_path: Path) -> None:
    """A file in the way, a full or read-only disk: the message names the setting."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(PreconditionError, match="set SLUICE_DATA_DIR"), hold(str(in_the_way)):
        raise AssertionError("unreachable")


def test_an_error_inside_the_block_stays_what_it_is(tmp_path: Path) -> None:
    """A BlockingIOError of the work itself is not about the lock."""
    with pytest.raises(BlockingIOError, match="of the work"), hold(str(tmp_path)):
        raise BlockingIOError("of the work")


# --- sockets


def test_a_short_path_stays_itself() -> None:
    """Nobody has to look for it."""
    assert short_enough("/run/sluice/scanner.sock") == "/run/sluice/scanner.sock"


def test_a_long_path_gets_a_short_private_stand_in() -> None:
    """`bind` fails with `AF_UNIX path too long`, which names neither path nor remedy."""
    long = f"/{'d' * 120}/scanner.sock"
    short = short_enough(long)
    assert len(short) <= LIMIT_BYTES
    assert short_enough(long) == short
    assert short_enough(f"/{'e' * 120}/scanner.sock") != short
    assert stat.S_IMODE(Path(short).parent.stat().st_mode) == 0o700


def test_a_private_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shared temporary folder, anybody could have put a link there first."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / f"sluice-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(PreconditionError, match="belongs to somebody else"):
        short_enough(f"/{'d' * 120}")


def test_a_socket_answers_only_while_somebody_listens(tmp_path: Path) -> None:
    """A socket file outlives its server."""
    path = str(tmp_path / "s.sock")
    assert not unix_answers(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert unix_answers(path)
    assert not unix_answers(path)


# --- ports


def test_free_ports_are_none_that_an_outgoing_connection_may_get() -> None:
    """A connection of anybody could take it before its owner listens, and keep it for hours."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(low <= port <= high for port in free_ports(50))


@pytest.mark.parametrize("text", ["", "none", "1024 60999"])
def test_where_all_ports_may_go_out_some_are_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A kernel that says nothing, or leaves no others."""
    (tmp_path / "range").write_text(text)
    monkeypatch.setattr(ops_ports, "_RANGE", tmp_path / "range")
    assert len(set(free_ports(8))) == 8


def test_free_ports_are_free_and_differ() -> None:
    """Two children with one port end in a riddle."""
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_a_taken_port_is_seen() -> None:
    """8080 is everybody's favourite."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free("127.0.0.1", server.getsockname()[1])
