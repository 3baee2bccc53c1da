"""The environment to `Settings`, with what the files hold that it names.

A filter's file is read once, at the start, and its text stands in the place of its name: so the
epoch holds what the file says, and an edited file is another generation after the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from common.model.errors import SettingsError, shorten
from common.settings import images
from common.settings.ignore_rules import is_yaml
from common.settings.parse import parse
from common.settings.value import Settings

_LIMIT_BYTES = 32 * 1024 * 1024  # of one file: thirty times what a ConfigMap can hold
# Trivy's other sources of VEX: a folder of its own, the image's registry, an SBOM's links.
_NO_FILES = frozenset({"repo", "repository", "oci", "sbom-ref"})
_YAML_ENDINGS = (".yaml", ".yml")


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings. Raises SettingsError, also for a file that cannot be read."""
    return parse(with_files(environ))


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with texts in the place of the files that it names."""
    result = dict(environ)
    for name, into, texts_of in (
        (images.IGNORE_FILE.name, images.IGNORE_RULES.name, _ignore_file),
        (images.IGNORE_POLICY.name, images.IGNORE_POLICIES.name, _policy),
        (images.VEX.name, images.VEX_DOCUMENTS.name, _documents),
    ):
        path = result.pop(name, "").strip()
        if not path:
            continue
        if result.get(into, "").strip():
            raise SettingsError(f"settings: {name} and {into} are both set; keep one")
        result[into] = texts_of(name, path)
    return result


def _ignore_file(name: str, path: str) -> str:
    """Return the file's text; what it is is told by its name, as Trivy has it."""
    text = _read(name, path)
    if text.strip() and path.endswith(_YAML_ENDINGS) != is_yaml(text):
        raise SettingsError(
            f"settings: {name} names {shorten(path)}, whose name and content differ: Trivy reads "
            "a file as YAML exactly when its name ends in .yaml or .yml"
        )
    return text


def _policy(name: str, path: str) -> str:
    return msgspec.json.encode({"": _read(name, path)}).decode()


def _documents(name: str, paths: str) -> str:
    files = [path.strip() for path in paths.split(",") if path.strip()]
    for source in _NO_FILES.intersection(files):
        raise SettingsError(f"settings: {name} has {source!r}; only files are read")
    return msgspec.json.encode({path: _read(name, path) for path in files}).decode()


def _read(name: str, path: str) -> str:
    """Return a file's text; a byte that is no UTF-8 is replaced, as Go does."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise SettingsError(f"settings: {name} names {shorten(path)}: {why}") from exc
    if len(content) > _LIMIT_BYTES:
        limit = _LIMIT_BYTES // (1024 * 1024)
        raise SettingsError(f"settings: {name} names {shorten(path)}, which has over {limit} MB")
    return content.decode(errors="replace")
