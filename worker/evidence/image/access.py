"""How a registry is reached: under which name, over which transport, checked or not.

Pure: made from settings once, asked for each reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model.refs import ImageReference
from common.settings.value import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way to one image. It travels to the scanner as it is."""

    mirrored_name: str  # `registry/repository` where the image is asked for, which may be a mirror
    plain: bool  # plain HTTP may be tried; a local registry needs no permission
    verify: bool  # False: the certificate needs nobody to vouch for it

    @property
    def host(self) -> str:
        """The registry that is asked, as image names spell it."""
        return self.mirrored_name.partition("/")[0]

    @property
    def repository(self) -> str:
        """The image's path there."""
        return self.mirrored_name.partition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Which way leads to which image."""

    insecure: bool  # every registry may use plain HTTP, and certificates that nobody vouches for

    @classmethod
    def of_settings(cls, settings: Settings) -> Accesses:
        """Return what the settings allow."""
        return cls(insecure=settings.trivy.insecure)

    def of(self, reference: ImageReference) -> Access:
        """Return the way to one image."""
        return Access(
            mirrored_name=f"{reference.registry}/{reference.repository}",
            plain=self.insecure,
            verify=not self.insecure,
        )
