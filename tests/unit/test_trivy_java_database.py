"""The Java index comes when the first jar is met, and never stands in the way of a scan."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common.model.errors import ScanTimeoutError
from common.ops.trivy_program import Trivy
from tests.waiting import eventually
from worker.evidence.image.java_database import JavaDatabase, JavaSource
from worker.evidence.image.java_origin import JavaOrigin

# Stands in for Trivy: counts its calls, then does what `$0.does` says with its cache folder.
PROGRAM = """#!/bin/sh
echo call $* >> "$0.calls"
for argument in "$@"; do
  case "$argument" in --cache-dir=*) folder="${argument#--cache-dir=}" ;; esac
done
. "$0.does"
"""
DOWNLOAD = """mkdir -p "$folder/java-db"
echo real > "$folder/java-db/trivy-java.db"; echo '{"Version": 1}' > "$folder/java-db/metadata.json"
"""
REFUSE = 'printf "x\\tFATAL\\tfailed to download Java DB: no such host\\n" >&2; exit 1'


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Give the stand-in; it downloads."""
    path = tmp_path / "trivy"
    path.write_text(PROGRAM, encoding="ascii")
    path.chmod(0o755)
    does(path, DOWNLOAD)
    return path


def does(program: Path, script: str) -> None:
    """Change what the stand-in does from now on."""
    Path(f"{program}.does").write_text(script + "\n", encoding="ascii")


def calls(program: Path) -> int:
    """Return how often it was started."""
    log = Path(f"{program}.calls")
    return len(log.read_text(encoding="ascii").splitlines()) if log.exists() else 0


def database(program: Path) -> JavaDatabase:
    """Return the owner of a folder beside the stand-in."""
    trivy = Trivy(path=str(program), version="0.76.0")
    return JavaDatabase(trivy, program.parent / "java", environment={})


def index(one: JavaDatabase) -> bytes:
    """Return the index in use."""
    return (one.cache_dir / "java-db" / "trivy-java.db").read_bytes()


def soon() -> float:
    """Return a moment that no healthy download passes."""
    return time.monotonic() + 30


def test_nothing_is_downloaded_before_it_is_needed(program: Path) -> None:
    """700 MB that most clusters never need."""
    one = database(program)
    one.tend()
    assert calls(program) == 0
    one.provide(soon())
    assert calls(program) == 1
    assert index(one) == b"real\n"


def test_a_good_index_is_not_fetched_again(program: Path) -> None:
    """Each jar asks; the first answer stands for days."""
    one = database(program)
    for _ in range(3):
        one.provide(soon())
        one.tend()
    assert calls(program) == 1


@pytest.mark.parametrize("script", [REFUSE, "exit 0"])
def test_an_empty_index_stands_in_for_one_that_cannot_be_had(program: Path, script: str) -> None:
    """Jars that name themselves are found with it, and the image is not refused."""
    does(program, script)
    one = database(program)
    one.provide(soon())
    assert index(one).startswith(b"SQLite format 3")
    one.provide(soon())
    assert calls(program) == 1  # the next try is an hour away


def test_a_download_that_takes_longer_than_the_scan_goes_on(program: Path) -> None:
    """The job's deadline is kept; the index is there for the job's next try."""
    gate = program.parent / "gate"
    does(program, f'while [ ! -e "{gate}" ]; do sleep 0.05; done; {DOWNLOAD}')
    one = database(program)
    with pytest.raises(ScanTimeoutError, match="Java database"):
        one.provide(time.monotonic() + 0.2)
    gate.touch()
    assert eventually((one.cache_dir / "java-db" / "metadata.json").exists)
    one.provide(soon())
    assert index(one) == b"real\n"
    assert calls(program) == 1


def test_an_index_that_is_due_is_replaced_in_the_background(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that began with the old one keep it until they end; one that fails changes nothing."""
    for pause in ("_REFRESH_S", "_RETRY_S"):
        monkeypatch.setattr(f"worker.evidence.image.java_database.{pause}", 0.0)
    one = database(program)
    one.provide(soon())
    before = one.cache_dir
    does(program, REFUSE)
    one.tend()
    assert eventually(lambda: calls(program) == 2)
    does(program, DOWNLOAD)

    def replaced() -> bool:
        one.tend()
        return one.cache_dir != before

    assert eventually(replaced)
    assert index(one) == b"real\n"
    assert (before / "java-db" / "trivy-java.db").exists()


@pytest.mark.parametrize("script", [DOWNLOAD, REFUSE])
def test_the_index_of_a_restarted_scanner_is_used_again(program: Path, script: str) -> None:
    """It lies on the data volume; a scanner that restarts often must not download each time."""
    does(program, script)
    first = database(program)
    first.provide(soon())
    again = database(program)
    again.tend()
    again.provide(soon())
    assert index(again) == index(first)
    assert calls(program) == 1


def test_an_empty_index_on_disk_is_tried_to_be_replaced_sooner_than_a_real_one(
    program: Path,
) -> None:
    """An hour after it was made, not three days."""
    does(program, REFUSE)
    first = database(program)
    first.provide(soon())
    two_hours_ago = time.time() - 7200  # a file's time is the wall clock's
    os.utime(first.cache_dir / "java-db" / "trivy-java.db", (two_hours_ago, two_hours_ago))
    does(program, DOWNLOAD)
    again = database(program)
    again.tend()
    assert eventually(lambda: index(again) == b"real\n")
    real = again.cache_dir / "java-db" / "trivy-java.db"
    os.utime(real, (two_hours_ago, two_hours_ago))
    database(program).tend()
    assert calls(program) == 2


def test_what_killed_downloads_left_is_removed_even_where_none_succeeds(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has more than a gigabyte; a scanner beside this one may be at work on a younger one."""
    for pause in ("_REFRESH_S", "_RETRY_S"):
        monkeypatch.setattr(f"worker.evidence.image.java_database.{pause}", 0.0)
    one = database(program)
    one.provide(soon())
    left, running = (program.parent / "java" / name for name in ("v-left", "v-running"))
    for path in (left, running):
        path.mkdir()
    os.utime(left, (0, 0))
    does(program, REFUSE)
    one.tend()
    assert eventually(lambda: calls(program) == 2 and not left.exists())
    assert running.exists()
    assert index(one) == b"real\n"


def test_another_source_is_asked_at_once_and_what_is_there_serves_until_then(
    program: Path,
) -> None:
    """A setting that changed in the cluster, told with the next job."""
    one = database(program)
    one.provide(soon())
    before = calls(program)
    same, other = JavaSource(), JavaSource(origin=JavaOrigin(repository="r.example/java"))
    one.take_from(same)
    one.tend()
    one.provide(soon())
    assert calls(program) == before
    does(program, REFUSE)
    one.take_from(other)
    one.provide(soon())
    assert calls(program) == before + 1
    assert "r.example/java" in Path(f"{program}.calls").read_text(encoding="ascii")
    assert index(one)
