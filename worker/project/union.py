"""Several image contents of one container, told as one: which comes first, what is the same.

A container runs more than one digest while a tag rolls, and more than one platform on mixed nodes.
Its report must not flip with the order in which pods happen to be listed. Pure, total.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from common.model.image import Inventory
from worker.project.context import Records

_Item = TypeVar("_Item")


def in_order(records: Records) -> Records:
    """Return the records with the primary first and the others by digest and platform.

    The first record's digest is the primary's; where several platforms run it, the first platform
    by name speaks for all, so that autoscaling over mixed nodes changes nothing.
    """
    if not records:
        return ()
    digest = records[0][0].digest
    return sorted(records, key=lambda record: (record[0].digest != digest, record[0]))


def inventories(records: Records) -> list[Inventory]:
    """Return the inventories in the records' order.

    Raises ValueError when there is no record, or one without an inventory: what is known only
    partly is settled before anything is projected.
    """
    found = [record.inventory for _, record in records if record.inventory is not None]
    if not found or len(found) < len(records):
        raise ValueError("a report needs image records, each with an inventory")
    return found


def joined(
    parts: Iterable[Iterable[_Item]], *, identity: Callable[[_Item], Hashable]
) -> list[_Item]:
    """Return everything of the first part and what later parts have that earlier ones have not.

    Repetitions within one part stay: what Trivy tells twice of one image is its own count.
    """
    seen: set[Hashable] = set()
    result: list[_Item] = []
    for part in parts:
        fresh = [item for item in part if identity(item) not in seen]
        seen.update(identity(item) for item in fresh)
        result.extend(fresh)
    return result


def retarget(target: str, inventory: Inventory, reference: str) -> str:
    """Return a target in terms of this container's reference.

    Trivy puts the name that it scanned into the targets of OS packages (`NAME (alpine 3.18)`) and
    of secrets in the image's configuration. An inventory is shared by all who run the digest, and
    whose name it was scanned under is chance, and none of the others' business.
    """
    scanned = inventory.target
    if scanned and (target == scanned or target.startswith(f"{scanned} (")):
        return f"{reference}{target[len(scanned) :]}"
    return target
