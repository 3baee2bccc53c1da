"""The scanner's life: deadlines, clients that leave, kills, memory, its socket and its scratch."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from common.model.errors import (
    OutOfMemoryError,
    ScannerDiedError,
    ScanTimeoutError,
    SluiceError,
    SourceUnavailableError,
)
from common.ops.trivy_program import Trivy
from sandbox import oci
from sandbox.faults import Hang
from sandbox.images import Pushed, Sample, push
from sandbox.packages import alpine, apk
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job, scanner_process
from tests.waiting import eventually, is_alive
from worker.evidence.image import wire
from worker.evidence.image.inventory import InventoryJob, InventoryResult, SocketScanner
from worker.scanner.scratch import Workshop

pytestmark = pytest.mark.integration


@pytest.fixture
def own(tmp_path: Path, trivy: Trivy) -> Iterator[RunningScanner]:
    """Give a scanner of this test's own with two slots."""
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as one:
        yield one


@pytest.fixture
def image(registry: Registry, request: pytest.FixtureRequest) -> Pushed:
    """Give an image of this test's own, whose layers no cache holds."""
    files = {**alpine("3.18.2", [apk("musl", "1.2.4-r0", "MIT")]), "etc/own": request.node.name}
    content = oci.image([oci.layer(files, "ADD base / # test")], entrypoint=["/none"])
    name = f"process-{zlib.crc32(request.node.name.encode()):08x}"
    return push(registry.address, [Sample(name=name, tags=("1",), build=lambda: content)])[name]


def trivies(scanner: RunningScanner) -> list[int]:
    """Return the Trivy processes whose scratch is this scanner's, whoever their parent is now."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal() or not is_alive(int(path.name)):
            continue
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        if b"sluice-scanner-" in environment and str(scanner.temporary).encode() in environment:
            found.append(int(path.name))
    return found


def scratch_of(scanner: RunningScanner) -> list[Path]:
    """Return what jobs left in the scanner's folders."""
    shared = Path("/dev/shm")  # noqa: S108 - where the scanner keeps credentials
    secrets = Workshop(scanner.socket_path).secrets_root
    assert secrets.parent == shared
    return [*scanner.temporary.glob("*/job-*"), *secrets.glob("job-*")]


def test_a_registry_that_hangs_costs_its_deadline_and_leaves_nothing(
    own: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """Trivy's own limit does not end it (measured): ours kills the group and wipes its folders."""
    job = inventory_job(image.pinned, match_url, deadline_s=1.5, docker_config=b'{"auths":{}}')
    with (
        registry.fail(Hang(), repository=image.repository, kind="manifest", method="GET") as rule,
        pytest.raises(ScanTimeoutError),
    ):
        own.scanner.inventory(job)
    assert rule.hits > 0
    assert trivies(own) == []
    assert scratch_of(own) == []
    result = own.scanner.inventory(inventory_job(image.pinned, match_url))
    assert result.inventory.has_packages


def test_a_layer_that_never_ends_costs_its_deadline(
    own: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """The manifest came, so that Trivy has begun; it ends all the same."""
    with (
        registry.fail(Hang(), repository=image.repository, kind="blob") as rule,
        pytest.raises(ScanTimeoutError),
    ):
        own.scanner.inventory(inventory_job(image.pinned, match_url, deadline_s=1.5))
    assert rule.hits > 0
    assert trivies(own) == []


def in_background(
    pool: ThreadPoolExecutor, scanner: RunningScanner, job: InventoryJob
) -> Future[InventoryResult]:
    """Start a job and return once its Trivy runs."""
    before = len(trivies(scanner))
    future = pool.submit(scanner.scanner.inventory, job)
    assert eventually(lambda: len(trivies(scanner)) > before or future.done())
    assert not future.done()
    return future


def test_a_client_that_leaves_ends_its_job(
    own: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """A worker that was killed must not keep an image unpacking for minutes."""
    job = wire.Job(
        reference=image.pinned,
        access=inventory_job(image.pinned, match_url).access,
        platform="linux-amd64",
        options=inventory_job(image.pinned, match_url).options,
        server_url=match_url,
        deadline_s=60.0,
    )
    with registry.fail(Hang(), repository=image.repository):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(own.socket_path))
            wire.send_frame(client, job)
            assert eventually(lambda: trivies(own))
        assert eventually(lambda: not trivies(own))
        assert eventually(lambda: not scratch_of(own))


def test_a_killed_scanner_is_told_from_a_bad_image_and_takes_trivy_along(
    tmp_path: Path, trivy: Trivy, registry: Registry, image: Pushed, match_url: str
) -> None:
    """SIGKILL cannot be cleaned up after: the kernel ends the child, the next scanner wipes."""
    with (
        ThreadPoolExecutor(1) as pool,
        registry.fail(Hang(), repository=image.repository) as rule,
        scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as first,
    ):
        future = in_background(pool, first, inventory_job(image.pinned, match_url))
        assert scratch_of(first)
        os.kill(first.child.pid, signal.SIGKILL)
        with pytest.raises(ScannerDiedError):
            future.result(timeout=30)
        assert eventually(lambda: not trivies(first))
        assert scratch_of(first)
        rule.end()
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as second:
        assert scratch_of(second) == []
        result = second.scanner.inventory(inventory_job(image.pinned, match_url))
        assert result.inventory.has_packages


def test_a_scanner_that_is_told_to_stop_ends_its_jobs_and_wipes(
    tmp_path: Path, trivy: Trivy, registry: Registry, image: Pushed, match_url: str
) -> None:
    """A pod has seconds to go; the worker's retry finds the next scanner."""
    with (
        ThreadPoolExecutor(1) as pool,
        registry.fail(Hang(), repository=image.repository),
        scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path) as one,
    ):
        future = in_background(pool, one, inventory_job(image.pinned, match_url))
        assert one.child.stop() == 0
        with pytest.raises((ScannerDiedError, ScanTimeoutError)):
            future.result(timeout=30)
        assert trivies(one) == []
        assert scratch_of(one) == []
        assert not one.socket_path.exists()


def test_without_a_scanner_its_source_is_unavailable(tmp_path: Path) -> None:
    """The image is innocent, and the remedy is named."""
    scanner = SocketScanner(tmp_path / "none.sock")
    with pytest.raises(SourceUnavailableError, match="sluice scanner") as caught:
        scanner.inventory(inventory_job("r.example/a@sha256:0", "http://none"))
    assert caught.value.reason == "ScannerUnavailable"


def test_trap_29_a_memory_limit_ends_the_job_alone_and_more_memory_heals_it(
    tmp_path: Path, trivy: Trivy, image: Pushed, match_url: str
) -> None:
    """Trap 29. Trivy needs about 110 MB: one slot of 60 MB is too little, four of them are not."""
    limits = {"SLUICE_SCANNER_MEMORY_MB": "60", "SLUICE_SCANNER_JOBS": "4"}
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=trivy.path, **limits) as one:
        with pytest.raises(OutOfMemoryError) as caught:
            one.scanner.inventory(inventory_job(image.pinned, match_url))
        assert caught.value.reason == "OutOfMemory"
        assert one.child.poll() is None
        alone = inventory_job(image.pinned, match_url, alone=True)
        assert one.scanner.inventory(alone).inventory.has_packages


def test_trap_29_a_trivy_that_the_kernel_kills_is_out_of_memory(
    own: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """Trap 29. The container's own limit kills with signal 9; the scanner lives on."""
    with (
        ThreadPoolExecutor(1) as pool,
        registry.fail(Hang(), repository=image.repository),
    ):
        future = in_background(pool, own, inventory_job(image.pinned, match_url))
        (pid,) = trivies(own)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii").strip() == "1000"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(OutOfMemoryError):
            future.result(timeout=30)
    assert own.child.poll() is None


def test_jobs_beyond_the_slots_wait_and_their_deadline_counts(
    own: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """Two run; the third waits no longer than its own deadline, and a free slot is used again."""
    with ThreadPoolExecutor(2) as pool:
        with registry.fail(Hang(), repository=image.repository):
            for _ in range(2):
                in_background(pool, own, inventory_job(image.pinned, match_url, deadline_s=20.0))
            with pytest.raises(ScanTimeoutError, match="no scanner was free"):
                own.scanner.inventory(inventory_job(image.pinned, match_url, deadline_s=0.5))
            assert len(trivies(own)) == 2
        # the fault is over: both are cut, and slots are free
        result = own.scanner.inventory(inventory_job(image.pinned, match_url))
        assert result.inventory.has_packages


def test_many_clients_at_once_are_all_served(
    scanner: RunningScanner, registry: Registry, image: Pushed, match_url: str
) -> None:
    """Each has its own folders, recorder and keys: none may see another's."""
    with ThreadPoolExecutor(6) as pool:
        jobs = [inventory_job(image.pinned, match_url) for _ in range(6)]
        found = list(pool.map(scanner.scanner.inventory, jobs))
    assert len({one.inventory.artifact_id for one in found}) == 1
    assert len(found) == 6


def test_the_socket_is_ours_alone(own: RunningScanner) -> None:
    """Whoever may write to it can have any image pulled with any credentials."""
    assert stat.S_IMODE(own.socket_path.stat().st_mode) == 0o600


def test_the_socket_is_shared_where_its_folder_hands_its_group_on(
    tmp_path: Path, trivy: Trivy
) -> None:
    """In a pod worker and scanner are different users of one volume."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2770)
    with scanner_process(folder, SLUICE_TRIVY_PATH=trivy.path) as one:
        assert stat.S_IMODE(one.socket_path.stat().st_mode) == 0o660


def test_a_second_scanner_on_one_socket_is_refused(own: RunningScanner, trivy: Trivy) -> None:
    """It would take the first one's jobs and wipe its folders."""
    second = subprocess.run(
        [sys.executable, "-m", "worker.scanner"],
        env={
            "SLUICE_SCANNER_SOCKET": str(own.socket_path),
            "SLUICE_TRIVY_PATH": trivy.path,
            "TMPDIR": str(own.temporary),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 3
    assert "another scanner" in second.stderr
    assert own.socket_path.exists()


def test_a_scanner_without_trivy_says_what_it_needs(tmp_path: Path) -> None:
    """Exit status 3 and the remedy, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "worker.scanner"],
        env={
            "SLUICE_SCANNER_SOCKET": str(tmp_path / "s"),
            "SLUICE_TRIVY_PATH": str(tmp_path / "absent"),
            "SLUICE_DATA_DIR": str(tmp_path),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert "SLUICE_TRIVY_PATH" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sent", [b"", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\x02{}", b"GET / HTTP"])
def test_a_client_that_talks_nonsense_is_hung_up_on(
    sent: bytes, scanner: RunningScanner, image: Pushed, match_url: str
) -> None:
    """It must neither crash the scanner nor occupy a slot."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(30)
        client.connect(str(scanner.socket_path))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # what it did not read resets
            assert client.recv(1) == b""
    result = scanner.scanner.inventory(inventory_job(image.pinned, match_url))
    assert result.inventory.has_packages


def test_an_answer_that_never_comes_is_a_dead_scanner(tmp_path: Path) -> None:
    """A scanner that is stopped (SIGSTOP) accepts, for the kernel does, and says nothing."""
    path = tmp_path / "deaf.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        errors: list[SluiceError] = []

        def ask() -> None:
            # the client waits 15 s longer than the deadline: 0.1 s here
            job = inventory_job("r.example/a@sha256:0", "http://none", deadline_s=-14.9)
            try:
                SocketScanner(path).inventory(job)
            except SluiceError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(30)
    assert [type(error) for error in errors] == [ScannerDiedError]
