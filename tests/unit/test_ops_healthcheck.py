"""What a container engine is told when it asks a component for its health."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.ops import healthcheck


@contextmanager
def answering(line: bytes) -> Iterator[int]:
    """Give the port of a server that answers its one question with `line`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(line + b"\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", 0),
        (b"HTTP/1.1 503 Service Unavailable", 1),
        (b"", 1),
        (b"\xff 200", 0),
        (b"HTTP/1.1 1200 200", 1),
    ],
)
def test_a_component_is_healthy_when_readyz_says_200(
    line: bytes, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compose starts the next container on this word."""
    with answering(line) as port:
        monkeypatch.setenv("OPERATOR_HEALTH_PROBE_BIND_ADDRESS", f":{port}")
        assert healthcheck.main([]) == status
    assert bool(capsys.readouterr().err) == bool(status)


def test_nobody_listening_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process is still starting, or gone: one line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("OPERATOR_HEALTH_PROBE_BIND_ADDRESS", f"127.0.0.1:{port}")
    assert healthcheck.main([]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_scanner_is_healthy_while_its_socket_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no port; a file of that name is not enough."""
    path = tmp_path / "scanner.sock"
    monkeypatch.setenv("SLUICE_SCANNER_SOCKET", str(path))
    assert healthcheck.main(["scanner"]) == 1
    path.touch()
    assert healthcheck.main(["scanner"]) == 1
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert healthcheck.main(["scanner"]) == 0
