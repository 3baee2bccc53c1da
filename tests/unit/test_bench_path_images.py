"""The benchmark's images are no easier than those that the peer was measured with."""

from __future__ import annotations

from functools import cache

from sandbox import oci
from tests.bench.path_images import images


@cache
def built() -> dict[str, oci.Image]:
    found = {}
    for each in images():
        content = each.build()
        assert isinstance(content, oci.Image)
        found[each.name] = content
    return found


def test_there_are_eight_and_no_two_are_alike() -> None:
    """Five Deployments share each: one inventory too many would show."""
    assert len({image.digest for image in built().values()}) == len(images()) == 8


def test_together_they_weigh_what_the_peers_did() -> None:
    """49 MB over the wire; small ones would make pulling look free."""
    blobs = {blob.digest: len(blob.body) for image in built().values() for blob in image.blobs}
    assert 45e6 < sum(blobs.values()) < 55e6


def test_they_are_the_same_in_every_run() -> None:
    """Numbers of two runs are about the same bytes."""
    small = [each for each in images() if each.name != "debian-root"]  # that one takes 2 s
    assert len(small) == 7
    assert all(each.build().digest == built()[each.name].digest for each in small)
