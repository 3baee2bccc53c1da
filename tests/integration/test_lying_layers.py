"""Images that call a layer of their own by another's name: refused, and nobody else is harmed."""

from __future__ import annotations

import gzip
import secrets
from dataclasses import dataclass, replace

import msgspec
import pytest

from common.model.errors import DamagedImageError, TerminalError
from sandbox import oci
from sandbox.accesslog import count
from sandbox.images import Pushed, Sample, push
from sandbox.packages import Package, alpine, apk
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job, with_parts
from worker.evidence.image.inventory import InventoryJob, InventoryResult
from worker.evidence.image.match import TwirpMatcher

pytestmark = pytest.mark.integration

# What an attacker hides behind: a system without findings, and behind its end what nobody reads.
CLEAN = [apk("musl", "99.0.0-r0", "MIT")]
OLD = [apk("libcrypto3", "3.1.1-r1", "Apache-2.0", source="openssl")]


@dataclass
class Images:
    """A victim and a liar, in a registry."""

    victim: Pushed
    liar: Pushed


def content(packages: list[Package], mark: str) -> oci.Layer:
    """Return a layer of a system."""
    files = {**alpine("3.18.2", packages), "etc/mark": mark}
    return oci.layer(files, "ADD rootfs / # test")


@pytest.fixture(params=["whole", "behind the end"])
def images(registry: Registry, request: pytest.FixtureRequest) -> Images:
    """Give a victim with findings, and an image that gives its layer's name to a clean one."""
    mark = secrets.token_hex(8)
    old, clean = content(OLD, mark), content(CLEAN, mark)
    raw = gzip.decompress(clean.blob.body)
    if request.param == "behind the end":  # an archive ends before its file does
        raw += secrets.token_bytes(3_000_000)
    blob = replace(clean.blob, body=gzip.compress(raw, mtime=0))
    lying = replace(clean, blob=blob, diff_id=old.diff_id)
    built = {
        f"victim-{mark}": oci.image([old], entrypoint=["/none"]),
        f"liar-{mark}": oci.image([lying], entrypoint=["/none"]),
    }
    samples = [
        Sample(name=name, tags=("1",), build=lambda one=one: one)  # type: ignore[misc] # bound now
        for name, one in built.items()
    ]
    victim, liar = push(registry.address, samples).values()
    return Images(victim, liar)


def take(scanner: RunningScanner, job: InventoryJob) -> InventoryResult:
    """Take stock as a worker does that has layers checked."""
    full = with_parts(job)
    assert full.parts is not None
    parts = msgspec.structs.replace(full.parts, verify=True)
    return scanner.scanner.inventory(replace(full, parts=parts))


@pytest.mark.parametrize("first", ["liar", "victim"])
def test_a_layer_under_anothers_name_is_refused_and_harms_nobody(
    first: str, images: Images, scanner: RunningScanner, match_url: str
) -> None:
    """Whoever comes first: the victim's findings stay, and the liar gets no clean report."""
    liar = inventory_job(images.liar.pinned, match_url)
    victim = inventory_job(images.victim.pinned, match_url)
    matcher = TwirpMatcher(match_url)
    if first == "victim":
        take(scanner, victim)
    with pytest.raises(DamagedImageError) as caught:
        take(scanner, liar)
    assert caught.value.reason == "LayerMismatch"
    found = matcher.match(take(scanner, victim).inventory).findings
    assert {one.resource for one in found} == {"libcrypto3"}
    matcher.close()


def test_an_honest_layer_that_goes_on_behind_its_end_is_taken(
    scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """Trivy stops reading there; who checks the layer reads on before Trivy's word counts."""
    layer = content(OLD, secrets.token_hex(8))
    raw = gzip.decompress(layer.blob.body) + secrets.token_bytes(3_000_000)
    blob = replace(layer.blob, body=gzip.compress(raw, mtime=0))
    honest = replace(layer, blob=blob, diff_id=oci.digest_of(raw))
    one = Sample(name="tail", tags=("1",), build=lambda: oci.image([honest], entrypoint=["/none"]))
    image = push(registry.address, [one])["tail"]
    result = take(scanner, inventory_job(image.pinned, match_url))
    assert result.inventory.has_packages
    assert result.proven == {blob.digest}


def test_layers_that_are_proven_are_not_fetched_again(
    images: Images, scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """One look at each blob is enough for the whole cluster."""
    job = with_parts(inventory_job(images.victim.pinned, match_url))
    result = take(scanner, inventory_job(images.victim.pinned, match_url))
    assert job.parts is not None
    assert result.proven == {layer.digest for layer in job.parts.layers}
    before = registry.mark()
    scanner.scanner.inventory(job)
    assert count(registry.requests(since=before), kind="blob") == 0


def test_an_image_that_unpacks_to_more_than_the_limit_is_refused(
    images: Images, scanner: RunningScanner, registry: Registry, match_url: str
) -> None:
    """A few kilobytes may unpack to more than any disk holds."""
    bomb = oci.layer({"opt/zeros": bytes(30_000_000), "etc/x": secrets.token_hex(8)}, "COPY . # t")
    one = Sample(name="bomb", tags=("1",), build=lambda: oci.image([bomb], entrypoint=["/none"]))
    image = push(registry.address, [one])["bomb"]
    with pytest.raises(TerminalError) as caught:
        take(scanner, inventory_job(image.pinned, match_url, max_bytes=1_000_000))
    assert caught.value.reason == "ImageTooLarge"
    assert take(scanner, inventory_job(image.pinned, match_url, max_bytes=40_000_000)).proven
