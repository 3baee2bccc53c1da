"""Images that reach Trivy through the scanner: nothing found changes, faults keep their words."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from common.model.errors import (
    ImageNotFoundError,
    RateLimitedError,
    SourceUnavailableError,
    TerminalError,
    TransferDamagedError,
    UnauthorizedError,
)
from common.model.image import Inventory
from sandbox import oci
from sandbox.accesslog import count
from sandbox.broken import broken
from sandbox.faults import Answer, Cut, Login, Slow
from sandbox.images import Pushed, Sample, push, samples
from sandbox.packages import alpine, apk
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job, with_parts
from tests.integration.test_scanner_images import PLATFORMS
from worker.evidence.image.inventory import InventoryJob

pytestmark = pytest.mark.integration

PASSWORD = "s3cr3t-of-a-tenant"  # noqa: S105 - made up


@pytest.fixture
def own(registry: Registry, request: pytest.FixtureRequest) -> Pushed:
    """Give an image of this test's own, whose layers no cache holds."""
    mark = {"etc/own-proxied": request.node.name}
    base = {**alpine("3.18.2", [apk("musl", "1.2.4-r0", "MIT")]), **mark}
    content = oci.image(
        [oci.layer(base, "ADD base / # test"), oci.layer(mark, "COPY own / # test")],
        entrypoint=["/none"],
    )
    name = f"proxied-{zlib.crc32(request.node.name.encode()):08x}"
    one = Sample(name=name, tags=("1",), build=lambda: content)
    return push(registry.address, [one])[name]


def take(scanner: RunningScanner, job: InventoryJob) -> Inventory:
    """Take stock of one image."""
    return scanner.scanner.inventory(job).inventory


@pytest.mark.parametrize(("name", "platform"), PLATFORMS)
def test_an_inventory_is_the_same_with_and_without_the_proxy(
    name: str,
    platform: str,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    match_url: str,
) -> None:
    """Names, keys, secrets and SBOM: whoever reads a report cannot tell how it was pulled."""
    job = inventory_job(pushed[name].pinned, match_url, platform=platform)
    direct, through = take(scanner, job), take(scanner, with_parts(job))
    assert through == direct
    assert direct.target == pushed[name].pinned


def test_an_image_of_a_name_that_nobody_reaches_keeps_its_name(
    scanner: RunningScanner, own: Pushed, match_url: str
) -> None:
    """A mirror may stand anywhere: the proxy goes there, and Trivy sees the image's own name."""
    job = with_parts(inventory_job(own.pinned, match_url))
    direct = take(scanner, job)
    name = f"registry.example/{own.repository}@{own.digest}"
    moved = take(scanner, replace(job, reference=name))
    assert moved.target == name
    assert moved.blob_ids == direct.blob_ids
    assert own.registry not in msgspec.json.encode(moved).decode()


def test_each_layer_is_fetched_once_and_nothing_else(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Manifest and configuration were read by the worker, and no layer twice."""
    job = with_parts(inventory_job(own.pinned, match_url))
    before = registry.mark()
    take(scanner, job)
    requests = registry.requests(since=before)
    assert count(requests, kind="manifest") == 0
    assert count(requests, repository=own.repository, kind="blob") == 2
    assert len(requests) == 2
    before = registry.mark()
    take(scanner, job)
    assert registry.requests(since=before) == []


def test_trivy_never_has_the_credential(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """It goes to the registry from the scanner alone, and a wrong one is told as such."""
    pair = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
    config = json.dumps({"auths": {registry.address: {"auth": pair}}}).encode()
    wrong = config.replace(pair.encode(), base64.b64encode(b"bob:wrong-word"))
    job = with_parts(inventory_job(own.pinned, match_url))
    login = Login(username="bob", password=PASSWORD)
    with registry.fail(login, repository=own.repository):
        for bad in (None, wrong):
            with pytest.raises(UnauthorizedError) as caught:
                take(scanner, replace(job, docker_config=bad))
            assert "wrong-word" not in str(caught.value)
        assert take(scanner, replace(job, docker_config=config)).has_packages
    assert PASSWORD not in scanner.log.read_text(encoding="utf-8")
    assert "documents" not in repr(job)


@pytest.mark.parametrize("through", [True, False])
def test_the_credential_is_written_for_nobody(
    *,
    through: bool,
    scanner: RunningScanner,
    registry: Registry,
    own: Pushed,
    match_url: str,
) -> None:
    """Not even for the time of the run; where Trivy pulls by itself, it has to be."""
    pair = base64.b64encode(f"bob:{PASSWORD}".encode()).decode()
    config = json.dumps({"auths": {registry.address: {"auth": pair}}}).encode()
    job = replace(inventory_job(own.pinned, match_url), docker_config=config)
    job = with_parts(job) if through else job
    shared = Path("/dev/shm")  # noqa: S108 - where the scanner keeps them
    seen = set()
    late = registry.fail(Slow(delay_s=0.5), repository=own.repository, kind="blob")
    with late, ThreadPoolExecutor(1) as pool:
        ends = pool.submit(take, scanner, job)
        while not ends.done():
            seen |= {path.name for path in shared.glob("sluice-scanner-*/*/*")}
            time.sleep(0.01)  # the run takes half a second at least
    assert ends.result().has_packages
    assert seen == (set() if through else {"config.json"})


def test_a_registry_says_itself_how_long_to_wait(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Trivy drops the wait, and asks three times in the meantime."""
    job = with_parts(inventory_job(own.pinned, match_url))
    busy = Answer(status=429, headers={"Retry-After": "77"})
    before = registry.mark()
    with (
        registry.fail(busy, repository=own.repository),
        pytest.raises(RateLimitedError) as caught,
    ):
        take(scanner, job)
    assert caught.value.retry_after_s == 77
    assert len(registry.requests(since=before)) <= 2  # as many as there are layers


@pytest.mark.parametrize(
    ("status", "error"), [(503, SourceUnavailableError), (404, ImageNotFoundError)]
)
def test_a_refusal_keeps_its_status(  # noqa: PLR0917 - fixtures
    status: int,
    error: type[Exception],
    scanner: RunningScanner,
    registry: Registry,
    own: Pushed,
    match_url: str,
) -> None:
    """A text that a registry chooses decides nothing."""
    job = with_parts(inventory_job(own.pinned, match_url))
    with (
        registry.fail(Answer(status=status), repository=own.repository, kind="blob"),
        pytest.raises(error),
    ):
        take(scanner, job)


def test_a_layer_that_breaks_off_is_continued(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """One break in a large layer costs neither the layer nor the run."""
    job = with_parts(inventory_job(own.pinned, match_url))
    cut = registry.fail(Cut(after_bytes=40), repository=own.repository, kind="blob", times=1)
    with cut:
        assert take(scanner, job).has_packages
    assert cut.hits == 1


def test_a_layer_that_always_breaks_off_is_damaged_and_heals(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Half a layer must neither be believed nor be final."""
    job = with_parts(inventory_job(own.pinned, match_url))
    cut = registry.fail(Cut(after_bytes=40), repository=own.repository, kind="blob")
    with cut, pytest.raises(TransferDamagedError):
        take(scanner, job)
    assert take(scanner, job).has_packages


def test_a_damaged_layer_is_not_believed(
    scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """The registry serves other bytes than the digest promises."""
    image = push(registry.address, broken())["truncated-layer"]
    job = with_parts(inventory_job(image.pinned, match_url))
    with pytest.raises(TransferDamagedError):
        take(scanner, job)


def test_an_image_beyond_the_limit_is_refused_before_its_first_byte(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """The manifest tells the size; nothing needs to be fetched to know it."""
    job = with_parts(inventory_job(own.pinned, match_url))
    before = registry.mark()
    with pytest.raises(TerminalError) as caught:
        take(scanner, replace(job, max_bytes=100))
    assert caught.value.reason == "ImageTooLarge"
    assert registry.requests(since=before) == []


def test_the_samples_cover_every_kind() -> None:
    """An equality over few images would prove little."""
    assert {name for name, _ in PLATFORMS} == {one.name for one in samples()}
