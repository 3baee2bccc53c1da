"""Which containers of a workload are looked at. Pure, total.

A container that is not does not stand in the row: its reports are removed as those of a container
that the workload no longer has.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model import patterns
from common.settings.value import Scope

_INIT = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChoice:
    """What the settings say."""

    exclude_images: tuple[str, ...]  # globs over the reference as its user wrote it
    skip_init: bool

    @classmethod
    def of(cls, scope: Scope) -> ContainerChoice:
        """Return the settings' choice."""
        return cls(exclude_images=scope.exclude_images, skip_init=scope.skip_init_containers)

    def wants(self, role: str, image: str) -> bool:
        """Return whether a container is looked at; a malformed glob excludes nothing."""
        if self.skip_init and role == _INIT:
            return False
        return not any(patterns.matches(pattern, image) for pattern in self.exclude_images)
