"""`python -m worker.scanner`: how the process begins and ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from common.model.errors import PreconditionError
from worker.scanner import __main__ as scanner
from worker.scanner.service import ScannerService


class Signalled:
    """A service that is told to stop in the moment in which its socket appears."""

    def __init__(self, *_: object) -> None:
        self.stopped = threading.Event()
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        self.stopped.set()

    def serve(self) -> None:
        assert self.stopped.wait(10), "it would serve on"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def unheard() -> Iterator[threading.Event]:
    """Give an event that a signal sets which the scanner did not handle."""
    unheard = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: unheard.set()) for number in numbers]
    yield unheard
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_who_sees_the_socket_may_end_the_scanner_in_that_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unheard: threading.Event
) -> None:
    """The socket says that it is ready: from then on a signal must end it in order."""
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(scanner, "begin_logs", lambda *_, **__: None)
    monkeypatch.setattr(scanner, "require_trivy", lambda *_: SimpleNamespace(version="1"))
    monkeypatch.setattr(scanner, "ScannerService", Signalled)
    for part in ("Bench", "Workshop", "JavaDatabase"):
        fake = SimpleNamespace(jobs=1, volume=tmp_path)
        monkeypatch.setattr(scanner, part, lambda *_, one=fake, **__: one)
    assert scanner.main() == 0
    assert not unheard.is_set()


@pytest.mark.parametrize("wanted", ["file/scanner.sock", "folder", "x" * 120, "held.sock"])
def test_a_socket_where_nobody_can_listen_is_a_precondition_with_a_remedy(
    tmp_path: Path, wanted: str
) -> None:
    """On a read-only root without a volume, or as another user, a trace says nothing of use."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "held.sock.lock").mkdir()
    bench: Any = SimpleNamespace(jobs=1, workshop=SimpleNamespace(wipe=lambda: None))
    with pytest.raises(PreconditionError, match="SLUICE_SCANNER_SOCKET") as raised:
        ScannerService(bench, tmp_path / wanted)
    assert "None" not in str(raised.value)
