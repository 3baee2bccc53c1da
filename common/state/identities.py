"""Which digests name one image: an index and the manifest that it has for a platform are two names.

The key that was analysed first is the image's home; every other one leads there, so that there is
one inventory, one match and one record, whatever kubelets call it. Look-ups follow the lead (see
`lookup.lua`); this writes it.
"""

from __future__ import annotations

from dataclasses import replace

from redis import Redis

from common.model.key import ImageKey
from common.model.refs import ImageDigest
from common.state.names import IDENTITY_TTL_S, Names
from common.state.readable import key_of
from common.state.scripts import Scripts


class IdentityTable:
    """The identities of one cluster. Thread-safe."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def settle(self, key: ImageKey, manifest: ImageDigest) -> ImageKey:
        """Return the home of the image whose manifest that is, `key` if nobody was first.

        Only for a manifest whose digest, and whose indexes' up to `key`, were checked: all users of
        one key get what the other one's record says. Idempotent.
        """
        payload = {
            "key": str(key),
            "by_manifest": str(replace(key, digest=manifest)),
            "manifest": manifest,
            "keep_s": IDENTITY_TTL_S,
        }
        home = key_of(self._scripts.run("identity", payload, repeatable=True))
        return home if isinstance(home, ImageKey) else key
