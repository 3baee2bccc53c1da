"""What Trivy is told to look for: the part of the settings that decides an inventory.

Pure. The same options give the same digest, which is the last part of an image key; whatever only
changes the *match* (severities, ignored findings) must never stand here.
"""

from __future__ import annotations

import msgspec

from common.model.canonical import content_hash

# Eight hex digits in every image key: the options of one cluster are few, and nobody gains by a
# collision, for tenants do not choose them.
_DIGEST_DIGITS = 8


class ScanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one inventory; one value for a whole cluster, or image layers are not shared."""

    scanners: tuple[str, ...] = ("vuln", "secret")  # of Trivy's: vuln, secret
    skip_files: tuple[str, ...] = ()
    skip_dirs: tuple[str, ...] = ()
    sbom: bool = True  # render the CycloneDX document too: 0.07 s of CPU an image

    def digest(self) -> str:
        """Return the hash that stands in image keys; order and repetition do not matter."""
        parts = msgspec.structs.replace(
            self,
            scanners=tuple(sorted(set(self.scanners))),
            skip_files=tuple(sorted(set(self.skip_files))),
            skip_dirs=tuple(sorted(set(self.skip_dirs))),
        )
        return content_hash(msgspec.to_builtins(parts))[:_DIGEST_DIGITS]
