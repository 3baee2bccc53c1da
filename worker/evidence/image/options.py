"""What Trivy is told to look for: the part of the settings that decides an inventory.

Pure. The same options give the same digest, which is the last part of an image key; whatever only
changes the *match* (severities, ignored findings) must never stand here.
"""

from __future__ import annotations

import msgspec

from common.model.canonical import content_hash

# Eight hex digits in every image key: the options of one cluster are few, and nobody gains by a
# collision, for tenants do not choose them. Those that tenants do choose keep every digit, so that
# no list of theirs can be made to stand for another's.
_DIGEST_DIGITS = 8


class ScanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one inventory; one value for a whole cluster, but for what workloads annotate."""

    scanners: tuple[str, ...] = ("vuln", "secret")  # of Trivy's: vuln, secret
    skip_files: tuple[str, ...] = ()
    skip_dirs: tuple[str, ...] = ()
    sbom: bool = True  # render the CycloneDX document too: 0.07 s of CPU an image

    def digest(self) -> str:
        """Return the hash that stands in image keys; order and repetition do not matter."""
        return _hash(self)[:_DIGEST_DIGITS]

    def chosen(
        self, skip_files: tuple[str, ...] | None, skip_dirs: tuple[str, ...] | None
    ) -> ScanOptions:
        """Return the options with these lists of a workload's; None: our own."""
        return msgspec.structs.replace(
            self,
            skip_files=self.skip_files if skip_files is None else skip_files,
            skip_dirs=self.skip_dirs if skip_dirs is None else skip_dirs,
        )

    def chosen_digest(
        self, skip_files: tuple[str, ...] | None, skip_dirs: tuple[str, ...] | None
    ) -> str:
        """Return the hash for the options with these lists; theirs and ours differ in length."""
        chosen, ours = _hash(self.chosen(skip_files, skip_dirs)), _hash(self)
        return ours[:_DIGEST_DIGITS] if chosen == ours else chosen


def _hash(options: ScanOptions) -> str:
    parts = msgspec.structs.replace(
        options,
        scanners=tuple(sorted(set(options.scanners))),
        skip_files=tuple(sorted(set(options.skip_files))),
        skip_dirs=tuple(sorted(set(options.skip_dirs))),
    )
    return content_hash(msgspec.to_builtins(parts))
