"""Takes secrets out of texts: by where they stand in an address, or because they are known.

Pure, total. Whoever brings a credential somewhere hides it in what comes back: servers, relays and
programs repeat what they were told.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

HIDDEN = "***"

_URL = re.compile(r"(?<=://)[^/\s?#\"'@]*(?:@[^/\s?#\"'@]*)*@")
# `user:password@host` as people write it where no scheme belongs. What stands before `@sha256:` is
# an image with its tag.
_BARE = re.compile(r"[^\s/@\"'=,()<>\[\]]+:[^\s/@\"',]*@(?!sha256:)(?=[\w\[])")
# Shorter ones stand in ordinary words, and protect nothing.
_SHORTEST = 4


def without_user_info(text: str) -> str:
    """Return the text without user and password before a host."""
    if "@" not in text:
        return text
    return _BARE.sub(f"{HIDDEN}@", _URL.sub(f"{HIDDEN}@", text))


def reference_without_user_info(reference: str) -> str:
    """Return an image's name without what stands before its host; no name has such a thing.

    Whoever wrote it into a Pod sees that it is not valid; everybody else need not see what it was.
    """
    at, slash = reference.find("@"), reference.rfind("/")
    return f"{HIDDEN}@{reference[at + 1 :]}" if 0 <= at < slash else reference


def without(text: str, known: Iterable[str]) -> str:
    """Return the text without the secrets that are known, however they may be written there.

    Call it before the text is cut: half a secret is not found.
    """
    for secret in sorted({one for one in known if len(one) >= _SHORTEST}, key=len, reverse=True):
        for spelling in _spellings(secret):
            text = text.replace(spelling, HIDDEN)
    return text


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote_plus(secret)
    yield base64.b64encode(secret.encode(errors="replace")).decode().rstrip("=")
