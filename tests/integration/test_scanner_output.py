"""What comes out of Trivy and is no report, or one with an error beside it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.model.errors import TransientError
from common.model.policies import POLICIES, class_of
from common.ops.trivy_program import Trivy
from sandbox.images import Pushed, push, touch
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job, scanner_process
from tests.garbling import Garbling

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def garbling(trivy: Trivy, tmp_path_factory: pytest.TempPathFactory) -> Garbling:
    """Give a Trivy that can be spoiled."""
    return Garbling.make(tmp_path_factory.mktemp("garbling"), trivy.path)


@pytest.fixture(scope="module")
def spoiled(
    garbling: Garbling, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningScanner]:
    """Give a scanner with it."""
    folder = tmp_path_factory.mktemp("spoiled")
    with scanner_process(folder, SLUICE_TRIVY_PATH=str(garbling.path)) as one:
        yield one


@pytest.fixture
def image(registry: Registry) -> Pushed:
    """Give an image that nobody analysed."""
    name = f"output-{secrets.token_hex(4)}"
    return push(registry.address, [replace(touch("alpine-app", name), name=name)])[name]


@pytest.mark.parametrize("mode", ["empty", "cut", "warned", "failed"])
def test_c18_what_is_no_report_is_an_error_that_is_tried_again_so_often(
    mode: str, spoiled: RunningScanner, garbling: Garbling, image: Pushed, match_url: str
) -> None:
    """Never an inventory without findings; and no retry without end."""
    job = inventory_job(image.pinned, match_url)
    garbling.spoil(mode)
    with pytest.raises(TransientError) as caught:
        spoiled.scanner.inventory(job)
    assert caught.value.reason == ("ScanFailed" if mode == "failed" else "ReportUnreadable")
    assert 0 < POLICIES[class_of(type(caught.value))].attempts < 100
    garbling.spoil("")
    assert spoiled.scanner.inventory(job).inventory.has_packages


def test_c18_a_report_without_results_is_one_with_zeros(
    spoiled: RunningScanner, garbling: Garbling, image: Pushed, match_url: str
) -> None:
    """Trivy writes `null` for what it does not know; that is an answer."""
    garbling.spoil("null")
    found = spoiled.scanner.inventory(inventory_job(image.pinned, match_url)).inventory
    garbling.spoil("")
    assert (found.has_packages, found.covered, found.secrets) == (False, False, ())
