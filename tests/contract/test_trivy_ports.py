"""The fakes that other tests use keep the promises of the real scanner and match server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from common.model.errors import (
    BadReferenceError,
    ImageNotFoundError,
    LayerCacheMissingError,
    NoPlatformError,
    ScanTimeoutError,
)
from common.model.image import Finding
from sandbox.images import Pushed
from tests.fakes.scanner import FakeImage, FakeMatcher, FakeScanner
from tests.fixtures_trivy import VERSION, RunningScanner, inventory_job
from worker.evidence.image.inventory import InventoryJob, Scanner
from worker.evidence.image.match import Matcher, TwirpMatcher

NOWHERE = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A scanner, a matcher, and how to ask for a sample."""

    scanner: Scanner
    matcher: Matcher
    job: Callable[..., InventoryJob]


def fake_world() -> World:
    """Return the fakes, which know three samples."""
    finding = Finding(
        vulnerability_id="CVE-1", resource="openssl", installed_version="1", severity="HIGH"
    )
    known = {
        "alpine-app": FakeImage(findings={VERSION[1]: (finding,)}),
        "empty": FakeImage(has_packages=False),
        "multi": FakeImage(platforms=("linux-amd64", "linux-arm64")),
    }
    digests = {name: f"sha256:{name.encode().hex():0>64}" for name in known}
    images = {digests[name]: image for name, image in known.items()}

    def job(name: str, **fields: object) -> InventoryJob:
        return inventory_job(f"r.example/{name}@{digests[name]}", "http://none", **fields)

    return World(scanner=FakeScanner(images), matcher=FakeMatcher(images, VERSION[1]), job=job)


def real_world(
    scanner: RunningScanner, pushed: Mapping[str, Pushed], matcher: Matcher, url: str
) -> World:
    """Return the real ones."""

    def job(name: str, **fields: object) -> InventoryJob:
        return inventory_job(pushed[name].pinned, url, **fields)

    return World(scanner=scanner.scanner, matcher=matcher, job=job)


class PortContract:
    """What callers rely on, whoever stands behind the ports."""

    def test_an_inventory_can_be_matched(self, world: World) -> None:
        """The keys in it are all that a match needs."""
        result = world.scanner.inventory(world.job("alpine-app"))
        assert result.seconds > 0
        assert result.inventory.has_packages
        match = world.matcher.match(result.inventory)
        assert match.db_version == VERSION[1]
        assert match.findings

    def test_an_inventory_of_the_same_image_is_the_same(self, world: World) -> None:
        """Reports are rewritten when it differs."""
        first, second = (world.scanner.inventory(world.job("alpine-app")) for _ in range(2))
        assert msgspec.json.encode(first.inventory) == msgspec.json.encode(second.inventory)

    def test_an_image_without_packages_is_not_covered(self, world: World) -> None:
        """No findings prove nothing there."""
        inventory = world.scanner.inventory(world.job("empty")).inventory
        assert (inventory.covered, inventory.has_packages, inventory.sbom) == (False, False, None)
        assert world.matcher.match(inventory).findings == ()

    def test_an_unknown_digest_is_not_found(self, world: World) -> None:
        """No retry helps."""
        job = world.job("alpine-app")
        with pytest.raises(ImageNotFoundError):
            world.scanner.inventory(inventory_job(job.reference[:-71] + NOWHERE, job.server_url))

    def test_a_platform_that_an_index_lacks_is_said_so(self, world: World) -> None:
        """An inventory of another platform would be a wrong one."""
        with pytest.raises(NoPlatformError):
            world.scanner.inventory(world.job("multi", platform="linux-s390x"))

    def test_a_single_manifest_is_what_it_is(self, world: World) -> None:
        """Its kubelet runs it on whatever node it is given, emulated perhaps."""
        job = world.job("alpine-app", platform="linux-s390x")
        assert world.scanner.inventory(job).inventory.has_packages

    def test_a_job_whose_time_is_over_is_not_begun(self, world: World) -> None:
        """It waited too long for its turn."""
        with pytest.raises(ScanTimeoutError):
            world.scanner.inventory(world.job("alpine-app", deadline_s=0.0))

    def test_a_bad_reference_is_said_so(self, world: World) -> None:
        """It comes from a tenant."""
        with pytest.raises(BadReferenceError):
            world.scanner.inventory(inventory_job("UPPER CASE", "http://127.0.0.1:1"))

    def test_layers_that_nobody_knows_ask_for_a_new_inventory(self, world: World) -> None:
        """The match server's cache may be lost at any time."""
        inventory = world.scanner.inventory(world.job("alpine-app")).inventory
        lost = msgspec.structs.replace(inventory, artifact_id=NOWHERE, blob_ids=(NOWHERE,))
        with pytest.raises(LayerCacheMissingError):
            world.matcher.match(lost)


class TestFakePorts(PortContract):
    """The ones in memory."""

    @pytest.fixture
    def world(self) -> World:
        """Give the fakes."""
        return fake_world()


@pytest.mark.integration
class TestRealPorts(PortContract):
    """The scanner process and a Trivy server."""

    @pytest.fixture
    def world(
        self, scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
    ) -> Iterator[World]:
        """Give the real ones."""
        with closing(TwirpMatcher(match_url)) as matcher:
            yield real_world(scanner, pushed, matcher, match_url)
