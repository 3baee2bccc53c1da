"""Takes an image's inventory: one use's name and credentials after the other, until one will do.

Apart from the reconciler: what a pull needs (names, credentials, bounds) changes here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from common.model.errors import (
    BadReferenceError,
    ImageNotFoundError,
    SluiceError,
    TransientError,
    UnauthorizedError,
)
from common.model.facts import Fact
from common.model.image import ImageUse, Inventory
from common.model.key import ImageKey
from common.model.refs import parse_reference
from worker.evidence.image.access import Accesses
from worker.evidence.image.inventory import InventoryJob, Scanner
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.told import Told


class Keys(Protocol):
    """Pull credentials."""

    def docker_config_for(self, use: ImageUse) -> bytes | None:
        """Return what the use's kubelet would present, None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullConfig:
    """The settings that a pull needs."""

    options: ScanOptions
    deadline_s: float  # of one inventory
    accesses: Accesses
    server_url: Callable[[], str]  # of the match server, which keeps the layer cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An inventory and what the ledger tells of it."""

    inventory: Inventory
    fact: Fact
    told: tuple[Told, ...] = ()  # what Trivy itself found; for a canary


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Pulls and analyses images. Thread-safe as far as its ports are."""

    keys: Keys
    scanner: Scanner
    config: PullConfig

    def analyse(
        self, key: ImageKey, tries: Sequence[ImageUse], *, alone: bool, canary: bool = False
    ) -> Pulled:
        """Return the image's inventory, by the first of `tries` that will do.

        `alone`: with nothing beside it in the scanner; `canary`: with Trivy's own findings.

        Only what another use could do better goes on to the next: a refusal, an unknown name and
        a reference that is none. Raises the last error.
        """
        last: SluiceError | None = None
        for use in self._fitting(key, tries):
            try:
                result = self.scanner.inventory(
                    replace(self._job(key, use, alone=alone), canary=canary)
                )
            except (UnauthorizedError, ImageNotFoundError, BadReferenceError) as error:
                last = error
                continue
            data = {
                "seconds": round(result.seconds, 3),
                "reference": use.reference,
                "secrets": len(result.inventory.secrets),
                "covered": result.inventory.covered,
            }
            fact = Fact(kind="inventoried", key=str(key), data=data)
            return Pulled(inventory=result.inventory, fact=fact, told=result.told)
        if last is None:
            raise ImageNotFoundError(f"{key.shown}: no workload names it any more")
        raise last

    def _fitting(self, key: ImageKey, tries: Sequence[ImageUse]) -> Sequence[ImageUse]:
        """Return the uses whose options the key names: one's skips must not hide for another.

        Raises TransientError where there are uses and none fits: other settings are on their way.
        """
        options = self.config.options
        fit = [
            use
            for use in tries
            if options.chosen_digest(use.skip_files, use.skip_dirs) == key.options
        ]
        if tries and not fit:
            raise TransientError(
                f"{key.shown}: no workload uses it with the scan options of its key",
                reason="OptionsChanged",
            )
        return fit

    def _job(self, key: ImageKey, use: ImageUse, *, alone: bool) -> InventoryJob:
        access = self.config.accesses.of(parse_reference(use.reference))
        return InventoryJob(
            reference=f"{access.mirrored_name}@{key.digest}",
            access=access,
            platform=key.platform,
            options=self.config.options.chosen(use.skip_files, use.skip_dirs),
            server_url=self.config.server_url(),
            deadline_s=self.config.deadline_s,
            docker_config=self.keys.docker_config_for(use),
            alone=alone,
        )
