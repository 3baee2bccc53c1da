"""A registry's budget stands before pulls and questions; a refusal is a delay, no failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from common.model.errors import BudgetSpentError, UnauthorizedError
from common.model.image import Inventory, Os
from common.model.refs import ImageDigest, ImageReference, parse_reference
from common.state.budget import Pull
from worker.budget import BudgetedDocuments, BudgetedRegistry, BudgetedScanner, Paid
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, InventoryResult, ScanOptions
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.parts import ImageParts

ACCESS = Access(mirrored_name="r.example/shop/web", plain=False, verify=True)
DIGEST = "sha256:" + "a" * 64


@dataclass
class Budgets:
    """Refuses with these waits, in turn; 0: takes one."""

    waits: list[float] = field(default_factory=list)
    taken: list[tuple[str, Pull]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def take(self, host: str, pull: Pull) -> float:
        self.taken.append((host, pull))
        return self.waits.pop(0) if self.waits else 0.0

    def done(self, host: str, subject: str) -> None:
        self.ended.append((host, subject))


@dataclass
class Scanner:
    """Takes stock, or is refused."""

    refused: bool = False
    jobs: int = 0

    def inventory(self, job: InventoryJob) -> InventoryResult:
        self.jobs += 1
        if self.refused:
            raise UnauthorizedError("no")
        inventory = Inventory(
            scanner_version="1",
            artifact_id="a",
            blob_ids=(),
            target="t",
            os=Os(),
            covered=True,
            has_packages=False,
        )
        return InventoryResult(inventory=inventory, seconds=1.0)


SEEN = ManifestSeen(
    index_digest="",
    manifest_digest=DIGEST,
    config_digest="",
    layers=(),
    diff_ids=(),
    manifest=b"{}",
    config=b"{}",
)


class Registry:
    """Knows one digest."""

    asked = 0

    def outline(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> tuple[bytes, ...]:
        self.asked += 1
        if config == b"wrong":
            raise UnauthorizedError("no")
        return (b"{}",)

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        self.asked += 1
        return ImageDigest(DIGEST)

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
        known: Sequence[bytes] = (),
    ) -> ManifestSeen:
        return SEEN


def _job(digest: str = DIGEST) -> InventoryJob:
    return InventoryJob(
        reference=f"{ACCESS.mirrored_name}@{digest}",
        access=ACCESS,
        platform="linux-amd64",
        options=ScanOptions(),
        server_url="http://m",
        deadline_s=300.0,
        docker_config=None,
        alone=False,
    )


def test_a_refused_pull_asks_nobody() -> None:
    """Not the registry, and not the scanner either."""
    scanner, budgets = Scanner(), Budgets(waits=[42.0])
    with pytest.raises(BudgetSpentError) as caught:
        BudgetedScanner(scanner=scanner, budgets=budgets).inventory(_job())
    assert (scanner.jobs, caught.value.wait_s) == (0, 42.0)
    assert budgets.ended == []


@pytest.mark.parametrize("refused", [False, True])
def test_a_pull_gives_its_slot_back_whichever_way_it_ends(*, refused: bool) -> None:
    """A registry that refuses ten images must not look busy for their deadline."""
    budgets = Budgets()
    scanner = BudgetedScanner(scanner=Scanner(refused=refused), budgets=budgets)
    if refused:
        with pytest.raises(UnauthorizedError):
            scanner.inventory(_job())
    else:
        scanner.inventory(_job())
    subject = f"{DIGEST} linux-amd64"
    assert budgets.taken == [("r.example", Pull(subject=subject, slot_s=360.0))]
    assert budgets.ended == [("r.example", subject)]


def test_the_second_credential_of_a_run_is_paid_for() -> None:
    """And another image is not, nor the same one a minute later."""
    now = [0.0]
    budgets = Budgets()
    scanner = BudgetedScanner(
        scanner=Scanner(refused=True), budgets=budgets, monotonic_s=lambda: now[0]
    )
    for digest, at_s in ((DIGEST, 0), (DIGEST, 1), ("sha256:" + "b" * 64, 2), (DIGEST, 3)):
        now[0] = at_s
        with pytest.raises(UnauthorizedError):
            scanner.inventory(_job(digest))
    now[0] = 60.0
    with pytest.raises(UnauthorizedError):
        scanner.inventory(_job())
    assert [pull.paid for _, pull in budgets.taken] == [False, True, False, False, False]


def test_a_question_for_a_digest_counts_and_holds_no_slot() -> None:
    """Some registries count it as a pull."""
    registry, budgets = Registry(), Budgets(waits=[0.0, 5.0])
    budgeted = BudgetedRegistry(registry=registry, budgets=budgets)
    reference = parse_reference("r.example/shop/web:1")
    assert budgeted.resolve(reference, access=ACCESS) == DIGEST
    with pytest.raises(BudgetSpentError):
        budgeted.resolve(reference, access=ACCESS)
    assert registry.asked == 1
    assert budgets.taken[0] == ("r.example", Pull(subject=reference.canonical))


def _outline(documents: BudgetedDocuments, config: bytes | None = None) -> None:
    reference = parse_reference(f"r.example/shop/web@{DIGEST}")
    documents.outline(reference, DIGEST, config=config, platform="linux-amd64", access=ACCESS)


def test_an_image_is_paid_for_when_its_documents_are_read_and_not_again_with_its_layers() -> None:
    """One image, one pull: whoever reads the manifest first, and with whichever credential."""
    registry, budgets, paid = Registry(), Budgets(), Paid()
    documents = BudgetedDocuments(registry=registry, budgets=budgets, paid=paid)
    with pytest.raises(UnauthorizedError):
        _outline(documents, b"wrong")
    _outline(documents)
    scanner = BudgetedScanner(scanner=Scanner(), budgets=budgets, paid=paid)
    scanner.inventory(_job())
    subject = f"{DIGEST} linux-amd64"
    assert [pull for _, pull in budgets.taken] == [
        Pull(subject=subject),
        Pull(subject=subject, paid=True),
        Pull(subject=subject, slot_s=360.0, paid=True),
    ]


def test_a_configuration_behind_its_manifest_is_no_pull_of_its_own() -> None:
    """A budget that is empty by then must not part the two."""
    budgets = Budgets(waits=[0.0, 5.0])
    documents = BudgetedDocuments(registry=Registry(), budgets=budgets, paid=Paid())
    _outline(documents)
    reference = parse_reference(f"r.example/shop/web@{DIGEST}")
    found = documents.manifest(
        reference, DIGEST, config=None, platform="linux-amd64", access=ACCESS, known=(b"{}",)
    )
    assert found == SEEN
    assert len(budgets.taken) == 1


def test_documents_that_an_earlier_run_read_are_paid_for() -> None:
    """It had to wait for a layer, or for a slot; the layers still need one."""
    budgets = Budgets()
    job = replace(_job(), parts=ImageParts(documents=(), layers=()))
    BudgetedScanner(scanner=Scanner(), budgets=budgets).inventory(job)
    (taken,) = budgets.taken
    assert taken[1] == Pull(subject=f"{DIGEST} linux-amd64", slot_s=360.0, paid=True)


def test_a_refused_outline_asks_nobody() -> None:
    """And the next one is not taken for paid."""
    registry, budgets = Registry(), Budgets(waits=[5.0])
    documents = BudgetedDocuments(registry=registry, budgets=budgets, paid=Paid())
    with pytest.raises(BudgetSpentError):
        _outline(documents)
    assert registry.asked == 0
    _outline(documents)
    assert [pull.paid for _, pull in budgets.taken] == [False, False]
