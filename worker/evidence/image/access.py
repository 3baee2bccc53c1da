"""How a registry is reached: under which name, over which transport, checked or not.

Pure: made from settings once, asked for each reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.model.refs import DEFAULT_REGISTRY, ImageReference, parse_reference
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

    @property
    def insecure(self) -> bool:
        """Whether Trivy needs its one flag for both."""
        return self.plain or not self.verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Which way leads to which image. Hosts are those that are asked, mirrors included."""

    insecure: bool  # every registry may use plain HTTP, and certificates that nobody vouches for
    mirrors: tuple[tuple[str, str], ...] = ()  # prefix and what replaces it, longest prefix first
    insecure_hosts: frozenset[str] = frozenset()
    plain_hosts: frozenset[str] = frozenset()
    all_plain: bool = False

    @classmethod
    def of_settings(cls, settings: Settings) -> Accesses:
        """Return what the settings allow for images."""
        found = settings.registries
        return cls(
            insecure=settings.trivy.insecure,
            mirrors=tuple((_prefix(one), _mirror(other)) for one, other in found.registry_mirrors),
            insecure_hosts=frozenset(map(_host, found.insecure_registries)),
            plain_hosts=frozenset(map(_host, found.plain_registries)),
            all_plain=found.all_plain,
        )

    @classmethod
    def of_databases(cls, settings: Settings) -> Accesses:
        """Return what they allow for the databases, whose repositories are settings of their own.

        No mirror counts: trivy-operator asks none for them either.
        """
        images = cls.of_settings(settings)
        return cls(
            insecure=images.insecure or settings.registries.insecure_databases,
            insecure_hosts=images.insecure_hosts,
            plain_hosts=images.plain_hosts,
            all_plain=images.all_plain,
        )

    def of(self, reference: ImageReference) -> Access:
        """Return the way to one image."""
        name = self._mirrored(reference.name)
        host = name.partition("/")[0]
        return Access(
            mirrored_name=name,
            plain=self.insecure or self.all_plain or host in self.plain_hosts,
            verify=not (self.insecure or host in self.insecure_hosts),
        )

    def _mirrored(self, name: str) -> str:
        """Replace the longest prefix that ends where a part of the name ends.

        `ghcr.io/team` must not catch `ghcr.io/teammate`: that is somebody else.
        """
        for prefix, mirror in self.mirrors:
            if name == prefix or name.startswith(prefix + "/"):
                return mirror + name.removeprefix(prefix)
        return name


def _host(text: str) -> str:
    """Return a host as names carry it; one without a dot is nobody's, and must not mean the Hub."""
    return DEFAULT_REGISTRY if text == "docker.io" else text


def _prefix(text: str) -> str:
    """Return a prefix as full names begin: Docker Hub has one spelling there."""
    host, slash, path = text.partition("/")
    return f"{_host(host)}{slash}{path}"


def _mirror(text: str) -> str:
    """Return the mirror as a full name, so that what stands before the first slash is a host.

    The setting's format let it through: it can begin a name.
    """
    return parse_reference(f"{text}/x/x").name.removesuffix("/x/x")
