"""The environment to `Settings`, with what the files hold that it names.

A filter's file is read once, at the start, and its text stands in the place of its name: so the
epoch holds what the file says, and an edited file is another generation after the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from common.model.errors import shorten
from common.settings import images
from common.settings.ignore_rules import is_yaml, read_ignore_rules
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
    """Return the environment with texts in the place of the files that it names.

    Raises SettingsError if one cannot be used: with every fault, those of other settings too.
    """
    result, bad = dict(environ), []
    for name, into, texts_of in (
        (images.IGNORE_FILE.name, images.IGNORE_RULES, _ignore_file),
        (images.IGNORE_POLICY.name, images.IGNORE_POLICIES, _policy),
        (images.VEX.name, images.VEX_DOCUMENTS, _documents),
    ):
        path = result.pop(name, "").strip()
        if not path:
            continue
        try:
            if result.get(into.name, "").strip():
                raise ValueError(f"and {into.name} are both set; keep one")  # noqa: TRY301 # all are told
            result[into.name] = texts_of(path)
        except ValueError as exc:
            bad.append(f"{name} {exc}")
    if bad:
        parse(result, known=bad)
    return result


def _ignore_file(path: str) -> str:
    """Return the file's text; what it is is told by its name, as Trivy has it."""
    text = _read(path)
    if text.strip() and path.endswith(_YAML_ENDINGS) != is_yaml(text):
        raise ValueError(
            f"names {shorten(path)}, whose name and content differ: Trivy reads "
            "a file as YAML exactly when its name ends in .yaml or .yml"
        )
    try:
        read_ignore_rules(text)
    except ValueError as exc:
        raise ValueError(f"names {shorten(path)}, which {exc}") from exc
    return text


def _policy(path: str) -> str:
    return msgspec.json.encode({"": _read(path)}).decode()


def _documents(paths: str) -> str:
    files = [path.strip() for path in paths.split(",") if path.strip()]
    for source in _NO_FILES.intersection(files):
        raise ValueError(f"has {source!r}; only files are read")
    text = msgspec.json.encode({path: _read(path) for path in files}).decode()
    images.VEX_DOCUMENTS.format.read(text)
    return text


def _read(path: str) -> str:
    """Return a file's text; a byte that is no UTF-8 is replaced, as Go does."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ValueError(f"names {shorten(path)}: {why}; correct the path, or unset it") from exc
    if len(content) > _LIMIT_BYTES:
        limit = _LIMIT_BYTES // (1024 * 1024)
        raise ValueError(f"names {shorten(path)}, which has over {limit} MB")
    return content.decode(errors="replace")
