"""Takes credentials out of log lines: by the name of a field, and by their look inside text.

Pure, total. A net under the rule that no secret is logged, not a licence to log one: a password
that stands alone in a sentence is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from common.model.hiding import HIDDEN, without_user_info

# A field whose name ends in one of these words holds a credential if its value is text. Numbers
# stay: a claim's `token` and a count of `secrets` are no secrets.
_WORDS = frozenset(
    {"password", "passwd", "token", "secret", "authorization", "auth", "cookie", "credentials"}
)
_NAMES = frozenset({"api_key", "apikey", "private_key", "docker_config"})
# Upper case or a digit tells a credential from prose such as "Basic authentication required".
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+(?=\S*[A-Z0-9=])[A-Za-z0-9._~+/=-]{8,}")
_DEPTH = 4  # of nested values; deeper ones are shown as text


def redact_text(text: str) -> str:
    """Return `text` without user information in URLs and without HTTP credentials."""
    # Looked for before the patterns run: most texts are names, and a worker writes a line a run.
    text = without_user_info(text)
    if "Bearer" in text or "Basic" in text:
        text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    return text


def redact_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a log line, credentials replaced by three stars."""
    return {name: _redact(name, value, _DEPTH) for name, value in fields.items()}


def _redact(name: str, value: object, depth: int) -> object:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return HIDDEN if value and _names_a_credential(name) else redact_text(value)
    if value is None or isinstance(value, (int, float)):
        return value
    match value:
        case Mapping() if depth:
            return {str(key): _redact(str(key), item, depth - 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            return [_redact(name, item, depth - 1) for item in value]
        case _:
            return HIDDEN if _names_a_credential(name) else redact_text(str(value))


@lru_cache(maxsize=1024)  # our fields have some hundred names; of foreign ones the last
def _names_a_credential(name: str) -> bool:
    plain = name.lower().replace("-", "_")
    return plain in _NAMES or plain.rpartition("_")[2] in _WORDS
